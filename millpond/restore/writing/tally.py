"""What a worker has done so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from millpond.records import Row
from millpond.restore.writing.throttle import size_of

Progress = Callable[[int], None]
"""Told how many more records are in the target."""


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """A worker's.

    Attributes:
        unit: Its number.
        records, bytes: That are in the target, of partitions that are being restored or were; those that an earlier
            try had written and that were counted again are among them.
        lines_done, lines_failed: Of the plan, by this process.
    """

    unit: int
    records: int = 0
    bytes: int = 0
    lines_done: int = 0
    lines_failed: int = 0


Observe = Callable[[UnitStatus], None]


@dataclass(slots=True)
class Tally:
    """Counts, and tells whoever listens. Bytes are counted for an observer only: that costs time."""

    unit: int
    progress: Progress
    observe: Observe | None = None
    _status: UnitStatus = field(init=False)

    def __post_init__(self) -> None:
        self._status = UnitStatus(self.unit)
        self._tell()

    def records(self, rows: list[Row]) -> None:
        self.progress(len(rows))
        if self.observe is not None:
            size = sum(map(size_of, rows))
            self._tell(records=self._status.records + len(rows), bytes=self._status.bytes + size)

    def done(self) -> None:
        self._tell(lines_done=self._status.lines_done + 1)

    def failed(self) -> None:
        self._tell(lines_failed=self._status.lines_failed + 1)

    def _tell(self, **changes: int) -> None:
        if self.observe is not None:
            self._status = replace(self._status, **changes)
            self.observe(self._status)
