"""Archives as backups leave them after faults, made by hand at random: objects that overlap, branches that a newer
leader cut off, two lives of a topic. What the producer kept is the oracle.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from millpond.archive.schema import TimestampType
from millpond.errors import RefusedForSafety
from millpond.records import Row
from millpond.restore.writing import target
from tests import oracle
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import OTHER_TOPIC_ID, PartitionId, a_partition, make_rows, put_gap, put_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
CODECS = ("zstandard", "deflate", "null")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


@dataclass
class Log:
    """A partition's log as its leaders made it, and its windows as a backup could have stored them.

    Attributes:
        alive: What the partition holds in the end.
    """

    chance: random.Random
    restore: Restore
    partition: PartitionId
    alive: list[Row] = field(default_factory=list)
    epoch: int = 0
    end: int = 0

    def begin(self) -> None:
        """Retention may have taken the beginning before it was read."""
        if self.chance.random() < 0.3:
            put_gap(self.restore.store, 0, 999, partition=self.partition, layout=LAYOUT)
            self.end = 1000
        self.write()

    def write(self) -> None:
        """Some more records of this leader, with holes as compaction leaves them, in windows that overlap."""
        first = self.end
        rows = make_rows(first, self.chance.randint(1, 60), stamp=self.chance.randrange(1, 2**41))
        rows = [(*row[:2], b"%d:%d" % (self.epoch, row[0]), *row[3:]) for row in rows]
        kept = [row for row in rows if self.chance.random() < 0.8] or rows[:1]
        self._store(kept, first, rows[-1][0])
        self.alive += kept
        self.end = rows[-1][0] + 1

    def cut(self) -> None:
        """A new leader discards the end and writes on; what was read of it stays in the archive."""
        self.epoch += self.chance.randint(1, 3)
        del self.alive[self.chance.randrange(len(self.alive)) + 1 :]
        self.end = self.alive[-1][0] + 1
        self.write()

    def _store(self, rows: Sequence[Row], first: int, last: int) -> None:
        """Every offset in at least one window; some in several, as after a commit that was lost or two members."""
        at = first
        while at <= last:
            end = min(last, at + self.chance.randint(0, 25))
            start = max(first, at - self.chance.choice([0, 0, 3, 12]))
            self._put([row for row in rows if start <= row[0] <= end], start, end, branch=first)
            at = end + 1

    def _put(self, rows: Sequence[Row], first: int, last: int, *, branch: int) -> None:
        if not rows and first > branch:  # what begins a branch says whose it is, also without records
            put_gap(self.restore.store, first, last, partition=self.partition, layout=LAYOUT)
            return
        put_rows(
            self.restore.store,
            rows,
            layout=LAYOUT,
            partition=self.partition,
            first=first,
            last=last,
            epoch=self.epoch,
            codec=self.chance.choice(CODECS),
            block_records=self.chance.choice([1, 3, 100]),
            timestamp_type=TimestampType.CREATE_TIME if rows else TimestampType.NONE,
        )


def a_log(chance: random.Random, restore: Restore, partition: PartitionId) -> list[Row]:
    log = Log(chance, restore, partition)
    log.begin()
    for _ in range(chance.randint(0, 4)):
        chance.choice([log.write, log.cut])()
    return log.alive


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_random_overlaps_and_branches_give_what_the_partition_held(
    restore: Restore, unique_name: Name, round_: int
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance, topic = random.Random(seed), unique_name("random")
    sent = {number: a_log(chance, restore, a_partition(topic, number)) for number in range(6)}
    restore.plan(topic, source_offset_header=round_ % 2 == 1)
    restore.prepare()
    assert restore.work() == []
    where = oracle.Restored(restore.bootstrap, topic, topic, header=round_ % 2 == 1)
    oracle.assert_restored(sent, restore.store, LAYOUT, where)
    assert restore.reconcile()["written"] == sum(map(len, sent.values()))


def test_of_two_lives_the_one_that_is_named_comes_back_and_without_a_name_none(
    restore: Restore, unique_name: Name
) -> None:
    chance, topic = random.Random(7), unique_name("twice")
    lives = {
        topic_id: {number: a_log(chance, restore, a_partition(topic, number, topic_id)) for number in range(2)}
        for topic_id in (a_partition().incarnation.topic_id, OTHER_TOPIC_ID)
    }
    with pytest.raises(RefusedForSafety, match="2 lives"):
        restore.plan(topic)
    for number, (topic_id, sent) in enumerate(lives.items()):
        restore.run_id, prefix = f"r{number}", f"life{number}."
        restore.all(topic, incarnation={topic: topic_id}, prefix=prefix)
        where = oracle.Restored(restore.bootstrap, f"{prefix}{topic}", topic, topic_id)
        oracle.assert_restored(sent, restore.store, LAYOUT, where)
