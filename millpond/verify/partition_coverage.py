"""What one partition's listing comes to: sums that are small, whatever the number of objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from millpond.archive.catalog import PartitionListing
from millpond.archive.coverage import Span, live_gaps, union
from millpond.archive.documents import Json

NAMED_HOLES = 100
"""Ranges without a reason that are kept for a partition; the sums count all."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the metadata of a partition's live objects say.

    Attributes:
        records: Records held.
        exact: False where windows overlap or are cut: `records` is then an upper bound.
        redacted_objects: Objects that a sweep has rewritten.
        unknown_objects: Objects whose metadata do not say it; their records are not in `records`.
    """

    records: int
    exact: bool
    redacted_objects: int
    unknown_objects: int = 0


Counted: TypeAlias = Callable[[PartitionListing], Counts | None]


def no_counts(_: PartitionListing) -> None:
    """Nothing is counted."""


@dataclass(frozen=True, slots=True)
class Explained:
    """What the markers of one reason explain.

    Attributes:
        markers: How many markers have the reason; some may have lost their effect to a truncation.
        offsets: Offsets that they explain and no window covers.
    """

    markers: int
    offsets: int


@dataclass(frozen=True, slots=True)
class PartitionCoverage:
    """One partition in numbers.

    Attributes:
        first, end: First offset covered, and the one after the last; equal where nothing is.
        offsets: Offsets that windows cover.
        objects, size_bytes: All windows, superseded ones too.
        oldest_ms, newest_ms: Bounds of the record times in live windows.
        newest_object_ms: When the youngest object was stored, 0 where there is none.
        unexplained: The first `NAMED_HOLES` ranges that nothing speaks for.
        unexplained_ranges, unexplained_offsets: All of them.
    """

    partition: int
    first: int
    end: int
    offsets: int
    objects: int
    size_bytes: int
    oldest_ms: int | None
    newest_ms: int | None
    newest_object_ms: int
    gaps: dict[str, Explained]
    unexplained: tuple[Span, ...]
    unexplained_ranges: int
    unexplained_offsets: int
    counts: Counts | None

    @classmethod
    def of(cls, listing: PartitionListing, counts: Counts | None) -> PartitionCoverage:
        live, covered, holes = listing.live(), listing.covered(), listing.unexplained()
        stored = [entry.info for entry in (*listing.windows, *listing.parts)]
        names = (one.window.name for one in live)
        timed = [name for name in names if (name.oldest_ms, name.newest_ms) != (-1, -1)]  # else it holds no record
        return cls(
            partition=listing.partition.partition,
            first=covered[0].first if covered else 0,
            end=covered[-1].last + 1 if covered else 0,
            offsets=_size(union(one.span for one in live)),
            objects=len(stored),
            size_bytes=sum(info.size_bytes for info in stored),
            oldest_ms=min((name.oldest_ms for name in timed), default=None),
            newest_ms=max((name.newest_ms for name in timed), default=None),
            newest_object_ms=max((info.modified_ms for info in stored), default=0),
            gaps=explained(listing),
            unexplained=tuple(holes[:NAMED_HOLES]),
            unexplained_ranges=len(holes),
            unexplained_offsets=_size(holes),
            counts=counts,
        )

    def document(self) -> Json:
        return {
            "partition": self.partition,
            "first": self.first,
            "last": self.end - 1 if self.end > self.first else None,
            "offsets": self.offsets,
            "records": self.counts.records if self.counts else None,
            "objects": self.objects,
            "bytes": self.size_bytes,
            "oldest_ms": self.oldest_ms,
            "newest_ms": self.newest_ms,
            "gaps": {reason: found.offsets for reason, found in sorted(self.gaps.items())},
            "unexplained_offsets": self.unexplained_offsets,
        }


def explained(listing: PartitionListing) -> dict[str, Explained]:
    """For each reason what it explains. An offset with several reasons counts for each."""
    names = [window.name for window in listing.windows]
    reasons: dict[str, list[Span]] = defaultdict(list)
    for gap in listing.gaps:
        reasons[gap.reason.value].append(Span(gap.first, gap.last))
    effective = union(live_gaps(names, listing.gaps))
    live = union(one.span for one in listing.live())
    return {
        reason: Explained(len(spans), _size(_without(_both(union(spans), effective), live)))
        for reason, spans in reasons.items()
    }


def summed_gaps(partitions: Iterable[PartitionCoverage]) -> Json:
    """By reason: markers and the offsets they explain."""
    sums: dict[str, Json] = {}
    for partition in partitions:
        for reason, found in partition.gaps.items():
            entry = sums.setdefault(reason, {"markers": 0, "offsets": 0})
            entry["markers"] += found.markers
            entry["offsets"] += found.offsets
    return dict(sorted(sums.items()))


def is_exact(spans: Iterable[Span]) -> bool:
    """Whether no offset is in two of them."""
    listed = list(spans)
    return _size(listed) == _size(union(listed))


def _both(these: list[Span], those: list[Span]) -> list[Span]:
    """Offsets in both; each argument is in order and without overlaps."""
    found, at = [], 0
    for span in these:
        while at < len(those) and those[at].last < span.first:
            at += 1
        for other in _touching(those, at, span):
            found.append(Span(max(span.first, other.first), min(span.last, other.last)))
    return found


def _without(these: list[Span], taken: list[Span]) -> list[Span]:
    """Offsets of these that are not in `taken`; each argument is in order and without overlaps."""
    found, at = [], 0
    for span in these:
        while at < len(taken) and taken[at].last < span.first:
            at += 1
        first = span.first
        for other in _touching(taken, at, span):
            found += [Span(first, other.first - 1)] if other.first > first else []
            first = other.last + 1
        found += [Span(first, span.last)] if first <= span.last else []
    return found


def _touching(spans: list[Span], at: int, span: Span) -> Iterator[Span]:
    while at < len(spans) and spans[at].first <= span.last:
        yield spans[at]
        at += 1


def _size(spans: Iterable[Span]) -> int:
    return sum(span.size for span in spans)
