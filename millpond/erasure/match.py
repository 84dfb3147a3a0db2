"""Which records of a topic belong to the subjects. A hot path: columns instead of records, a memory of what was seen.

A matcher knows only keyed hashes. Each distinct identifier is hashed once, each distinct key is read once; what is
remembered is bounded and never leaves the process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from millpond.erasure.places import Outcome, reader_of
from millpond.erasure.policy import Place
from millpond.erasure.secret import keyed_hash
from millpond.records import Row

REMEMBERED = 1 << 16
"""Distinct keys, and distinct identifiers, held by each place; then it starts over. Some 10 MB for short ones."""
LONGEST_REMEMBERED = 512
"""Bytes."""

_NO_MATCH, _ABSENT, _UNDECODABLE, _MATCH = Outcome.NO_MATCH, Outcome.ABSENT, Outcome.UNDECODABLE, Outcome.MATCH


@dataclass(slots=True)
class PlaceCount:
    """Records by the outcome of one place; absent and undecodable of those only that stay."""

    matched: int = 0
    absent: int = 0
    undecodable: int = 0

    def add(self, other: PlaceCount) -> None:
        self.matched += other.matched
        self.absent += other.absent
        self.undecodable += other.undecodable


@dataclass(slots=True)
class Tally:
    """What a scan found.

    Attributes:
        records: Looked at.
        dropped: Of these, matched at one place at least.
        undecodable: Stay although a place could not be read, or a required one is absent.
        absent: Stay, with an optional place absent and nothing worse.
        places: In the order of the matcher's places.
    """

    records: int = 0
    dropped: int = 0
    undecodable: int = 0
    absent: int = 0
    places: list[PlaceCount] = field(default_factory=list)


class Matcher:
    """The places of one topic that hold types of the request, and the hashes to look for."""

    def __init__(
        self, places: Sequence[Place], hashes: Mapping[str, Collection[str]], keys: Mapping[str, bytes]
    ) -> None:
        """hashes, keys: by subject type; the hashes were made with these keys."""
        self.places = tuple(places)
        self._looks = [_look(place, hashes[place.type], keys[place.type]) for place in self.places]

    def tally(self) -> Tally:
        return Tally(places=[PlaceCount() for _ in self.places])

    def kept(self, rows: list[Row], tally: Tally) -> list[Row]:
        """The records that stay, and the same list where all do; counts go into `tally`."""
        columns = [
            [look(row[2]) for row in rows] if place.at == "key" else [look(row[3]) for row in rows]
            for place, look in zip(self.places, self._looks, strict=True)
        ]
        tally.records += len(rows)
        if all(column.count(_NO_MATCH) == len(rows) for column in columns):
            return rows
        stay = [
            row for row, outcomes in zip(rows, zip(*columns, strict=True), strict=True) if self._stays(outcomes, tally)
        ]
        return rows if len(stay) == len(rows) else stay

    def _stays(self, outcomes: tuple[Outcome, ...], tally: Tally) -> bool:
        if _MATCH in outcomes:
            tally.dropped += 1
            for count, outcome in zip(tally.places, outcomes, strict=True):
                count.matched += outcome is _MATCH
            return False
        lacking = False
        for place, count, outcome in zip(self.places, tally.places, outcomes, strict=True):
            count.absent += outcome is _ABSENT
            count.undecodable += outcome is _UNDECODABLE
            lacking |= outcome is _UNDECODABLE or (outcome is _ABSENT and place.required)
        tally.undecodable += lacking
        tally.absent += not lacking and _ABSENT in outcomes
        return True


def _look(place: Place, hashes: Collection[str], key: bytes) -> Callable[[bytes | None], Outcome]:
    wanted = frozenset(hashes)
    look = reader_of(place, _remembered(lambda identifier: keyed_hash(key, identifier) in wanted))
    return _remembered(look) if place.at == "key" else look  # keys come again, values seldom


Seen = TypeVar("Seen", bytes, bytes | None)
Found = TypeVar("Found")


def _remembered(function: Callable[[Seen], Found]) -> Callable[[Seen], Found]:
    memory: dict[Seen, Found] = {}
    get = memory.get

    def remembering(seen: Seen) -> Found:
        found = get(seen)
        if found is None:
            if seen is not None and len(seen) > LONGEST_REMEMBERED:
                return function(seen)
            if len(memory) >= REMEMBERED:
                memory.clear()
            found = memory[seen] = function(seen)
        return found

    return remembering
