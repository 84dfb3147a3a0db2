"""Two streams of records, each in offset order, held against each other; and one digest in place of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import Message

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_messages
from millpond.archive.schema import TimestampType
from millpond.records import Row
from millpond.restore.comparing.tally import Difference, Kind, Reason, Tally

_FIELDS = ("offset", "timestamp", "key", "value", "headers")


@dataclass(frozen=True, slots=True)
class Found:
    """A record of the topic that is looked at.

    Attributes:
        row: Under the offset of the original.
        kind: Its timestamp type, or None where that is not compared.
        readable: Whether the client could give its headers.
        stamped_anew: Whether its timestamp is known to have become that of writing.
    """

    row: Row
    kind: TimestampType | None = None
    readable: bool = True
    stamped_anew: bool = False


class Excuses(Protocol):
    """Why a record may differ, asked about one that does. Offsets are the original's; None is no reason at all."""

    def missing(self, offset: int) -> Reason | None:
        """The topic has it not."""

    def unknown(self, offset: int) -> Reason | None:
        """The topic alone has it."""

    def differing(self, offset: int) -> Reason | None:
        """Both have it, with other fields."""

    def target_offset(self, offset: int) -> int | None:
        """Where it lies in a restored topic."""


def compare_records(
    originals: Iterable[Row], found: Iterable[Found], kind: TimestampType | None, excuses: Excuses, tally: Tally
) -> None:
    """Adds to the tally what is equal, what differs, and what only one side has.

    Args:
        kind: The originals' timestamp type, or None where that is not compared.
    """
    mine_left, theirs_left = iter(originals), iter(found)
    mine, theirs = next(mine_left, None), next(theirs_left, None)
    while mine is not None or theirs is not None:
        if theirs is None or (mine is not None and mine[0] < theirs.row[0]):
            offset = mine[0]  # type: ignore[index]  # one of the two is there
            _note(tally, Kind.NOT_IN_TOPIC, offset, excuses.missing(offset), excuses)
            mine = next(mine_left, None)
        elif mine is None or theirs.row[0] < mine[0]:
            offset = theirs.row[0]
            _note(tally, Kind.ONLY_IN_TOPIC, offset, excuses.unknown(offset), excuses)
            theirs = next(theirs_left, None)
        else:
            _compare(mine, theirs, kind, excuses, tally)
            mine, theirs = next(mine_left, None), next(theirs_left, None)


def _compare(mine: Row, theirs: Found, kind: TimestampType | None, excuses: Excuses, tally: Tally) -> None:
    anew = theirs.stamped_anew and mine[1] == 0
    if mine == theirs.row and theirs.readable and theirs.kind in (kind, None):
        tally.equal += 1
        return
    fields = tuple(_differing(mine, theirs, kind, anew=anew))
    if fields:
        _note(tally, Kind.DIFFERS, mine[0], excuses.differing(mine[0]), excuses, fields)
        return
    tally.equal += theirs.readable
    tally.explained[Reason.UNREADABLE] += not theirs.readable
    tally.explained[Reason.STAMP_ZERO] += anew and mine[1] != theirs.row[1]


def _differing(mine: Row, theirs: Found, kind: TimestampType | None, *, anew: bool) -> Iterator[str]:
    for name, one, other in zip(_FIELDS, mine, theirs.row, strict=True):
        known = (name == "headers" and not theirs.readable) or (name == "timestamp" and anew)
        if one != other and not known:
            yield name
    if kind is not None and theirs.kind not in (kind, None):
        yield "type"


def _note(
    tally: Tally, kind: Kind, offset: int, reason: Reason | None, excuses: Excuses, fields: tuple[str, ...] = ()
) -> None:
    if reason is not None:
        tally.explained[reason] += 1
    else:
        tally.add(Difference(kind, offset, excuses.target_offset(offset), fields))


def digest_of_messages(batches: Iterable[list[Message]], salt: bytes, kind: TimestampType) -> tuple[str, int]:
    """The digest that a window of these records would state, and how many they are; "" where they are of another
    timestamp type, or have headers that the client cannot give."""
    digest, count = Digest(salt, kind), 0
    for batch in batches:
        kinds, stamps = zip(*map(Message.timestamp, batch), strict=True)
        if any(TimestampType.from_kafka(number) is not kind for number in set(kinds)):
            return "", count
        try:
            digest.update(encode_messages(batch, None, stamps))
        except (UnicodeError, SystemError):
            return "", count
        count += len(batch)
    return digest.hex(), count
