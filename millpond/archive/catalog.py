"""From a listing to partitions: the one way anything learns what an archive holds.

Whatever the key grammar does not know is foreign: it is reported and never used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from millpond.archive.coverage import Live, Span, covered, holes, live_windows, next_position
from millpond.archive.keys import EventKey, Incarnation, Layout, PartitionId, PartitionObject
from millpond.archive.names import GapName, PartName, WindowName
from millpond.storage.contract import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class WindowObject:
    """A window in the store."""

    name: WindowName
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class PartitionListing:
    """All objects of one partition's folder, in listing order.

    Attributes:
        parts: Objects that windows of several objects list; alone they count for nothing.
    """

    partition: PartitionId
    windows: tuple[WindowObject, ...]
    gaps: tuple[GapName, ...]
    parts: tuple[WindowObject, ...] = ()

    def live(self) -> list[Live[WindowObject]]:
        """The windows that count, in offset order."""
        return live_windows((window.name, window) for window in self.windows)

    def covered(self) -> list[Span]:
        """Offsets that a live window or a live marker speaks for, as few spans."""
        return covered((window.name for window in self.windows), self.gaps)

    def unexplained(self) -> list[Span]:
        """Holes from offset 0 to the end of what is covered: damage."""
        return holes(self.covered(), start=0)

    def position(self, *, log_start: int) -> int:
        """Where a backup of this partition goes on."""
        return next_position(covered((w.name for w in self.windows), self.gaps, doubt=min), start=log_start)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A key below topics/ that is nothing of ours."""

    key: str


def list_topics(store: ObjectStore, layout: Layout) -> list[str]:
    """Names of all topics that have a folder."""
    folders = (entry for entry in store.list(layout.topics, delimiter="/") if isinstance(entry, str))
    return [topic for topic in map(layout.parse_topic, folders) if topic is not None]


def list_incarnations(store: ObjectStore, layout: Layout, topic: str) -> list[Incarnation]:
    """All lives of a topic that have a folder, in no meaningful order."""
    folders = (entry for entry in store.list(layout.topic(topic), delimiter="/") if isinstance(entry, str))
    return [incarnation for incarnation in map(layout.parse_incarnation, folders) if incarnation is not None]


def read_topic(store: ObjectStore, layout: Layout, topic: str) -> Iterator[PartitionListing | EventKey | Foreign]:
    """Everything below a topic's folder."""
    return _read(store, layout, layout.topic(topic))


def read_archive(store: ObjectStore, layout: Layout) -> Iterator[PartitionListing | EventKey | Foreign]:
    """Everything below topics/."""
    return _read(store, layout, layout.topics)


def read_partition(store: ObjectStore, layout: Layout, partition: PartitionId) -> PartitionListing:
    """One partition's folder; empty where there is none. Foreign keys are left out: `read_topic` tells them."""
    found = [item for item in _read(store, layout, layout.folder(partition)) if isinstance(item, PartitionListing)]
    return found[0] if found else PartitionListing(partition, (), ())


def listing_of(layout: Layout, partition: PartitionId, infos: Iterable[ObjectInfo]) -> PartitionListing:
    """What these objects of a partition's folder are, in listing order; foreign ones are left out."""
    parsed = [(info, layout.parse(info.key)) for info in infos]
    ours = [(info, what) for info, what in parsed if isinstance(what, PartitionObject)]
    return _listing(ours) if ours else PartitionListing(partition, (), ())


def _read(store: ObjectStore, layout: Layout, prefix: str) -> Iterator[PartitionListing | EventKey | Foreign]:
    """Grouped by folder, so that a foreign key between two windows does not part a partition in two."""
    infos = (entry for entry in store.list(prefix) if isinstance(entry, ObjectInfo))
    for _, group in groupby(infos, key=lambda info: info.key.removeprefix(layout.topics).split("/")[:-1][:3]):
        parsed = [(info, layout.parse(info.key)) for info in group]
        for info, what in parsed:
            if not isinstance(what, PartitionObject):
                yield what or Foreign(info.key)
        if ours := [(info, what) for info, what in parsed if isinstance(what, PartitionObject)]:
            yield _listing(ours)


def _listing(found: Sequence[tuple[ObjectInfo, PartitionObject]]) -> PartitionListing:
    objects = [WindowObject(what.name, info) for info, what in found if isinstance(what.name, WindowName)]
    windows = tuple(entry for entry in objects if not isinstance(entry.name, PartName))
    parts = tuple(entry for entry in objects if isinstance(entry.name, PartName))
    gaps = tuple(what.name for _, what in found if isinstance(what.name, GapName))
    return PartitionListing(found[0][1].partition, windows, gaps, parts)
