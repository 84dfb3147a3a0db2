"""A topic whose records go to other partitions: one archived partition after the other, exactly once.

Within each target partition the order of records follows from the archive alone. So the target tells how far an earlier
try came, as it does where partitions keep their records: each partition's records behind the last checkpoint are
counted, and the last of them must be the one that is due there. One key lives in one archived partition, whose records
are written in offset order: the order of a key's records is kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.errors import DamagedArchive, RefusedForSafety
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.restore.planning.moments import Moments
from millpond.restore.repartition.checkpoints import Checkpoint, chunks_of, read_checkpoints, write_checkpoint
from millpond.restore.repartition.part import PartWriting, foreign, record_at
from millpond.restore.repartition.placing import Placing
from millpond.restore.repartition.writer import TopicWriter
from millpond.restore.writing.offset_map import Chunk, tip_hash
from millpond.restore.writing.proof import combined, digests_of_target
from millpond.restore.writing.source import Part, Source
from millpond.restore.writing.tally import Tally
from millpond.restore.writing.target import refuse_missing, refuse_moved, still_ends
from millpond.restore.writing.terms import Terms

_ASKED = ("since", "until", "cut")
_PROOF = "every object gave the records that it states; each target partition holds what was placed there, in order"


@dataclass(frozen=True, slots=True)
class TopicRestore:
    """One target topic being restored.

    Attributes:
        line: Of the plan.
        base: Where each target partition ended before the run.
    """

    run: Run
    source: Source
    cluster: Cluster
    line: Json
    base: Mapping[int, int]
    terms: Terms
    tally: Tally

    def restore(self) -> Json:
        """Writes what is missing, reads all of it back, and returns the line's result.

        Raises:
            RefusedForSafety: Somebody else writes to the topic, or did.
            WrongUsage: The user's function cannot be loaded, or does not place a record.
            DamagedArchive: The archive is not whole, or the target does not hold what was written.
        """
        began, began_ms = time.monotonic(), now_ms()
        placing = Placing.of(self.line["repartition"], self.line["archived_partitions"], len(self.base))
        ends = self._ends()
        checkpoints = read_checkpoints(self.run, self._target)
        written = dict(self.base)
        for checkpoint in checkpoints:
            _advance(written, checkpoint)
        for number, end in ends.items():
            refuse_missing((self._target, number), written[number], end)
            if end == written[number]:
                self._check_tip(number, chunks_of(checkpoints, number))
        checkpoints += self._write(placing, checkpoints, written, ends)
        result = self._proven(placing, checkpoints)
        times = {"started_at": began_ms, "finished_at": now_ms(), "seconds": round(time.monotonic() - began, 3)}
        return result | times

    @property
    def _target(self) -> str:
        return str(self.line["target"])

    def _ends(self) -> dict[int, int]:
        """Of all partitions, at rest; the logs must begin where they did."""
        places: list[Place] = [(self._target, number) for number in self.base]
        ends = still_ends(self.cluster, places)
        starts = self.cluster.log_starts(places)
        for place in places:
            if place not in ends:
                raise RefusedForSafety(
                    "the end of {}-{} does not come to rest: somebody else writes to it".format(*place),
                    hint="stop other producers, and other workers of this run",
                )
            refuse_missing(place, self.base[place[1]], ends[place])
            refuse_moved(place, self.base[place[1]], starts[place])
        return {place[1]: ends[place] for place in places}

    def _check_tip(self, number: int, chunks: list[Chunk]) -> None:
        """The newest record of a target partition must be the newest that the checkpoints know."""
        if chunks and not chunks[-1].stamp_zero:
            last = chunks[-1]
            row = record_at(self.cluster, (self._target, number), last.end - 1)
            if tip_hash(row, bytes.fromhex(last.salt)) != last.tip:
                raise foreign(self._target, number, last.end - 1)

    def _write(
        self, placing: Placing, known: list[Checkpoint], written: dict[int, int], ends: Mapping[int, int]
    ) -> list[Checkpoint]:
        """Writes what is missing behind `written`, part by part; each part's checkpoint."""
        found = []
        with self._writer(ends) as target:
            for source, number, part in self._parts(known[-1] if known else None):
                ahead = {place: max(0, ends[place] - at) for place, at in written.items()}
                with ExitStack() as stack:
                    reader = self.source.open(part, stack, Moments.of(self.line))
                    place = (self.line["topic"], source)
                    about = self.cluster, place, number, reader, placing
                    checkpoint = PartWriting(*about, target, written, ahead, self.terms, self.tally).run()
                if checkpoint.count:
                    target.settle()
                write_checkpoint(self.run, self._target, checkpoint)
                _advance(written, checkpoint)
                found.append(checkpoint)
        for number, end in ends.items():
            if end > written[number]:
                raise foreign(self._target, number, written[number])
        return found

    @contextmanager
    def _writer(self, ends: Mapping[int, int]) -> Iterator[TopicWriter]:
        """The topic to write to. Its first partition is claimed for all of them: no other worker has any meanwhile."""
        terms, topic = self.terms, self._target
        with terms.claims.hold((topic, 0)) as claim, terms.sessions.open(topic) as session:
            yield TopicWriter(self.cluster, session, topic, ends, terms.throttle, claim)

    def _parts(self, after: Checkpoint | None) -> Iterator[tuple[int, int, Part]]:
        """Archived partition, number and part, in order, behind those of the checkpoint."""
        asked = {name: self.line[name] for name in _ASKED if name in self.line}
        begun, done = (after.source, after.part) if after is not None else (-1, -1)
        for entry in self.line["sources"]:
            source = entry["partition"]
            if source < begun:
                continue
            parts = self.source.parts_of(self.run.whole_line(entry) | asked)
            for number in range(done + 1 if source == begun else 0, len(parts)):
                yield source, number, parts[number]

    def _proven(self, placing: Placing, checkpoints: list[Checkpoint]) -> Json:
        partitions = [self._partition(number, chunks_of(checkpoints, number)) for number in sorted(self.base)]
        read = {entry["partition"]: 0 for entry in self.line["sources"]}
        for checkpoint in checkpoints:
            read[checkpoint.source] += checkpoint.count + checkpoint.filtered
        filtered = sum(checkpoint.filtered for checkpoint in checkpoints)
        return {
            "topic": self.line["topic"],
            "target": self._target,
            "repartition": placing.by,
            "read": sum(read.values()),
            "filtered": filtered,
            "suppressed": 0,
            "written": sum(partition["written"] for partition in partitions),
            "objects": sum(entry.get("count", len(entry.get("objects", ()))) for entry in self.line["sources"]),
            "digest_archive": combined(partition["digest_archive"] for partition in partitions),
            "digest_target": combined(partition["digest_target"] for partition in partitions),
            "stamp_zero": sum(partition["stamp_zero"] for partition in partitions),
            "proof": _PROOF,
            "sources": [{"partition": number, "read": count} for number, count in read.items()],
            "partitions": partitions,
        }

    def _partition(self, number: int, chunks: list[Chunk]) -> Json:
        """Reads a target partition back; `DamagedArchive` where it does not hold what was written."""
        archive = [chunk.digest for chunk in chunks]
        target = digests_of_target(self.cluster, (self._target, number), chunks)
        for chunk, stated, found in zip(chunks, archive, target, strict=True):
            if stated != found:
                raise DamagedArchive(
                    f"{self._target}-{number} does not hold what was restored, at offsets {chunk.base} to"
                    f" {chunk.end - 1}",
                    hint="somebody wrote to the target topic; delete it and restore again with a new --run-id",
                )
        count = sum(chunk.count for chunk in chunks)
        return {
            "topic": self.line["topic"],
            "target": self._target,
            "partition": number,
            "base": self.base[number],
            "end": self.base[number] + count,
            "read": count,
            "suppressed": 0,
            "written": count,
            "objects": len(chunks),
            "digest_archive": combined(archive),
            "digest_target": combined(target),
            "stamp_zero": sum(run[1] for chunk in chunks for run in chunk.stamp_zero),
        }


def _advance(written: dict[int, int], checkpoint: Checkpoint) -> None:
    for number, chunk in checkpoint.chunks.items():
        written[number] = chunk.end
