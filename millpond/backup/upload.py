"""What is confirmed goes to the store: several partitions at once, one object of each at a time."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeAlias

from millpond.archive.facts import WindowFacts
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.identity import Identity
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import GapName
from millpond.archive.window import WindowSpool
from millpond.backup.background import Background
from millpond.backup.partition import Closed, FailedTry, PartitionBackup
from millpond.backup.store_window import store_window
from millpond.clock import now_ms
from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.storage.contract import ObjectStore, StorageError

_LOG = logging.getLogger(__name__)
_AT_ONCE = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_PASSING = (TryAgain, StorageError, WrongUsage)
"""What another try may get over: rights and buckets come back, too."""

StoreWindow: TypeAlias = Callable[[ObjectStore, Layout, WindowSpool, WindowFacts], str]


@dataclass(frozen=True, slots=True)
class Stored:
    """A range that is in the store now.

    Attributes:
        spent: What it was on the disk, to be discarded once the group was told.
        reason: Of a marker; "" for a window.
        size_bytes: Of the object, about.
        took_s: The try that succeeded.
    """

    partition: PartitionId
    spent: Closed
    next_offset: int
    epoch: int
    key: str
    reason: str = ""
    size_bytes: int = 0
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """A range that cannot be stored as it is; it stays first in line.

    Attributes:
        spool: Whether the local disk is why.
    """

    partition: PartitionBackup
    reason: str
    spool: bool


class Uploads:
    """Stores what is confirmed. A store that does not answer, or refuses, is tried until it does.

    One that fails for some partitions keeps no others waiting: each has its own time for the next try.

    Attributes:
        patient: Whether a store that refuses is tried again; else its error is raised.
        failures: Tries that failed.
        failing_since_ms: Epoch ms of the first failure of what has failed longest and still waits; None if all is well.
        stored_ms: When something was stored last, epoch ms; 0 before.
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        identity: Identity,
        *,
        patient: bool = True,
        store_as: StoreWindow = store_window,
    ) -> None:
        self._store, self._layout, self._identity, self._store_as = store, layout, identity, store_as
        self.patient = patient
        self.failures, self.stored_ms = 0, 0
        self.failing_since_ms: int | None = None
        self._pool = Background(_AT_ONCE, "upload")
        self._under_way: dict[int, tuple[PartitionBackup, Future[Stored]]] = {}

    def tick(self, partitions: Iterable[PartitionBackup], now: float) -> list[Stored | Failed]:
        """Collects what is stored and starts what may be.

        Raises:
            MillpondError: The store refuses, and nobody is to wait until it does no more.
        """
        ended, refused = [], None
        for partition, future in [one for one in self._under_way.values() if one[1].done()]:
            del self._under_way[id(partition)]
            try:
                ended.append(self._finish(partition, future))
            except _PASSING as error:
                self._fail(partition.closed[0], error, now)
                refused = refused or (None if self.patient or isinstance(error, TryAgain) else error)
        self._start([p for p in partitions if p.closed and p.closed[0].confirmed], now)
        if refused is not None:
            raise refused
        return ended

    def _start(self, ready: Sequence[PartitionBackup], now: float) -> None:
        for partition in ready:
            first = partition.closed[0]
            if id(partition) not in self._under_way and (first.failed is None or now >= first.failed.not_before):
                self._under_way[id(partition)] = partition, self._pool.submit(self._store_it, first)
        failing = [partition.closed[0].failed for partition in ready]
        self.failing_since_ms = min((one.since_ms for one in failing if one), default=None)

    @property
    def idle(self) -> bool:
        return not self._under_way

    def busy_with(self, partition: PartitionBackup) -> bool:
        """Whether its first range is on its way, so that it must not be dropped."""
        return id(partition) in self._under_way

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _finish(self, partition: PartitionBackup, future: Future[Stored]) -> Stored | Failed:
        try:
            stored = future.result()
        except OSError as error:
            return Failed(partition, f"cannot spool: {error.strerror}", spool=True)
        except _PASSING:
            raise
        except MillpondError as error:
            return Failed(partition, str(error.args[0]), spool=False)
        partition.closed.popleft()
        self.stored_ms = now_ms()
        return stored

    def _fail(self, closed: Closed, error: MillpondError, now: float) -> None:
        """Notes the failure and when to try again: a little more or less, so that not all come at once."""
        self.failures += 1
        before = closed.failed
        pause_s = min(2 * before.pause_s, _LONGEST_PAUSE_S) if before else _FIRST_PAUSE_S
        not_before = now + pause_s * random.uniform(0.5, 1.0)  # noqa: S311  # spreads retries; no secret
        closed.failed = FailedTry(error, pause_s, not_before, before.since_ms if before else now_ms())
        _LOG.warning("will try to store %s again: %s", closed.partition, error.args[0], extra=_extra(closed))

    def _store_it(self, closed: Closed) -> Stored:
        began = time.monotonic()
        key, size = self._put(closed)
        _LOG.info("stored %s offsets %d to %d", closed.partition, closed.first, closed.last, extra=_extra(closed))
        reason = "" if closed.window else closed.reason.value
        took_s = time.monotonic() - began
        return Stored(closed.partition, closed, closed.last + 1, closed.epoch, key, reason, size, took_s)

    def _put(self, closed: Closed) -> tuple[str, int]:
        """The object's key and size."""
        at_ms = now_ms()
        if closed.window is None:
            name = GapName(closed.first, closed.last, closed.reason)
            evidence = {"records": 0} if closed.reason == "empty" else {"records": 1}
            return write_gap(self._store, self._layout, Gap(closed.partition, name, at_ms, evidence)), 0
        closed.window.wait_written()
        facts = closed.facts(self._identity.archive_id, at_ms)
        return self._store_as(self._store, self._layout, closed.window.spool, facts), closed.window.stored_bytes


def _extra(closed: Closed) -> dict[str, object]:
    topic, number = closed.partition.topic, closed.partition.partition
    return {"topic": topic, "partition": number, "first": closed.first, "last": closed.last}
