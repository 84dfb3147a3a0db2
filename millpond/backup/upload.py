"""What is confirmed goes to the store: several partitions at once, one object of each at a time."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from millpond.archive.gaps import Gap, write_gap
from millpond.archive.identity import Identity
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import GapName, GapReason
from millpond.backup.partition import Closed, PartitionBackup
from millpond.backup.store_window import store_window
from millpond.clock import now_ms
from millpond.errors import MillpondError, TryAgain
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_AT_ONCE = 4
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A range that is in the store now."""

    partition: PartitionId
    next_offset: int
    epoch: int
    key: str


class Uploads:
    """Stores what is confirmed. A store that does not answer is tried until it does or `stop` is set."""

    def __init__(self, store: ObjectStore, layout: Layout, identity: Identity, stop: threading.Event) -> None:
        self._store, self._layout, self._identity, self._stop = store, layout, identity, stop
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="upload")
        self._under_way: dict[int, tuple[PartitionBackup, Future[str]]] = {}

    def tick(self, partitions: Iterable[PartitionBackup]) -> list[Stored]:
        """Collects what is stored and starts what may be. Raises what an upload raised, `TryAgain` aside."""
        stored = [
            self._finish(partition, future) for partition, future in list(self._under_way.values()) if future.done()
        ]
        for partition in partitions:
            if partition.closed and partition.closed[0].confirmed and id(partition) not in self._under_way:
                future = self._pool.submit(self._put_until_stored, partition.closed[0])
                self._under_way[id(partition)] = partition, future
        return stored

    @property
    def idle(self) -> bool:
        return not self._under_way

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _finish(self, partition: PartitionBackup, future: Future[str]) -> Stored:
        key = future.result()
        del self._under_way[id(partition)]
        closed = partition.closed.popleft()
        closed.discard()
        partition.stored = closed.last + 1
        _LOG.info("stored %s offsets %d to %d", closed.partition, closed.first, closed.last)
        return Stored(closed.partition, partition.stored, closed.epoch, key)

    def _put_until_stored(self, closed: Closed) -> str:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return self._put(closed)
            except TryAgain as error:
                if self._stop.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311  # spreads retries; no secret
                    raise
                _LOG.warning("will try to store %s again: %s", closed.partition, error.args[0])
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _put(self, closed: Closed) -> str:
        at_ms = now_ms()
        if closed.window is None:
            name = GapName(closed.first, closed.last, GapReason.EMPTY)
            return write_gap(self._store, self._layout, Gap(closed.partition, name, at_ms, {"records": 0}))
        try:
            closed.window.wait_written()
        except OSError as error:
            raise MillpondError(
                f"cannot spool {closed.partition}: {error.strerror}", hint="make room in the --spool folder"
            ) from error
        facts = closed.facts(self._identity.archive_id, at_ms)
        return store_window(self._store, self._layout, closed.window.spool, facts)
