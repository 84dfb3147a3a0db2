"""Which records a restore takes by their timestamps. Stamps are not in order: only reading tells which record is due.

Times are epoch ms. A record without a timestamp has -1 and lies before every moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from millpond.archive.catalog import WindowObject
from millpond.archive.coverage import Live
from millpond.archive.documents import Json
from millpond.records import Row
from millpond.restore.planning.choice import LAST_OFFSET


@dataclass(frozen=True, slots=True)
class Moments:
    """Bounds of record timestamps, both inclusive; None is no bound."""

    since: int | None = None
    until: int | None = None

    @classmethod
    def of(cls, line: Json) -> Moments:
        """Those of a plan's line."""
        return cls(line.get("since"), line.get("until"))

    def may_hold(self, oldest: int, newest: int) -> bool:
        """Whether any record between these timestamps can be due."""
        return (self.since is None or newest >= self.since) and (self.until is None or oldest <= self.until)

    def hold_all(self, oldest: int, newest: int) -> bool:
        """Whether every record between these timestamps is due."""
        return (self.since is None or oldest >= self.since) and (self.until is None or newest <= self.until)

    def due(self, rows: Iterable[Row]) -> list[Row]:
        """Of these records those that are due."""
        since = -(2**63) if self.since is None else self.since
        until = LAST_OFFSET if self.until is None else self.until
        return [row for row in rows if since <= row[1] <= until]


EVERY = Moments()


def last_before(cut_ms: int, windows: Sequence[Live[WindowObject]]) -> int:
    """An offset behind which nothing can lie before the first record past the moment, as far as names tell.

    Args:
        windows: All live ones of a partition, in offset order.
    """
    reached = -1
    for live in windows:
        name = live.window.name
        # Of a window that was cut, the records that are left may all be older than its name says.
        if name.oldest_ms > cut_ms and live.span.last == name.last:
            return live.span.last if reached >= live.span.first else live.span.first - 1
        reached = max(reached, live.span.last)
    return LAST_OFFSET
