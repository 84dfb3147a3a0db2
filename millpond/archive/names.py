"""File names inside a partition's folder: what a plan needs to know of an object without opening it.

Names are parsed against the folder's topic and partition, because topics may contain '-' and '.'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_WINDOW = re.compile(
    r"(?P<first>[0-9]{19})-(?P<last>[0-9]{19})-e(?P<epoch>-1|0|[1-9][0-9]{0,9})"
    r"-t(?P<oldest_ms>0|-?[1-9][0-9]{0,18})-(?P<newest_ms>0|-?[1-9][0-9]{0,18})(?:-d(?P<twin>[0-9a-f]{8}))?\.avro"
)
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
    """

    first: int
    last: int
    epoch: int
    oldest_ms: int
    newest_ms: int
    twin: str = ""

    @classmethod
    def parse(cls, file_name: str, *, topic: str, partition: int) -> WindowName | None:
        """The window that `file_name` names, or None if it is no window of this partition."""
        match = _body(_WINDOW, file_name, topic, partition)
        if match is None:
            return None
        first, last, epoch, oldest, newest = (int(match[field]) for field in cls.__slots__[:5])
        if epoch >= 2**31 or not -(2**63) <= oldest <= newest < 2**63:
            return None
        return cls(first, last, epoch, oldest, newest, twin=match["twin"] or "")

    def file_name(self, *, topic: str, partition: int) -> str:
        twin = f"-d{self.twin}" if self.twin else ""
        bounds = f"e{self.epoch}-t{self.oldest_ms}-{self.newest_ms}"
        return f"{topic}-{partition}-{self.first:019d}-{self.last:019d}-{bounds}{twin}.avro"


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


def _body(pattern: re.Pattern[str], file_name: str, topic: str, partition: int) -> re.Match[str] | None:
    body = file_name.removeprefix(f"{topic}-{partition}-")
    match = pattern.fullmatch(body) if body != file_name else None
    return match if match and int(match["first"]) <= int(match["last"]) < 2**63 else None
