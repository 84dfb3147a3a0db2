"""Events as a report tells them: kind and time from the name, and the numbers that the event itself holds."""

from __future__ import annotations

from datetime import UTC, datetime

from millpond.archive.catalog import read_partition
from millpond.archive.coverage import holes
from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import EventKey, Layout, PartitionId
from millpond.errors import DamagedArchive
from millpond.storage.contract import NoSuchObject, ObjectStore, read


def event_of(store: ObjectStore, layout: Layout, event: EventKey) -> Json:
    """What the event says. One that cannot be read says so; its name is enough to count it.

    `stands` is true for an event `missing` whose offsets are not all covered again.
    """
    key = layout.event(event.incarnation, event.at_ms, event.kind)
    named = {"kind": event.kind, "at": event.at_ms}
    try:
        found = parse_object(read(store, key), key) | named
    except (DamagedArchive, NoSuchObject):
        found = named | {"unreadable": True}
    return found | {"stands": event.kind == "missing" and _is_missing(store, layout, event, found)}


def _is_missing(store: ObjectStore, layout: Layout, event: EventKey, found: Json) -> bool:
    """Whether objects are still missing. An event that does not say which offsets is never over."""
    number, ranges = found.get("partition"), found.get("missing")
    if not isinstance(number, int) or not isinstance(ranges, list) or not all(map(_is_range, ranges)):
        return True
    covered = read_partition(store, layout, PartitionId(event.incarnation, number)).covered()
    return any(holes(covered, start=first, end=last) for first, last in ranges)


def _is_range(found: object) -> bool:
    return isinstance(found, list) and len(found) == 2 and all(isinstance(offset, int) for offset in found)


def moment(ms: int | None) -> str:
    """A time for people, UTC; "no time" for None, milliseconds where no calendar reaches."""
    if ms is None or not 0 <= ms < 253_402_300_800_000:
        return "no time" if ms is None else f"{ms} ms"
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
