"""Requests to put everything into the archive now, until they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from millpond.backup.flush import Flush
from millpond.backup.partition import PartitionBackup
from millpond.errors import MillpondError


@dataclass(frozen=True, slots=True)
class _Open:
    """A request, and how far each partition had been read then."""

    waiting: list[Future[int]]
    targets: list[tuple[PartitionBackup, int]]


class Flushing:
    """Closes what is open when it is asked to, and answers once all of it is stored."""

    def __init__(self, flush: Flush) -> None:
        self._flush = flush
        self._open: list[_Open] = []

    def tick(self, partitions: Sequence[PartitionBackup], now: float) -> None:
        """Takes new requests, answers those that are done."""
        asked = self._flush.take()
        if asked is not None:
            for partition in partitions:
                partition.close(now)
            targets = [(partition, partition.position) for partition in partitions if partition.closed]
            self._open.append(_Open(asked, targets))
        for request in [one for one in self._open if _done(one)]:
            self._open.remove(request)
            for future in request.waiting:
                future.set_result(len(request.targets))

    def close(self, *, anew: bool = False) -> None:
        """Tells those that wait that the backup has ended, or that it goes on `anew`: what was read and is not stored
        is read again then, so nobody can say how far it was."""
        left = self._flush.take() or []
        reason = "the backup connected to the brokers anew" if anew else "the backup ended"
        hint = "ask again: it reads once more what was not stored" if anew else ""
        for future in [*left, *(future for one in self._open for future in one.waiting)]:
            future.set_exception(MillpondError(f"{reason} before everything was stored", hint=hint))
        self._open = []


def _done(request: _Open) -> bool:
    return all(partition.stored >= target or not partition.closed for partition, target in request.targets)
