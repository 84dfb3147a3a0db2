"""The files of one partition as one run of offsets: what several hold comes once, what none holds is named.

Few files are open at a time: those that hold the offset that is read. Inside a file every offset counts as read, as it
was by the tool that wrote it; only before, between and behind files can something be missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TypeAlias

from millpond.archive.names import GapReason
from millpond.errors import DamagedArchive
from millpond.imports.backup import Item, KnownGap, SourceFile, SourcePartition


@dataclass(frozen=True, slots=True)
class Missing:
    """Offsets, both inclusive, that the backup does not hold.

    Attributes:
        reason: `retention` or `skipped`.
        code: Why in the backup's own words, "" where it does not say.
    """

    first: int
    last: int
    reason: GapReason
    code: str = ""


Step: TypeAlias = Item | Missing
_Open: TypeAlias = tuple[int, int, Item, Iterator[Item], SourceFile]
"""Offset and number of the file, which alone are compared; then its next item, the rest, and the file."""


def steps_of(partition: SourcePartition) -> Iterator[Step]:
    """Everything in offset order.

    Raises:
        DamagedArchive: A file cannot be read, or two disagree. All that was given before is right, and complete up to
            its last offset.
        NoSuchObject: A file is not there.
    """
    waiting = deque(sorted(partition.files, key=lambda file: (file.first, file.key)))
    files: list[_Open] = []
    opened = position = 0
    while files or waiting:
        while waiting and (not files or waiting[0].first <= files[0][0]):
            file = waiting.popleft()
            if not files and file.first > position:
                yield from _explained(position, file.first - 1, partition.gaps)
            opened += 1
            _advance(files, file.read(), opened, file)
        same = [heappop(files)]
        while files and files[0][0] == same[0][0]:
            same.append(heappop(files))
        _refuse_contradiction(partition, same)
        yield same[0][2]
        position = same[0][0] + 1
        for _, number, _, rest, file in same:
            _advance(files, rest, number, file)
    end = max((gap.last for gap in partition.gaps), default=-1)
    if end >= position:
        yield from _explained(position, end, partition.gaps)


def _advance(files: list[_Open], rest: Iterator[Item], number: int, file: SourceFile) -> None:
    item = next(rest, None)
    if item is not None:
        heappush(files, (item[0], number, item, rest, file))


def _refuse_contradiction(partition: SourcePartition, same: list[_Open]) -> None:
    first = same[0]
    for other in same[1:]:
        if other[2] != first[2]:
            raise DamagedArchive(
                f"{first[4].key} and {other[4].key} hold different records at offset {first[0]} "
                f"of {partition.topic}-{partition.partition}"
            )


def _explained(first: int, last: int, gaps: tuple[KnownGap, ...]) -> Iterator[Missing]:
    """The range, cut where the backup says why."""
    for gap in sorted(gaps, key=lambda gap: gap.first):
        start, end = max(gap.first, first), min(gap.last, last)
        if start > end:
            continue
        if start > first:
            yield Missing(first, start - 1, GapReason.SKIPPED)
        yield Missing(start, end, GapReason.RETENTION if gap.retention else GapReason.SKIPPED, gap.code)
        first = end + 1
    if first <= last:
        yield Missing(first, last, GapReason.SKIPPED)
