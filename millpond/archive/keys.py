"""Where things lie in an archive: the key grammar, both ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from millpond.archive.names import GapName, PartName, WindowName

_TOPIC = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")
_TOPIC_ID = re.compile(r"[A-Za-z0-9_-]{22}|no-id-(?:0|[1-9][0-9]*)")
_PARTITION = re.compile(r"0|[1-9][0-9]{0,9}")
_PARTS = "parts"
_EVENT = re.compile(r"(?P<at>[0-9]{13})-(?P<kind>truncated|missing|recreated|tombstones-maybe-lost|imported)\.json")


@dataclass(frozen=True, slots=True, order=True)
class Incarnation:
    """One life of a topic, from its creation to its deletion.

    Attributes:
        topic: The topic's name.
        topic_id: Kafka's id of this life, 22 URL-safe base64 characters.
    """

    topic: str
    topic_id: str

    def __str__(self) -> str:
        return f"{self.topic} ({self.topic_id})"


@dataclass(frozen=True, slots=True, order=True)
class PartitionId:
    """One partition of one incarnation: what has a folder of its own."""

    incarnation: Incarnation
    partition: int

    @property
    def topic(self) -> str:
        return self.incarnation.topic

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}"


@dataclass(frozen=True, slots=True)
class EventKey:
    """An event object of an incarnation."""

    incarnation: Incarnation
    at_ms: int
    kind: str


@dataclass(frozen=True, slots=True)
class PartitionObject:
    """A window, a part of one or a gap, and the partition whose folder holds it."""

    partition: PartitionId
    name: WindowName | GapName


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one archive.

    Attributes:
        prefix: The archive's root inside its store, without slashes at the ends; may be empty.
    """

    prefix: str

    def under(self, *parts: str) -> str:
        return "/".join((*([self.prefix] if self.prefix else []), *parts))

    @property
    def identity(self) -> str:
        return self.under("archive.json")

    @property
    def topics(self) -> str:
        return self.under("topics/")

    def topic(self, topic: str) -> str:
        return self.under("topics", topic, "")

    def incarnation(self, incarnation: Incarnation) -> str:
        return f"{self.topic(incarnation.topic)}{incarnation.topic_id}/"

    def folder(self, partition: PartitionId) -> str:
        return f"{self.incarnation(partition.incarnation)}{partition.partition}/"

    def object(self, partition: PartitionId, name: WindowName | GapName) -> str:
        return self.folder(partition) + self.relative(partition, name)

    def relative(self, partition: PartitionId, name: WindowName | GapName) -> str:
        """The key below the partition's folder."""
        path = f"{_PARTS}/{name.path}/" if isinstance(name, PartName) else ""
        return path + name.file_name(topic=partition.topic, partition=partition.partition)

    def event(self, incarnation: Incarnation, at_ms: int, kind: str) -> str:
        return f"{self.incarnation(incarnation)}events/{at_ms:013d}-{kind}.json"

    def cluster(self, at_ms: int) -> str:
        return self.under("cluster", utc_day(at_ms), f"{at_ms:013d}.json")

    def groups(self, at_ms: int) -> str:
        return self.under("groups", utc_day(at_ms), f"{at_ms:013d}.avro")

    def cut(self, name: str) -> str:
        return self.under("cuts", f"{name}.json")

    def run(self, kind: str, run_id: str, *parts: str) -> str:
        return self.under("runs", kind, run_id, *parts)

    def receipt(self, request_id: str) -> str:
        return self.under("erasures", "receipts", f"{request_id}.json")

    def parse_topic(self, folder: str) -> str | None:
        """The topic of a folder below `topics`, its key ending in a slash, or None if it is foreign."""
        name = folder.removeprefix(self.topics).removesuffix("/")
        return name if _TOPIC.fullmatch(name) else None

    def parse_incarnation(self, folder: str) -> Incarnation | None:
        """The incarnation of a folder below a topic's, its key ending in a slash, or None if it is foreign."""
        topic, _, topic_id = folder.removeprefix(self.topics).removesuffix("/").partition("/")
        return Incarnation(topic, topic_id) if _TOPIC.fullmatch(topic) and _TOPIC_ID.fullmatch(topic_id) else None

    def parse(self, key: str) -> PartitionObject | EventKey | None:
        """What lies at a key below `topics`, or None for anything that the grammar does not know."""
        parts = key.removeprefix(self.topics).split("/") if key.startswith(self.topics) else []
        is_part = len(parts) > 5 and parts[3] == _PARTS
        if not (is_part or len(parts) == 4) or not _TOPIC.fullmatch(parts[0]) or not _TOPIC_ID.fullmatch(parts[1]):
            return None
        incarnation, folder, file_name = Incarnation(parts[0], parts[1]), parts[2], parts[-1]
        if folder == "events" and not is_part:
            match = _EVENT.fullmatch(file_name)
            return EventKey(incarnation, int(match["at"]), match["kind"]) if match else None
        if not _PARTITION.fullmatch(folder) or int(folder) >= 2**31:
            return None
        partition = PartitionId(incarnation, int(folder))
        name = _part(partition, parts[4:]) if is_part else _window_or_gap(partition, file_name)
        return PartitionObject(partition, name) if name else None


def utc_day(at_ms: int) -> str:
    """The folders of a moment: year, month and day in UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y/%m/%d}"


def _part(partition: PartitionId, path: list[str]) -> PartName | None:
    return PartName.parse_in("/".join(path[:-1]), path[-1], topic=partition.topic, partition=partition.partition)


def _window_or_gap(partition: PartitionId, file_name: str) -> WindowName | GapName | None:
    topic, number = partition.topic, partition.partition
    window = WindowName.parse(file_name, topic=topic, partition=number)
    return window or GapName.parse(file_name, topic=topic, partition=number)
