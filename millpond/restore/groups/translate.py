"""The rule: a group goes on at the first restored record at or after its offset, else behind the last."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stretch:
    """Restored records that lie behind each other on the target.

    Attributes:
        base: Target offset of the first one; the others follow without holes.
        source: Runs of source offsets: first offset and number of consecutive ones. At least one.
    """

    base: int
    source: tuple[tuple[int, int], ...]

    @property
    def last(self) -> int:
        """Source offset of the last record."""
        first, count = self.source[-1]
        return first + count - 1

    def at_or_after(self, offset: int) -> int:
        """Target offset of the first record whose source offset is `offset` or higher. `last` must not be below it."""
        number = max(0, bisect_right(self.source, offset, key=lambda run: run[0]) - 1)
        first, count = self.source[number]
        if offset >= first + count:
            number += 1
            first = self.source[number][0]
        before = sum(length for _, length in self.source[:number])
        return self.base + before + max(0, offset - first)


def translated(offset: int, stretches: Sequence[Stretch], end: int | None) -> int | None:
    """The target offset for a group that would read `offset` next; None where the restore has not come so far.

    Args:
        stretches: By source offset.
        end: The end of what was restored, None while more may come.
    """
    number = bisect_left(stretches, offset, key=lambda stretch: stretch.last)
    return stretches[number].at_or_after(offset) if number < len(stretches) else end


def on_the_branch(offset: int, epoch: int, epochs: Mapping[int, int]) -> int:
    """The offset up to which the group has read what is archived.

    Kafka's log may have been cut and have grown again. A group that committed before that has not read the records
    that came in place of others, which begin where the first higher epoch does.

    Args:
        epoch: Leader epoch of the last record that the group had read, -1 if unknown.
        epochs: For each leader epoch of the archived records, the first offset that its windows cover.
    """
    if epoch < 0:
        return offset
    return min([offset, *(first for later, first in epochs.items() if later > epoch)])
