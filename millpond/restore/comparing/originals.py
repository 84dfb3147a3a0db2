"""What a part of a restored partition is held against: the archive, or the topic that it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from millpond.archive.digest import new_salt
from millpond.archive.facts import has_redactions
from millpond.archive.schema import TimestampType
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.comparing.join import digest_of_messages
from millpond.restore.comparing.log import LogReader
from millpond.restore.comparing.tally import Reason
from millpond.restore.planning.moments import EVERY, Moments
from millpond.restore.writing.offset_map import Chunk
from millpond.restore.writing.source import Part, Source
from millpond.storage.contract import ObjectStore


class Stated(NamedTuple):
    """The digest of a part's records under this salt and type; "" where there is none."""

    digest: str
    salt: bytes
    kind: TimestampType


class Originals(Protocol):
    """The records of one part, due ones only."""

    def stated(self) -> Stated:
        """Their digest, without going through them one by one."""

    def rows(self) -> Iterator[Row]:
        """All of them, in offset order. `DamagedArchive` where they cannot be read."""

    def lost(self, offset: int) -> Reason | None:
        """Why the record at this offset may no longer be there."""

    def redacted(self) -> bool:
        """Whether a redaction took something out between these and the target."""


@dataclass(frozen=True, slots=True)
class TopicNow:
    """What a topic's partition holds at the moment, and why records may leave it.

    Attributes:
        start, end: Log start and last stable offset.
        shrinks: Whether records may leave by age, size or a request: not before a restore is finished.
        compacts: Whether later records of a key take the place of earlier ones.
    """

    place: Place
    start: int
    end: int
    shrinks: bool
    compacts: bool

    def lost(self, offset: int, reader: LogReader) -> Reason | None:
        """Why the topic may no longer have what it had at this offset."""
        if self.shrinks and offset < max(self.start, reader.starts.get(self.place, 0)):
            return Reason.BELOW_LOG_START
        return Reason.COMPACTED if self.compacts and offset < self.end else None


@dataclass(frozen=True, slots=True)
class ArchivedPart:
    """The part as the archive holds it, in the versions that were planned."""

    source: Source
    part: Part
    moments: Moments

    def stated(self) -> Stated:
        with ExitStack() as stack:
            opened = self.source.open(self.part, stack, self.moments)
            return Stated(opened.digest, opened.salt, opened.timestamp_type)

    def rows(self) -> Iterator[Row]:
        with ExitStack() as stack:
            for batch in self.source.open(self.part, stack, self.moments).batches():
                yield from batch

    def lost(self, offset: int) -> Reason | None:
        return None

    def redacted(self) -> bool:
        return False  # a plan names versions: what was redacted later is no longer there, and raises


@dataclass(frozen=True, slots=True)
class LivePart:
    """The same offsets as the source topic holds them now."""

    store: ObjectStore
    part: Part
    chunk: Chunk | None
    moments: Moments
    topic: TopicNow
    reader: LogReader
    left_out: Callable[[Reason], None]

    def stated(self) -> Stated:
        salt, kind = new_salt(), self.chunk.kind if self.chunk is not None else TimestampType.NONE
        if self.chunk is None or self.moments != EVERY:
            return Stated("", salt, kind)
        return Stated(digest_of_messages(self.reader.batches(*self._range()), salt, kind)[0], salt, kind)

    def rows(self) -> Iterator[Row]:
        for row, _, readable in self.reader.rows(*self._range()):
            if not readable:
                self.left_out(Reason.UNREADABLE)  # the backup left it out as well
            elif self.moments.hold_all(row[1], row[1]):
                yield row

    def lost(self, offset: int) -> Reason | None:
        return self.topic.lost(offset, self.reader)

    def redacted(self) -> bool:
        windows = (live.window for live in self.part.windows)
        heads = (self.store.head(window.key, version=window.version) for window in windows)
        return any(head is None or has_redactions(head.metadata) for head in heads)

    def _range(self) -> tuple[Place, int, int]:
        first = min(live.span.first for live in self.part.windows)
        last = max(live.span.last for live in self.part.windows)
        return self.topic.place, max(first, self.topic.start), min(last + 1, self.topic.end)
