"""Records of one object, or of a range of offsets as a restore would read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from millpond.archive.catalog import PartitionListing, WindowObject, read_partition
from millpond.archive.coverage import Live, Span, holes
from millpond.archive.documents import Json
from millpond.archive.identity import read_identity
from millpond.archive.keys import Layout, PartitionId, PartitionObject
from millpond.archive.names import PartName, WindowName
from millpond.archive.parts import listed_parts, read_document
from millpond.archive.schema import TimestampType
from millpond.errors import TryAgain, WrongUsage
from millpond.records import Row
from millpond.restore.writing.source import Source, parts_of
from millpond.storage.contract import Changed, NoSuchObject, ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of one partition, in offset order."""

    partition: PartitionId
    timestamp_type: TimestampType
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of a partition, and what the archive has of them.

    Attributes:
        listing: The partition's objects.
        offsets: What is asked for; its end may lie behind the archive's.
    """

    listing: PartitionListing
    offsets: Span

    @property
    def unexplained(self) -> list[Span]:
        """Offsets asked for, before the end of what is covered, that nothing speaks for."""
        covered = self.listing.covered()
        end = min(self.offsets.last, covered[-1].last) if covered else -1
        return holes(covered, start=self.offsets.first, end=end) if end >= self.offsets.first else []

    def wanted(self) -> list[Live[WindowObject]]:
        """The windows that speak for the range, each cut to it."""
        return [
            Live(one.window, Span(max(one.span.first, self.offsets.first), min(one.span.last, self.offsets.last)))
            for one in self.listing.live()
            if one.span.first <= self.offsets.last and one.span.last >= self.offsets.first
        ]


def range_of(store: ObjectStore, layout: Layout, partition: PartitionId, offsets: Span) -> Range:
    """The range. `WrongUsage` where the archive has nothing of the partition."""
    listing = read_partition(store, layout, partition)
    if not listing.windows and not listing.gaps:
        raise WrongUsage(
            f"the archive has nothing of {partition}", hint="`millpond info --partitions` lists what is there"
        )
    return Range(listing, offsets)


def read_range(store: ObjectStore, layout: Layout, found: Range) -> Iterator[Batch]:
    """The records of the range: windows that overlap are united, what a truncation cut off is left out.

    Raises:
        DamagedArchive: At the damage; records before it were given already.
    """
    yield from _read(store, layout, found.listing, found.wanted())


def read_object(store: ObjectStore, layout: Layout, key: str) -> Iterator[Batch]:
    """The records of one window, superseded or not. `WrongUsage` where the key is none of a window."""
    what = layout.parse(key)
    if not isinstance(what, PartitionObject) or not isinstance(what.name, WindowName):
        raise WrongUsage(f"{key} is no window of this archive", hint="`millpond ls` lists keys as they are needed here")
    if isinstance(what.name, PartName):
        raise WrongUsage(f"{key} is a part of a window", hint="name the window's own object, which ends in .parts")
    info = store.head(key)
    if info is None:
        raise WrongUsage(f"there is no object {key}", hint="`millpond ls` lists what is there")
    alone = PartitionListing(what.partition, (WindowObject(what.name, info),), ())
    listing = read_partition(store, layout, what.partition) if what.name.parts else alone
    whole = Live(WindowObject(what.name, info), Span(what.name.first, what.name.last))
    yield from _read(store, layout, listing, [whole])


def _read(
    store: ObjectStore, layout: Layout, listing: PartitionListing, windows: list[Live[WindowObject]]
) -> Iterator[Batch]:
    archive_id = read_identity(store, layout).archive_id
    source = Source(store, layout, archive_id)
    partition = listing.partition
    try:
        items = [_item(store, layout, listing, one, archive_id) for one in windows]
        for part in parts_of({"objects": items}):
            with ExitStack() as stack:
                reader = source.open(part, stack)
                for rows in reader.batches():
                    yield Batch(partition, reader.timestamp_type, rows)
    except (NoSuchObject, Changed) as error:
        raise TryAgain(
            f"an object of {partition} was removed or replaced while it was read", hint="run the command again"
        ) from error


def _item(
    store: ObjectStore, layout: Layout, listing: PartitionListing, one: Live[WindowObject], archive_id: str
) -> Json:
    """What the plan of a restore would say of the window."""
    info, name = one.window.info, one.window.name
    item = _pin(info) | {"size": info.size_bytes, "first": one.span.first, "last": one.span.last}
    if not name.parts:
        return item
    document = read_document(store, layout, listing.partition, name, info, archive_id)
    return item | {"parts": [_pin(part.info) for part in listed_parts(layout, listing, document, info.key)]}


def _pin(info: ObjectInfo) -> Json:
    return {"key": info.key, "version": info.version, "etag": info.etag}
