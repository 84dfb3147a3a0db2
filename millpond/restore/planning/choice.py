"""Which partitions of a topic a restore takes, and which of their offsets, as people write it.

`0`, `3-5` are numbers of partitions of every topic, `orders:0`, `orders:3-5` of one. `orders:3:100-199` is a range of
offsets of one partition, both ends inclusive; `orders:3:100-` goes on to the end, `orders:3:100` is one offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millpond.archive.coverage import Span, union
from millpond.kafka.places import Place

LAST_OFFSET = 2**63 - 1
WHOLE = (Span(0, LAST_OFFSET),)
_TOPIC = r"[a-zA-Z0-9._-]{1,249}"
_PARTITIONS = re.compile(rf"(?:(?P<topic>{_TOPIC}):)?(?P<first>[0-9]{{1,9}})(?P<dash>-(?P<last>[0-9]{{1,9}}))?")
_OFFSETS = re.compile(
    rf"(?P<topic>{_TOPIC}):(?P<partition>[0-9]{{1,9}}):(?P<first>[0-9]{{1,19}})(?P<dash>-(?P<last>[0-9]{{1,19}})?)?"
)
_EVERY_TOPIC = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which partitions and offsets; nothing named is everything.

    Attributes:
        partitions: Numbers by topic; those under "" hold for topics that are not named.
        offsets: By partition. Of a topic with an entry here, and none above, partitions without one are left out.
    """

    partitions: Mapping[str, tuple[Span, ...]]
    offsets: Mapping[Place, tuple[Span, ...]]

    @classmethod
    def of(cls, partitions: Iterable[str], offsets: Iterable[str]) -> Choice:
        """`ValueError` where a text is none of the forms above, or offsets are of a partition that is left out."""
        numbers: dict[str, list[Span]] = {}
        for topic, span in map(_numbers, partitions):
            numbers.setdefault(topic, []).append(span)
        ranges: dict[Place, list[Span]] = {}
        for place, span in map(_range, offsets):
            ranges.setdefault(place, []).append(span)
        found = cls(
            {topic: tuple(union(spans)) for topic, spans in numbers.items()},
            {place: tuple(union(spans)) for place, spans in ranges.items()},
        )
        for place in found.offsets:
            if not found.takes(*place):
                raise ValueError("offsets are of {}:{}, which the partitions leave out".format(*place))
        return found

    def takes(self, topic: str, partition: int) -> bool:
        """Whether the partition is restored at all."""
        if topic not in self.partitions and any(named == topic for named, _ in self.offsets):
            return (topic, partition) in self.offsets
        numbers = self.partitions.get(topic, self.partitions.get(_EVERY_TOPIC, WHOLE))
        return any(span.first <= partition <= span.last for span in numbers)

    def spans(self, topic: str, partition: int) -> tuple[Span, ...]:
        """The offsets to restore, in order."""
        return self.offsets.get((topic, partition), WHOLE)

    def named(self) -> set[str]:
        """Topics that are named."""
        return {topic for topic in self.partitions if topic} | {topic for topic, _ in self.offsets}

    def highest(self, topic: str) -> int:
        """The highest partition that is named for this very topic, -1 if none is."""
        numbers = [span.last for span in self.partitions.get(topic, ())]
        return max([*numbers, *(partition for named, partition in self.offsets if named == topic)], default=-1)


def within(span: Span, spans: Iterable[Span]) -> list[Span]:
    """What of `span` lies in any of `spans`, in their order."""
    cut = (Span(max(span.first, other.first), min(span.last, other.last)) for other in spans if _touch(span, other))
    return list(cut)


def _touch(one: Span, other: Span) -> bool:
    return one.first <= other.last and other.first <= one.last


def up_to(last: int, spans: Iterable[Span]) -> tuple[Span, ...]:
    """The spans without the offsets behind `last`."""
    return tuple(within(Span(0, last), spans)) if last >= 0 else ()


def _numbers(text: str) -> tuple[str, Span]:
    match = _PARTITIONS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} names no partitions; write 0, 3-5 or orders:3-5")
    return match["topic"] or _EVERY_TOPIC, _span(match, text)


def _range(text: str) -> tuple[Place, Span]:
    match = _OFFSETS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is no range of offsets; write orders:3:100-199, TOPIC:PARTITION:FIRST-LAST")
    return (match["topic"], int(match["partition"])), _span(match, text)


def _span(match: re.Match[str], text: str) -> Span:
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else LAST_OFFSET if match["dash"] else first
    if not first <= last <= LAST_OFFSET:
        raise ValueError(f"{text[:60]!r} is no range: it ends before it begins, or behind the last possible offset")
    return Span(first, last)
