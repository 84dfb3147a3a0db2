"""One partition of a restore: what the archive, or the source topic itself, holds against what the target holds now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.errors import DamagedArchive
from millpond.restore.comparing.join import compare_records
from millpond.restore.comparing.log import LogReader
from millpond.restore.comparing.originals import ArchivedPart, LivePart, Originals, TopicNow
from millpond.restore.comparing.sample import Sample
from millpond.restore.comparing.tally import Difference, Kind, Reason, Tally
from millpond.restore.comparing.target_records import digest_of_target, target_offset, target_records
from millpond.restore.comparing.threads import Told
from millpond.restore.planning.moments import Moments
from millpond.restore.writing.offset_map import Chunk
from millpond.restore.writing.source import Part, Source
from millpond.storage.contract import ObjectStore


@dataclass(frozen=True, slots=True)
class Readers:
    """What one thread reads with; `source` only where the source topic is read instead of the archive."""

    target: LogReader
    source: LogReader | None = None


@dataclass(frozen=True, slots=True)
class RestoredPartition:
    """A line of a plan whose records are in the target.

    Attributes:
        base: Where this run's records begin in the target.
        parts: As they were restored; chunks by their numbers.
        sizes: Stored bytes of the windows, by their keys.
        origin: The source topic, where it is read instead of the archive.
        with_header: Whether the restore added the header of the source offset.
    """

    store: ObjectStore
    source: Source
    line: Json
    base: int
    parts: list[Part]
    sizes: Mapping[str, int]
    chunks: dict[int, Chunk]
    target: TopicNow
    origin: TopicNow | None
    with_header: bool

    def size_bytes(self, part: int) -> int:
        """Stored, of one part."""
        return sum(self.sizes[live.window.key] for live in self.parts[part].windows)

    def compare(self, readers: Readers, sample: Sample, told: Told) -> Json:
        """The counts. What of the archive cannot be read is a difference, too."""
        return self.compare_parts(readers, sample.choose(len(self.parts), "{}-{}".format(*self.target.place)), told)

    def compare_parts(self, readers: Readers, numbers: list[int], told: Told) -> Json:
        """The same of these parts."""
        tally = Tally(ranges=len(self.parts), chosen=len(numbers))
        told.expect(len(numbers))
        for number in numbers:
            part = self.parts[number]
            try:
                self._compare(number, readers, tally)
            except DamagedArchive as error:
                first = min(live.span.first for live in part.windows)
                tally.add(Difference(Kind.DAMAGED, first, text=str(error.args[0])))
            told.done(1)
        self._look_behind(tally)
        place = {"target": self.target.place[0], "partition": self.target.place[1]}
        return {"topic": self.line["topic"], **place, **tally.document()}

    def _compare(self, number: int, readers: Readers, tally: Tally) -> None:
        part, chunk, moments = self.parts[number], self.chunks.get(number), Moments.of(self.line)
        originals: Originals = ArchivedPart(self.source, part, moments)
        if readers.source is not None and self.origin is not None:

            def left_out(reason: Reason) -> None:
                tally.explained[reason] += 1

            originals = LivePart(self.store, part, chunk, moments, self.origin, readers.source, left_out)
        _PartComparison(self, originals, chunk, readers.target, tally).run()

    def _look_behind(self, tally: Tally) -> None:
        """Records behind the restored ones: somebody else's, and nothing wrong once the topic is in use."""
        end = max((chunk.end for chunk in self.chunks.values()), default=self.base)
        behind = self.target.end - end
        if behind > 0 and self.target.shrinks:
            tally.explained[Reason.AFTER_THE_RESTORE] += behind
        elif behind > 0:
            tally.add(Difference(Kind.ONLY_IN_TOPIC, end, end, text="a record that the restore did not write"))
            tally.found[Kind.ONLY_IN_TOPIC] += behind - 1


@dataclass(frozen=True, slots=True)
class _PartComparison:
    """One part of the partition, and what excuses its differences (`Excuses`)."""

    partition: RestoredPartition
    originals: Originals
    chunk: Chunk | None
    reader: LogReader
    tally: Tally

    def run(self) -> None:
        if self._is_proven():
            self.tally.by_digest += 1
            return
        now, chunk = self.partition.target, self.chunk
        with_header = self.partition.with_header
        found = target_records(self.reader, now.place, chunk, now.end, with_header=with_header) if chunk else ()
        compare_records(self.originals.rows(), found, None, self, self.tally)

    def _is_proven(self) -> bool:
        """Whether one digest says that the target holds this part."""
        now, chunk = self.partition.target, self.chunk
        if chunk is None or not now.start <= chunk.base < chunk.end <= now.end:
            return False
        stated = self.originals.stated()
        if not stated.digest:
            return False
        batches = self.reader.batches(now.place, chunk.base, chunk.end)
        with_header = self.partition.with_header
        if digest_of_target(batches, chunk, stated.salt, stated.kind, with_header=with_header) != stated.digest:
            return False
        anew = sum(count for _, count in chunk.stamp_zero)
        self.tally.equal += chunk.count
        self.tally.explained[Reason.STAMP_ZERO] += anew
        return True

    def missing(self, offset: int) -> Reason | None:
        at = self.target_offset(offset)
        if at is None:
            return Reason.REDACTED if self.originals.redacted() else None
        return self.partition.target.lost(at, self.reader)

    def unknown(self, offset: int) -> Reason | None:
        return self.originals.lost(offset)

    def differing(self, offset: int) -> Reason | None:
        return Reason.REDACTED if self.originals.redacted() else None

    def target_offset(self, offset: int) -> int | None:
        return target_offset(self.chunk, offset)
