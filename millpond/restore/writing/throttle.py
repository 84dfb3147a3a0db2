"""A limit of bytes a second, kept evenly: records are let through in portions of a tenth of a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from millpond.records import Row

_PORTION_S = 0.1
_CATCH_UP_S = 0.5
"""So much of a standstill, such as a flush, may be made up for."""


def size_of(row: Row) -> int:
    """Bytes of a record's key, value and headers, names included."""
    _, _, key, value, headers = row
    size = (len(key) if key else 0) + (len(value) if value else 0)
    for name, content in headers:
        size += len(name) + (len(content) if content else 0)
    return size


class Throttle:
    """Lets so many bytes a second through.

    Args:
        bytes_per_s: None for no limit.
        clock: Monotonic seconds.
    """

    def __init__(self, bytes_per_s: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_s, self._clock = bytes_per_s, clock
        self._due = clock()

    def portions(self, rows: list[Row], wait: Callable[[float], object]) -> Iterator[list[Row]]:
        """All rows in order, each portion when its turn has come.

        Args:
            wait: Passes up to so many seconds, a tenth at most, with something useful.
        """
        if self._bytes_per_s is None:
            yield rows
            return
        first = size = 0
        for at, row in enumerate(rows):
            size += size_of(row)
            if size >= self._bytes_per_s * _PORTION_S or at == len(rows) - 1:
                self._pass(size, self._bytes_per_s, wait)
                yield rows[first : at + 1]
                first, size = at + 1, 0

    def _pass(self, size: int, bytes_per_s: float, wait: Callable[[float], object]) -> None:
        """Waits until the bytes before are paid for; these are paid for by whoever comes next."""
        while (left := self._due - self._clock()) > 0:
            wait(min(left, _PORTION_S))
        self._due = max(self._due, self._clock() - _CATCH_UP_S) + size / bytes_per_s
