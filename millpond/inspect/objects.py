"""The objects of an archive, one by one, and what each counts for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from millpond.archive.catalog import Foreign, PartitionListing, WindowObject, read_partition, read_topic
from millpond.archive.coverage import Live, Span, live_gaps, union
from millpond.archive.documents import Json
from millpond.archive.keys import EventKey, Incarnation, Layout, PartitionId
from millpond.archive.names import GapName
from millpond.inspect.choice import Choice
from millpond.inspect.heads import Heads, Said
from millpond.storage.contract import ObjectStore

WINDOW, PART, MARKER, EVENT, FOREIGN = "window", "part", "marker", "event", "foreign"
LIVE, CUT, SUPERSEDED = "live", "cut", "superseded"
_ASKED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One object.

    Attributes:
        kind: `window`, `part` (of a window that lies in several objects), `marker`, `event` or `foreign`.
        state: Of windows and markers: `live`, `cut` (a higher leader epoch took over inside), `superseded` (it took
            over at or before the first offset). "" for the others.
        first, last: What the name says, both inclusive.
        live: The offsets that still count, of a window that is cut.
        note: The reason of a marker, the kind of an event.
        size_bytes, modified_ms: None where the listing that was read does not keep them.
        said: The object's own facts, where they were asked for.
    """

    key: str
    kind: str
    partition: PartitionId | None = None
    state: str = ""
    first: int | None = None
    last: int | None = None
    live: Span | None = None
    epoch: int | None = None
    oldest_ms: int | None = None
    newest_ms: int | None = None
    size_bytes: int | None = None
    modified_ms: int | None = None
    note: str = ""
    said: Said | None = None

    def document(self) -> Json:
        """With stable names; facts that were not asked for are left out."""
        known = {
            "key": self.key,
            "kind": self.kind,
            "state": self.state or None,
            "topic": self.partition.topic if self.partition else None,
            "topic_id": self.partition.incarnation.topic_id if self.partition else None,
            "partition": self.partition.partition if self.partition else None,
            "first": self.first,
            "last": self.last,
            "live_first": self.live.first if self.live else None,
            "live_last": self.live.last if self.live else None,
            "epoch": self.epoch,
            "oldest_ms": self.oldest_ms,
            "newest_ms": self.newest_ms,
            "bytes": self.size_bytes,
            "modified_ms": self.modified_ms,
            "note": self.note or None,
        }
        return known | (_told(self.said) if self.said else {})


def list_objects(store: ObjectStore, layout: Layout, choice: Choice) -> Iterator[Entry]:
    """The chosen objects: topic by topic, partition by partition in the order of the store, there in offset order."""
    for life in choice.lives(store, layout):
        if choice.partitions:
            for number in sorted(choice.partitions):
                yield from _entries(layout, read_partition(store, layout, PartitionId(life, number)), choice)
        else:
            yield from _of_life(store, layout, life, choice)


def with_facts(entries: Iterable[Entry], heads: Heads) -> Iterator[Entry]:
    """The same entries, windows and parts with their own facts; some hundred are asked at a time."""
    batch: list[Entry] = []
    for entry in entries:
        batch.append(entry)
        if len(batch) >= _ASKED_AT_ONCE:
            yield from _asked(batch, heads)
            batch = []
    yield from _asked(batch, heads)


def _asked(batch: list[Entry], heads: Heads) -> Iterator[Entry]:
    said = heads.of([entry.key for entry in batch if entry.kind in (WINDOW, PART)])
    for entry in batch:
        yield replace(entry, said=next(said)) if entry.kind in (WINDOW, PART) else entry


def _of_life(store: ObjectStore, layout: Layout, life: Incarnation, choice: Choice) -> Iterator[Entry]:
    folder = layout.incarnation(life)
    for item in read_topic(store, layout, life.topic):
        match item:
            case PartitionListing() if item.partition.incarnation == life:
                yield from _entries(layout, item, choice)
            case EventKey() if item.incarnation == life and not choice.is_narrow:
                key = layout.event(life, item.at_ms, item.kind)
                yield Entry(key, EVENT, oldest_ms=item.at_ms, newest_ms=item.at_ms, note=item.kind)
            case Foreign() if item.key.startswith(folder) and not choice.is_narrow:
                yield Entry(item.key, FOREIGN)


def _entries(layout: Layout, listing: PartitionListing, choice: Choice) -> Iterator[Entry]:
    live = {one.window.info.key: one for one in listing.live()}
    effective = union(live_gaps([window.name for window in listing.windows], listing.gaps))
    found = [_window(listing.partition, window, live.get(window.info.key)) for window in listing.windows]
    found += [_part(listing.partition, part) for part in listing.parts]
    found += [_marker(layout, listing.partition, gap, effective) for gap in listing.gaps]
    for entry in sorted(found, key=lambda entry: (entry.first, entry.last, entry.key)):
        if choice.takes(entry.first or 0, entry.last or 0):
            yield entry


def _window(partition: PartitionId, window: WindowObject, live: Live[WindowObject] | None) -> Entry:
    entry = _stored(partition, window, WINDOW)
    if live is None:
        return replace(entry, state=SUPERSEDED)
    if live.span.last < window.name.last:
        return replace(entry, state=CUT, live=live.span)
    return replace(entry, state=LIVE)


def _part(partition: PartitionId, part: WindowObject) -> Entry:
    return _stored(partition, part, PART)


def _stored(partition: PartitionId, window: WindowObject, kind: str) -> Entry:
    name, info = window.name, window.info
    return Entry(
        info.key,
        kind,
        partition,
        first=name.first,
        last=name.last,
        epoch=name.epoch,
        oldest_ms=name.oldest_ms,
        newest_ms=name.newest_ms,
        size_bytes=info.size_bytes,
        modified_ms=info.modified_ms,
    )


def _marker(layout: Layout, partition: PartitionId, gap: GapName, effective: list[Span]) -> Entry:
    counts = any(span.first <= gap.first <= span.last for span in effective)
    state = LIVE if counts else SUPERSEDED
    key = layout.object(partition, gap)
    return Entry(key, MARKER, partition, state, gap.first, gap.last, note=gap.reason.value)


def _told(said: Said) -> Json:
    facts = said.facts
    return {
        "records": facts.count if facts else None,
        "encoded_bytes": facts.size_bytes if facts else None,
        "timestamp_type": facts.timestamp_type.value if facts else None,
        "digest": facts.digest if facts else None,
        "written_ms": facts.written if facts else None,
        "redactions": said.redactions,
        "last_sweep": said.last_sweep or None,
    }
