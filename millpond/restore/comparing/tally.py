"""What a comparison found: counts, and the first differences by offset. Nothing here holds what a record contains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from millpond.archive.documents import Json

NAMED = 20
"""Differences of a partition that are named; the counts tell all of them."""


class Kind(StrEnum):
    """A difference that nothing explains. The original is the archive, or the source of a restore."""

    DIFFERS = "differs"
    NOT_IN_TOPIC = "not_in_topic"
    ONLY_IN_TOPIC = "only_in_topic"
    DAMAGED = "damaged"


class Reason(StrEnum):
    """Why records may differ without anything being wrong."""

    BELOW_LOG_START = "below_log_start"
    COMPACTED = "compacted"
    REDACTED = "redacted"
    LEFT_OUT = "left_out"
    STAMP_ZERO = "timestamp_zero_became_now"
    UNREADABLE = "headers_unreadable"
    AFTER_THE_RESTORE = "after_the_restore"


@dataclass(frozen=True, slots=True)
class Difference:
    """One record that is not the same, or not on both sides.

    Attributes:
        offset: On the side of the original; of a record that is only in a restored topic, in that topic.
        target_offset: Where the record lies in a restored topic, or None.
        fields: Which fields differ.
        text: What is damaged.
    """

    kind: Kind
    offset: int
    target_offset: int | None = None
    fields: tuple[str, ...] = ()
    text: str = ""

    def document(self) -> Json:
        more = {"target_offset": self.target_offset, "fields": list(self.fields), "text": self.text}
        return {"kind": self.kind.value, "offset": self.offset} | {name: it for name, it in more.items() if it}


@dataclass(slots=True)
class Tally:
    """Counts of one partition.

    Attributes:
        ranges: How many ranges of offsets there are; `chosen` of them were compared.
        by_digest: Ranges that one digest proved equal.
        equal: Records that are the same on both sides, those that a digest proved among them.
        found: Differences, by kind.
        explained: Records that differ for a known reason.
        named: The first of the differences.
    """

    ranges: int = 0
    chosen: int = 0
    by_digest: int = 0
    equal: int = 0
    found: Counter[Kind] = field(default_factory=Counter)
    explained: Counter[Reason] = field(default_factory=Counter)
    named: list[Difference] = field(default_factory=list)

    @property
    def differences(self) -> int:
        return sum(self.found.values())

    def add(self, difference: Difference) -> None:
        self.found[difference.kind] += 1
        if difference.kind is Kind.DAMAGED:
            self.named.insert(0, difference)  # it is not to be lost behind the records that differ because of it
        else:
            self.named.append(difference)
        del self.named[NAMED:]

    def document(self) -> Json:
        """Every kind has a number; reasons only where they count something."""
        return {
            "ranges": self.ranges,
            "compared": self.chosen,
            "by_digest": self.by_digest,
            "equal": self.equal,
            "differences": self.differences,
            **{kind.value: self.found[kind] for kind in Kind},
            "explained": {reason.value: count for reason, count in sorted(self.explained.items()) if count},
            "first": [difference.document() for difference in self.named],
        }


_SUMMED = ("ranges", "compared", "by_digest", "equal", "differences", *(kind.value for kind in Kind))


def totals(partitions: Iterable[Json]) -> Json:
    """The sums of partitions' documents."""
    sums: dict[str, int] = dict.fromkeys(_SUMMED, 0)
    explained: Counter[str] = Counter()
    for document in partitions:
        for name in _SUMMED:
            sums[name] += document[name]
        explained.update(document["explained"])
    return sums | {"explained": dict(sorted(explained.items()))}
