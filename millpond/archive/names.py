"""File names inside a partition's folder: what a plan needs to know of an object without opening it.

Names are parsed against the folder's topic and partition, because topics may contain '-' and '.'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_WINDOW = re.compile(
    r"(?P<first>[0-9]{19})-(?P<last>[0-9]{19})-e(?P<epoch>-1|0|[1-9][0-9]{0,9})"
    r"-t(?P<oldest_ms>0|-?[1-9][0-9]{0,18})-(?P<newest_ms>0|-?[1-9][0-9]{0,18})(?:-d(?P<twin>[0-9a-f]{8}))?"
    r"(?:(?P<whole>\.avro)|(?P<parts>\.parts)|-p(?P<index>0|[1-9][0-9]{0,8})\.avro)"
)
_PATH = re.compile(r"[A-Za-z0-9._~%-]+=[A-Za-z0-9._~%-]+(?:/[A-Za-z0-9._~%-]+=[A-Za-z0-9._~%-]+)*")
_GAP = re.compile(r"(?P<first>[0-9]{19})-(?P<last>[0-9]{19})-(?P<reason>[a-z]+)\.gap")


class GapReason(StrEnum):
    """Why a range of offsets has no records in the archive."""

    RETENTION = "retention"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    SKIPPED = "skipped"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True, order=True)
class WindowName:
    """Coverage and bounds of one window.

    Attributes:
        first: First offset covered, inclusive; may lie before the first record.
        last: Last offset covered, inclusive; may lie behind the last record.
        epoch: Leader epoch shared by all records, -1 if unknown.
        oldest_ms: Smallest record timestamp, epoch ms; a lower bound after redaction.
        newest_ms: Largest record timestamp, epoch ms; an upper bound after redaction.
        twin: Start of the digest, where the plain name was taken by other content.
        parts: Whether the object under this name lists others, which hold the records.
    """

    first: int
    last: int
    epoch: int
    oldest_ms: int
    newest_ms: int
    twin: str = ""
    parts: bool = False

    @classmethod
    def parse(cls, file_name: str, *, topic: str, partition: int) -> WindowName | None:
        """The window that `file_name` names, or None if it is no window of this partition."""
        match = _body(_WINDOW, file_name, topic, partition)
        bounds = _bounds(match) if match and match["index"] is None else None
        if match is None or bounds is None:
            return None
        return cls(*bounds, twin=match["twin"] or "", parts=match["parts"] is not None)

    def stem(self, *, topic: str, partition: int) -> str:
        """The name without twin and ending: the same for a window, however it is written, and all its parts."""
        bounds = f"e{self.epoch}-t{self.oldest_ms}-{self.newest_ms}"
        return f"{topic}-{partition}-{self.first:019d}-{self.last:019d}-{bounds}"

    def file_name(self, *, topic: str, partition: int) -> str:
        twin = f"-d{self.twin}" if self.twin else ""
        ending = ".parts" if self.parts else ".avro"
        return f"{self.stem(topic=topic, partition=partition)}{twin}{ending}"


@dataclass(frozen=True, slots=True, order=True)
class PartName(WindowName):
    """One of the objects that hold a window's records. Coverage and bounds in the name are the window's.

    Attributes:
        twin: Start of the part's own digest, where the plain name was taken by other content.
        path: What its records share: `name=value` parts with slashes between them.
        index: Its number among the window's parts, from 0.
    """

    path: str = ""
    index: int = 0

    @property
    def window(self) -> WindowName:
        """The window whose records these are."""
        return WindowName(self.first, self.last, self.epoch, self.oldest_ms, self.newest_ms)

    @classmethod
    def parse_in(cls, path: str, file_name: str, *, topic: str, partition: int) -> PartName | None:
        """The part that lies under `path`, or None if it is no part of this partition."""
        match = _body(_WINDOW, file_name, topic, partition)
        bounds = _bounds(match) if match and match["index"] is not None else None
        if match is None or bounds is None or not _PATH.fullmatch(path):
            return None
        return cls(*bounds, twin=match["twin"] or "", path=path, index=int(match["index"]))

    def file_name(self, *, topic: str, partition: int) -> str:
        twin = f"-d{self.twin}" if self.twin else ""
        return f"{self.stem(topic=topic, partition=partition)}{twin}-p{self.index}.avro"


@dataclass(frozen=True, slots=True, order=True)
class GapName:
    """A range of offsets that holds no records here, both ends inclusive."""

    first: int
    last: int
    reason: GapReason

    @classmethod
    def parse(cls, file_name: str, *, topic: str, partition: int) -> GapName | None:
        """The gap that `file_name` names, or None if it is no gap of this partition."""
        match = _body(_GAP, file_name, topic, partition)
        if match is None or match["reason"] not in _REASONS:
            return None
        return cls(int(match["first"]), int(match["last"]), GapReason(match["reason"]))

    def file_name(self, *, topic: str, partition: int) -> str:
        return f"{topic}-{partition}-{self.first:019d}-{self.last:019d}-{self.reason.value}.gap"


_REASONS = {reason.value for reason in GapReason}


def _bounds(match: re.Match[str]) -> tuple[int, int, int, int, int] | None:
    """First, last, epoch, oldest and newest, where a window may have them."""
    epoch, oldest, newest = int(match["epoch"]), int(match["oldest_ms"]), int(match["newest_ms"])
    if epoch >= 2**31 or not -(2**63) <= oldest <= newest < 2**63:
        return None
    return int(match["first"]), int(match["last"]), epoch, oldest, newest


def _body(pattern: re.Pattern[str], file_name: str, topic: str, partition: int) -> re.Match[str] | None:
    body = file_name.removeprefix(f"{topic}-{partition}-")
    match = pattern.fullmatch(body) if body != file_name else None
    return match if match and int(match["first"]) <= int(match["last"]) < 2**63 else None
