"""What a window says of itself, in its Avro header and, so that a HEAD is enough, as object metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from millpond.archive.documents import parse
from millpond.archive.keys import Incarnation, PartitionId
from millpond.archive.names import PartName, WindowName
from millpond.archive.schema import FORMAT_VERSION, TimestampType, refuse_newer
from millpond.errors import DamagedArchive

_PREFIX = "millpond."
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_SALT = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What one sweep took out of a window; numbers only."""

    sweep: str
    dropped: int
    tombstoned: int
    masked: int
    at: int


@dataclass(frozen=True, slots=True)
class PartOf:
    """What tells a part from a window.

    Attributes:
        index: Its number among the window's parts, from 0.
        parts: How many the window has.
        window: The window's name without twin and ending.
    """

    index: int
    parts: int
    window: str


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """The file metadata of `docs/format.md`.

    Attributes:
        first, last: Offsets covered, both inclusive.
        count: Records held.
        size_bytes: Their canonical encoding before compression.
        min_timestamp, max_timestamp: Bounds of the record timestamps, epoch ms.
        salt, digest: Hex; see `millpond.archive.digest`.
        written: When the window was first written, epoch ms.
        part: Of a part: which one. Coverage, epoch and time of writing are then the window's, all else is its own.
    """

    archive_id: str
    partition: PartitionId
    first: int
    last: int
    count: int
    size_bytes: int
    leader_epoch: int
    timestamp_type: TimestampType
    min_timestamp: int
    max_timestamp: int
    salt: str
    digest: str
    written: int
    redactions: tuple[Redaction, ...] = ()
    part: PartOf | None = None

    @property
    def name(self) -> WindowName:
        return WindowName(self.first, self.last, self.leader_epoch, self.min_timestamp, self.max_timestamp)

    def confirm(self, *, archive_id: str, partition: PartitionId, name: WindowName) -> None:
        """Raises `DamagedArchive` where these facts are not of the archive and the key that the object was found at."""
        if (self.archive_id, self.partition) != (archive_id, partition) or not self.fits(name):
            key = name.file_name(topic=partition.topic, partition=partition.partition)
            raise DamagedArchive(
                f"{key} holds another window: {self.first}..{self.last} of {self.partition}, archive {self.archive_id}",
                hint="it was damaged, or copied to the wrong place",
            )

    def fits(self, name: WindowName) -> bool:
        """Whether an object with these facts may have this name in its partition's folder."""
        if not isinstance(name, PartName):
            return self.part is None and self.name == replace(name, twin="", parts=False)
        window = name.stem(topic=self.partition.topic, partition=self.partition.partition)
        return (
            self.part is not None
            and (self.part.index, self.part.window) == (name.index, window)
            and (self.first, self.last, self.leader_epoch) == (name.first, name.last, name.epoch)
            and name.oldest_ms <= self.min_timestamp <= self.max_timestamp <= name.newest_ms
        )

    def _fields(self) -> dict[str, str]:
        part = self.part
        own = {"part": str(part.index), "parts": str(part.parts), "window": part.window} if part else {}
        return {
            "format": str(FORMAT_VERSION),
            "archive_id": self.archive_id,
            "topic": self.partition.topic,
            "topic_id": self.partition.incarnation.topic_id,
            "partition": str(self.partition.partition),
            "first": str(self.first),
            "last": str(self.last),
            "count": str(self.count),
            "bytes": str(self.size_bytes),
            "leader_epoch": str(self.leader_epoch),
            "timestamp_type": self.timestamp_type.value,
            "min_timestamp": str(self.min_timestamp),
            "max_timestamp": str(self.max_timestamp),
            "salt": self.salt,
            "digest": self.digest,
            "written": str(self.written),
            **own,
        }

    def to_file_metadata(self) -> dict[str, bytes]:
        """For the Avro header. The list of redactions is there only where there is one."""
        fields = self._fields()
        if self.redactions:
            fields["redactions"] = json.dumps([_as_json(entry) for entry in self.redactions], separators=(",", ":"))
        return {_PREFIX + name: text.encode() for name, text in fields.items()}

    def to_object_metadata(self) -> dict[str, str]:
        """For the object store, which allows 2 KB: the redactions are a count and the last sweep."""
        fields = self._fields()
        if self.redactions:
            fields |= {"redactions": str(len(self.redactions)), "last_sweep": self.redactions[-1].sweep}
        return {f"millpond-{name.replace('_', '-')}": text for name, text in fields.items()}

    @classmethod
    def from_file_metadata(cls, metadata: Mapping[str, bytes]) -> WindowFacts:
        """Raises `DamagedArchive` where a field is missing or malformed, `WrongUsage` for a newer format."""
        ours = {name.removeprefix(_PREFIX): text for name, text in metadata.items() if name.startswith(_PREFIX)}
        try:
            fields = {name: text.decode() for name, text in ours.items()}
        except UnicodeDecodeError as error:
            raise DamagedArchive("the metadata of a window is not text") from error
        return cls._from_fields(fields, _redactions(fields.get("redactions", "[]")))

    @classmethod
    def from_object_metadata(cls, metadata: Mapping[str, str]) -> WindowFacts:
        """The same from a HEAD; the redactions are not there (see `has_redactions`)."""
        fields = {name.removeprefix("millpond-").replace("-", "_"): text for name, text in metadata.items()}
        return cls._from_fields(fields, ())

    @classmethod
    def _from_fields(cls, fields: Mapping[str, str], redactions: tuple[Redaction, ...]) -> WindowFacts:
        refuse_newer(fields.get("format", ""), "a window")
        try:
            return cls(
                archive_id=fields["archive_id"],
                partition=PartitionId(Incarnation(fields["topic"], fields["topic_id"]), _integer(fields["partition"])),
                first=_integer(fields["first"]),
                last=_integer(fields["last"]),
                count=_integer(fields["count"]),
                size_bytes=_integer(fields["bytes"]),
                leader_epoch=_integer(fields["leader_epoch"]),
                timestamp_type=TimestampType(fields["timestamp_type"]),
                min_timestamp=_integer(fields["min_timestamp"]),
                max_timestamp=_integer(fields["max_timestamp"]),
                salt=_matching(_SALT, fields["salt"]),
                digest=_matching(_DIGEST, fields["digest"]),
                written=_integer(fields["written"]),
                redactions=redactions,
                part=_part(fields),
            )
        except (KeyError, ValueError) as error:
            raise DamagedArchive(f"the metadata of a window lacks a field or holds a malformed one: {error}") from error


def _part(fields: Mapping[str, str]) -> PartOf | None:
    if "part" not in fields:
        return None
    return PartOf(_integer(fields["part"]), _integer(fields["parts"]), fields["window"])


def has_redactions(metadata: Mapping[str, str]) -> bool:
    """Whether a sweep has rewritten the window with this object metadata."""
    return metadata.get("millpond-redactions", "0") != "0"


def _redactions(text: str) -> tuple[Redaction, ...]:
    entries = parse(text, "the list of a window's redactions")
    if not isinstance(entries, list) or not all(map(_is_redaction, entries)):
        raise DamagedArchive("the list of a window's redactions is malformed")
    return tuple(Redaction(**{name: entry[name] for name in Redaction.__slots__}) for entry in entries)


def _is_redaction(entry: object) -> bool:
    kinds = {name: str if name == "sweep" else int for name in Redaction.__slots__}
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def _as_json(entry: Redaction) -> dict[str, str | int]:
    return {name: getattr(entry, name) for name in Redaction.__slots__}


def _integer(text: str) -> int:
    return int(_matching(_INTEGER, text))


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:40]!r}")
    return text
