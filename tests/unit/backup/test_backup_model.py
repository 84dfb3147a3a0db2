"""Anything that can happen to a topic, its backup and its archive, in any order, against a reference log.

The product's own consumer, coverage and reading run on a model of Kafka. MILLPOND_FAULT_ROUNDS scales how many stories
are tried (3).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from millpond.archive.identity import open_or_create
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.backup.model_archive import Reader
from tests.unit.backup.model_checks import Checks
from tests.unit.backup.model_client import PLACE, Crash, Kafka
from tests.unit.backup.model_log import APPEND_TIME, CREATE_TIME, Life
from tests.unit.backup.model_writer import Edges, Writer
from tests.unit.builders import LAYOUT

ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
STEPS_TO_REST = 80

keys = st.sampled_from([b"a", b"b", b"c"])
some = st.integers(0, 6)
places = st.integers(0, 10**6)
seconds = st.sampled_from([0.1, 1.0, 6.0, 20.0])


class BackupMachine(RuleBasedStateMachine):
    """One partition, its writers, and whatever befalls them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.store, self.kafka = MemoryStore(), Kafka(None)
        self.identity = open_or_create(self.store, LAYOUT, cluster_id="cluster", now_ms=0)
        self.edges = Edges(self.kafka)
        self.checks = Checks(Reader(self.store, self.identity.archive_id))
        self.kafka.on_commit = self.checks.commit
        self.writer: Writer | None = None
        self.zombies: list[Writer] = []
        self.written = self.started = self.transactions = 0
        self.compacted = False

    @initialize(compacted=st.booleans(), aborted=st.integers(0, 3))
    def begin(self, compacted: bool, aborted: int = 0) -> None:
        """A topic, which may begin with transactions that were aborted."""
        self.compacted = compacted
        self._make_topic()
        for _ in range(aborted):
            self.transact(key=b"a", count=1, committed=False)

    def _make_topic(self) -> None:
        self.kafka.life = Life(f"{len(self.checks.lives):022d}", self.compacted)
        self.checks.begin(self.kafka.life)

    @property
    def life(self) -> Life:
        assert self.kafka.life is not None
        return self.kafka.life

    def _is_settled(self) -> bool:
        """Nobody holds records of this life for another's: one that ends or is cut before a look at it tells nobody."""
        return not any(one.strayed for one in self._writers)

    @property
    def _writers(self) -> list[Writer]:
        return [*self.zombies, *([self.writer] if self.writer else [])]

    # -- the topic

    def _append(self, key: bytes, count: int, *, value: bytes | None = b"v", **more: int) -> None:
        for _ in range(count):
            self.written += 1
            self.life.append(key, value, self.written, **more)

    @precondition(lambda self: self.kafka.life)
    @rule(key=keys, count=st.integers(1, 4), tombstone=st.booleans(), append_time=st.booleans())
    def produce(self, key: bytes, count: int, tombstone: bool, append_time: bool) -> None:
        kind = APPEND_TIME if append_time else CREATE_TIME
        self._append(key, count, value=None if tombstone else b"v", kind=kind)

    @precondition(lambda self: self.kafka.life)
    @rule(key=keys, count=st.integers(1, 3), which=places)
    def produce_in_transaction(self, key: bytes, count: int, which: int) -> None:
        """In one that is open, or a new one."""
        known = sorted(self.life.open_transactions())
        if (len(known) < 2 and which % 2 == 0) or not known:
            self.transactions += 1
            known = [self.transactions]
        self._append(key, count, transaction=known[which % len(known)])

    @precondition(lambda self: self.kafka.life and self.life.open_transactions())
    @rule(which=places, committed=st.booleans())
    def end_transaction(self, which: int, committed: bool) -> None:
        known = sorted(self.life.open_transactions())
        self.life.finish(known[which % len(known)], committed)

    @precondition(lambda self: self.kafka.life and self.compacted and self._is_settled())
    @rule(chosen=st.integers(0, 2**24 - 1))
    def compact(self, chosen: int) -> None:
        self.life.compact(chosen)

    @precondition(lambda self: self.kafka.life)
    @rule(key=keys, count=st.integers(1, 3), committed=st.sampled_from([False, False, True]))
    def transact(self, key: bytes, count: int, committed: bool) -> None:
        """A whole transaction; most are aborted, so that logs and branches often begin without a record."""
        self.transactions += 1
        self._append(key, count, transaction=self.transactions)
        self.life.finish(self.transactions, committed)

    @precondition(lambda self: self.kafka.life)
    @rule(skipped=st.integers(0, 1))
    def elect(self, skipped: int) -> None:
        self.life.elect(self.life.end, skipped)
        self.kafka.elected()

    @precondition(lambda self: self.kafka.life and self._is_settled())
    @rule(where=places, aborted=st.sampled_from([0, 0, 1, 3]), count=some)
    def cut(self, where: int, aborted: int = 0, count: int = 0) -> None:
        """An unclean election. The new branch may begin with a transaction that is aborted, and have records behind."""
        places = self.life.cuttable()
        self.life.elect(places[-1 - where % len(places)])
        self.kafka.elected()
        if aborted:
            self.transact(key=b"a", count=aborted, committed=False)
        self._append(b"b", count)

    @precondition(lambda self: self.kafka.life)
    @rule(where=places)
    def retain(self, where: int) -> None:
        self.life.forget_below(self.life.start + where % (self.life.stable_end - self.life.start + 1))

    @precondition(lambda self: self.kafka.life and self._is_settled())
    @rule()
    def delete_topic(self) -> None:
        self.kafka.life = None
        self.kafka.commits = {}

    @precondition(lambda self: not self.kafka.life)
    @rule()
    def make_topic_again(self) -> None:
        self._make_topic()

    @precondition(lambda self: self.kafka.life and self._is_settled())
    @rule(longer=st.integers(-3, 3), key=keys)
    def recreate(self, longer: int, key: bytes) -> None:
        """At once, and filled about as far as the old one was: clients may notice nothing."""
        end = self.life.end
        self.delete_topic()
        self._make_topic()
        self._append(key, end + longer)

    # -- the writers

    @rule()
    def start(self) -> None:
        """A new writer is given the partition; one that had it does not know yet."""
        if self.writer is not None:
            self.zombies.append(self.writer)
        self.started += 1
        folder = Path(self._folder.name) / str(self.started)
        self.writer = Writer(self.edges, self.kafka, self.store, self.identity, folder)

    @precondition(lambda self: self.writer)
    @rule(at_most=some, after=seconds, ahead=some, slow=st.booleans(), times=st.integers(1, 8))
    def step(self, at_most: int, after: float, ahead: int, slow: bool, times: int) -> None:
        assert self.writer is not None
        for _ in range(times):
            self.writer.step(at_most, after, ahead=ahead, slow=slow)

    @precondition(lambda self: self.writer)
    @rule(nth=st.integers(1, 3), after_it=st.booleans(), at_commit=st.sampled_from(["", "", "before", "after"]))
    def crash(self, nth: int, after_it: bool, at_commit: str) -> None:
        assert self.writer is not None
        self.writer.store.dies_in, self.writer.store.dies_after = (None if at_commit else nth), after_it
        self.writer.client.dies_at_commit = at_commit
        try:
            for _ in range(12):
                self.writer.step(5, 6.0)
        except Crash as here:
            note(f"killed {here}")
        self.writer.kill()
        self.writer = None

    @precondition(lambda self: self.writer)
    @rule()
    def kill(self) -> None:
        assert self.writer is not None
        self.writer.kill()
        self.writer = None

    @precondition(lambda self: self.writer)
    @rule()
    def stop(self) -> None:
        assert self.writer is not None
        why = self.writer.stop()
        assert not why, why
        self.writer = None

    @precondition(lambda self: self.zombies)
    @rule(which=places, at_most=some, after=seconds, lost=st.booleans(), times=st.integers(1, 8))
    def wake(self, which: int, at_most: int, after: float, lost: bool, times: int) -> None:
        """A writer that lost the partition goes on, and learns it only if it is told."""
        zombie = self.zombies[which % len(self.zombies)]
        zombie.client.lost |= lost
        for _ in range(times):
            zombie.step(at_most, after)

    # -- the archive

    @precondition(lambda self: self.checks.keys())
    @rule(which=places, newest=st.booleans())
    def lose_object(self, which: int, newest: bool) -> None:
        """Somebody deletes it."""
        keys = self.checks.keys()
        key = keys[-1] if newest else keys[which % len(keys)]
        self.checks.lose(key)
        info = self.store.head(key)
        assert isinstance(info, ObjectInfo)
        self.store.delete_version(key, info.version)
        self.checks.lost()

    # -- what must hold

    @invariant()
    def the_archive_is_right(self) -> None:
        self.checks.hold()

    @rule()
    def come_to_rest(self) -> None:
        """A fresh writer reads all there is."""
        for one in self._writers:
            one.kill()
        self.zombies, self.writer = [], None
        if self.kafka.life is None:
            return
        self.start()
        assert isinstance(self.writer, Writer)
        for _ in range(STEPS_TO_REST):
            self.writer.step(7, 6.0)
            if self.writer.has_stored(self.life.stable_end):
                break
        else:
            raise AssertionError(f"does not come to rest: {self.writer.backup.failed}")
        assert PLACE in self.writer.backup.active
        self.checks.hold()
        self.checks.rest(self.life)

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            self.edges.close()
            for one in self._writers:
                one.kill()
            self._folder.cleanup()


TestBackupModel = BackupMachine.TestCase
TestBackupModel.settings = settings(
    max_examples=60 * ROUNDS,
    # The short run tells the same stories each time: what it finds is of the change at hand. Long ones tell new ones.
    derandomize="MILLPOND_FAULT_ROUNDS" not in os.environ,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
