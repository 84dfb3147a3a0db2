"""One partition into windows and markers. What a window of the archive covers already is passed over.

So an import that was killed goes on where it stopped, one that is repeated adds nothing, and a record that was redacted
since does not come back.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from millpond.archive.catalog import PartitionListing
from millpond.archive.codecs import codec_named
from millpond.archive.coverage import Span, holes, union
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import WindowFacts
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import GapName, GapReason
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool
from millpond.backup.store_window import store_window
from millpond.imports.merge import Missing
from millpond.records import Row
from millpond.storage.contract import ObjectStore

_BLOCK_BYTES = 256 << 10
_RECORD_BYTES = 20
"""About what a record takes beside key, value and headers."""
STAMPED = TimestampType.CREATE_TIME
"""Neither format tells; Kafka keeps a timestamp that a producer sends only under this type."""


@dataclass(frozen=True, slots=True)
class Target:
    """The archive that is written to.

    Attributes:
        new_path: For the blocks of a window under way.
        window_bytes: A window closes when its records have about that many bytes, before compression.
        dry_run: Nothing is written.
    """

    store: ObjectStore
    layout: Layout
    archive_id: str
    new_path: Callable[[], Path]
    now_ms: Callable[[], int]
    window_bytes: int = 64 << 20
    dry_run: bool = False


@dataclass(slots=True)
class Counts:
    """What became of a partition.

    Attributes:
        records: Written now; `held` were in the archive before.
        left_out: Ends of transactions, and what was aborted, by what they are.
        markers: Markers written, by reason.
    """

    records: int = 0
    held: int = 0
    windows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    markers: Counter[str] = field(default_factory=Counter)


class PartitionWriter:
    """Is told everything of a partition in offset order, and closed at the end.

    Attributes:
        position: The first offset it has heard nothing of.
    """

    def __init__(self, target: Target, listing: PartitionListing) -> None:
        self._target, self._partition = target, listing.partition
        self._covered = listing.covered()
        self._held = deque(union(live.span for live in listing.live()))
        self._window: _Window | None = None
        self._first = self.position = 0
        self.counts = Counts()

    def add(self, row: Row) -> None:
        if self._is_held(row[0]):
            self.counts.held += 1
            return
        if self._window is None:
            self._window = _Window(self._target, self._partition)
        self._window.add(row)
        if self._window.size_bytes >= self._target.window_bytes:
            self._close(row[0])

    def pass_over(self, offset: int, what: str) -> None:
        """It was read, and is no record."""
        self.counts.left_out[what] += 1
        self._is_held(offset)

    def missing(self, missing: Missing) -> None:
        """Offsets that the backup does not hold become markers, except where the archive has something."""
        self._close(missing.first - 1)
        evidence: dict[str, int | str] = {"why": missing.code} if missing.code else {}
        self._mark(Span(missing.first, missing.last), missing.reason, evidence)
        self.position = missing.last + 1
        self._first = max(self._first, self.position)
        while self._held and self._held[0].first < self.position:
            self._first = max(self._first, self._held.popleft().last + 1)

    def close(self) -> None:
        """What was told so far goes to the archive."""
        self._close(self.position - 1)

    def discard(self) -> None:
        """What is not in the archive yet is dropped."""
        if self._window is not None:
            self._window.spool.discard()
            self._window = None

    def _is_held(self, offset: int) -> bool:
        """Goes on to this offset, past windows of the archive; whether one of them covers it."""
        while self._held and self._held[0].first <= offset:
            span = self._held.popleft()
            self._close(span.first - 1)
            self._first = max(self._first, span.last + 1)
        self.position = offset + 1
        return offset < self._first

    def _close(self, last: int) -> None:
        """Everything from `first` to there is read: a window, or a marker where it has no records."""
        window, self._window = self._window, None
        if window is not None:
            window.store(self._first, last)
            self.counts.windows += 1
            self.counts.records += window.count
        elif self._first <= last:
            self._mark(Span(self._first, last), GapReason.EMPTY, {"records": 0})
        self._first = max(self._first, last + 1)

    def _mark(self, span: Span, reason: GapReason, evidence: dict[str, int | str]) -> None:
        target = self._target
        for hole in holes(self._covered, start=span.first, end=span.last):
            name = GapName(hole.first, hole.last, reason)
            if not target.dry_run:
                write_gap(target.store, target.layout, Gap(self._partition, name, target.now_ms(), evidence))
            self.counts.markers[reason.value] += 1


class _Window:
    """An open window."""

    def __init__(self, target: Target, partition: PartitionId) -> None:
        self._target, self._partition = target, partition
        self.spool = WindowSpool(
            target.new_path(), codec=codec_named("zstandard"), salt=new_salt(), timestamp_type=STAMPED
        )
        self._block: list[Row] = []
        self._block_bytes = self.count = 0
        self._oldest, self._newest = 2**63 - 1, -(2**63)

    @property
    def size_bytes(self) -> int:
        """About."""
        return self.spool.size_bytes + self._block_bytes

    def add(self, row: Row) -> None:
        _, stamp, key, value, headers = row
        self._oldest, self._newest = min(self._oldest, stamp), max(self._newest, stamp)
        self._block.append(row)
        self.count += 1
        sizes = len(key or b"") + len(value or b"") + sum(len(name) + len(found or b"") for name, found in headers)
        self._block_bytes += _RECORD_BYTES + sizes
        if self._block_bytes >= _BLOCK_BYTES:
            self._cut()

    def _cut(self) -> None:
        self.spool.add(len(self._block), encode_rows(self._block))
        self._block, self._block_bytes = [], 0

    def store(self, first: int, last: int) -> None:
        """Into the archive, with this coverage; the local blocks are gone afterwards."""
        target = self._target
        try:
            if self._block:
                self._cut()
            facts = WindowFacts(
                archive_id=target.archive_id,
                partition=self._partition,
                first=first,
                last=last,
                count=0,
                size_bytes=0,
                leader_epoch=-1,
                timestamp_type=STAMPED,
                min_timestamp=self._oldest,
                max_timestamp=self._newest,
                salt="",
                digest="",
                written=target.now_ms(),
            )
            if not target.dry_run:
                store_window(target.store, target.layout, self.spool, facts)
        finally:
            self.spool.discard()
