"""From names to what is really there: which object speaks for which offsets, and which offsets nothing speaks for.

Two rules of the format live here. A higher leader epoch ends a lower one just before its own first offset, whether the
two overlap or not: that is what a truncation means. Windows of one branch that overlap are all kept, since an older one
may hold records that compaction has removed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from millpond.archive.names import GapName, WindowName

T = TypeVar("T")
Doubt: TypeAlias = Callable[[set[int]], int]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Offsets first..last, both inclusive."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many offsets; a len() could not be larger than 2**63 - 1."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Live(Generic[T]):
    """A window, whatever stands for it, and the part of it that still counts."""

    window: T
    span: Span


def live_windows(windows: Iterable[tuple[WindowName, T]]) -> list[Live[T]]:
    """The windows that count, in offset order, each cut where a higher epoch took over."""
    ordered = sorted(windows, key=lambda pair: pair[0])
    ends = _ends(_branch_points(name for name, _ in ordered))
    cut = ((name, item, min(name.last, ends.get(name.epoch, name.last))) for name, item in ordered)
    return [Live(item, Span(name.first, last)) for name, item, last in cut if last >= name.first]


def _branch_points(windows: Iterable[WindowName]) -> dict[int, int]:
    """For each known epoch the first offset at which one of its windows starts."""
    points: dict[int, int] = {}
    for window in windows:
        if window.epoch >= 0:
            points[window.epoch] = min(window.first, points.get(window.epoch, window.first))
    return points


def _ends(branch_points: dict[int, int]) -> dict[int, int]:
    """For each known epoch the last offset before any higher epoch starts."""
    ends: dict[int, int] = {}
    lowest: int | None = None
    for epoch in sorted(branch_points, reverse=True):
        if lowest is not None:
            ends[epoch] = lowest - 1
        first = branch_points[epoch]
        lowest = first if lowest is None else min(lowest, first)
    return ends


def union(spans: Iterable[Span]) -> list[Span]:
    """The same offsets as few spans, in order, none touching another."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = Span(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def holes(covered: Iterable[Span], *, start: int, end: int | None = None) -> list[Span]:
    """Offsets from `start` that no span holds, up to `end` (inclusive) or to the end of coverage."""
    found, position = [], start
    for span in union(covered):
        if span.first > position:
            found.append(Span(position, span.first - 1))
        position = max(position, span.last + 1)
    if end is not None:
        found = [Span(hole.first, min(hole.last, end)) for hole in found if hole.first <= end]
        found += [Span(position, end)] if position <= end else []
    return found


def next_position(covered: Iterable[Span], *, start: int) -> int:
    """The smallest offset at or above `start` that no span holds: where a backup goes on."""
    position = start
    for span in union(covered):
        if span.first > position:
            break
        position = max(position, span.last + 1)
    return position


def overlapping(windows: Iterable[Live[T]]) -> Iterator[list[Live[T]]]:
    """Windows in offset order, in groups that share offsets; most groups hold one."""
    group: list[Live[T]] = []
    last = -1
    for window in windows:
        if group and window.span.first > last:
            yield group
            group = []
        group.append(window)
        last = max(last, window.span.last)
    if group:
        yield group


def live_gaps(windows: Iterable[WindowName], gaps: Iterable[GapName], *, doubt: Doubt = max) -> list[Span]:
    """The parts of the markers that count.

    A marker has no epoch in its name. It takes one from the windows that end right before it, through other markers if
    need be, and is cut like them. Where several qualify `doubt` chooses: `max` for what is explained, `min` for where a
    backup goes on, since to read a range twice costs little and to pass over records loses them.
    """
    listed, markers = list(windows), sorted(gaps, key=lambda gap: (gap.first, gap.last))
    ends, up_to = _ends(_branch_points(listed)), _epochs_up_to(listed, markers)
    spans = []
    for gap in markers:
        epochs = up_to.get(gap.first - 1, set())
        last = min(gap.last, ends.get(doubt(epochs), gap.last)) if epochs else gap.last
        spans += [Span(gap.first, last)] if last >= gap.first else []
    return spans


def epochs_before(windows: Iterable[WindowName], gaps: Iterable[GapName], offset: int) -> set[int]:
    """The epochs that a marker would take which starts at this offset."""
    return _epochs_up_to(windows, gaps).get(offset - 1, set())


def _epochs_up_to(windows: Iterable[WindowName], gaps: Iterable[GapName]) -> dict[int, set[int]]:
    """For each last offset of a window or marker the known epochs of those that end there, live or dead."""
    found: dict[int, set[int]] = {}
    for window in windows:
        if window.epoch >= 0:
            found.setdefault(window.last, set()).add(window.epoch)
    for gap in sorted(gaps, key=lambda gap: (gap.first, gap.last)):
        found.setdefault(gap.last, set()).update(found.get(gap.first - 1, set()))
    return found


def covered(windows: Iterable[WindowName], gaps: Iterable[GapName], *, doubt: Doubt = max) -> list[Span]:
    """Offsets that a live window or a live marker speaks for, as few spans. `doubt` as in `live_gaps`."""
    listed = list(windows)
    spans = [live.span for live in live_windows((name, name) for name in listed)]
    return union(spans + live_gaps(listed, gaps, doubt=doubt))
