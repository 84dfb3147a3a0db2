"""The worker of a restore: one target partition after the other, exactly once whatever was written before.

The target itself says how far an earlier try came: the records behind the last chunk of the offset map are counted, and
the last of them must be the one that is due there. Nothing is added to the records for that.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from confluent_kafka import Message

from millpond.archive.digest import Digest
from millpond.archive.documents import Json
from millpond.archive.encode import encode_rows
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.offset_map import Chunk, extend_runs, read_chunks, runs_of, tip_hash, write_chunk
from millpond.restore.plan import KIND
from millpond.restore.proof import combined, digests_of_target
from millpond.restore.source import PartReader, Source, parts_of
from millpond.restore.target import TargetPartition, read_back, refuse_missing, refuse_moved, row_of, still_ends
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
# A block is thousands of objects without cycles. To look for some every 700 objects costs a tenth of all CPU.
_COLLECT_AFTER = 50_000

Progress = Callable[[int], None]
"""Told how many more records are in the target."""


def restore_unit(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    *,
    run_id: str,
    unit: int = 0,
    units: int = 1,
    progress: Progress = lambda count: None,
) -> list[MillpondError]:
    """Restores this worker's share of the plan's lines. A line that fails is set aside; the others go on.

    Returns:
        What went wrong, one error for each line that failed.
    """
    gc.set_threshold(_COLLECT_AFTER)
    run = Run(store, layout, KIND, run_id)
    source = Source(store, layout, run.plan()["archive_id"])
    todo = [(number, line) for number, line in run.lines(unit=unit, units=units) if run.result(number) is None]
    lines = [_Line(run, source, cluster, number, line, progress) for number, line in todo]
    there = cluster.describe(line.place[0] for line in lines)
    failed: list[MillpondError] = []
    fit = []
    for line in lines:  # first, since the ends of a topic that is gone cannot be asked for
        with line.set_aside(failed):
            line.check_target(there)
            fit.append(line)
    ends = still_ends(cluster, [line.place for line in fit]) if fit else {}
    for line in fit:
        with line.set_aside(failed):
            run.write_result(line.number, line.restore(ends))
            _LOG.info("restored %s-%d", *line.place)
    return failed


@dataclass(slots=True)
class _Line:
    """One target partition being restored."""

    run: Run
    source: Source
    cluster: Cluster
    number: int
    line: Json
    progress: Progress
    end: int = 0

    @property
    def place(self) -> Place:
        return self.line["target"], self.line["partition"]

    @contextmanager
    def set_aside(self, failed: list[MillpondError]) -> Iterator[None]:
        """Adds what goes wrong inside the block to `failed`, named after the partition, and to the run."""
        try:
            yield
        except MillpondError as error:
            reason = str(error.args[0])
            _LOG.error("cannot restore %s-%d: %s", *self.place, reason)
            self.run.write_failure(self.number, now_ms(), reason)
            named = type(error)("cannot restore {}-{}: {}".format(*self.place, reason), hint=error.hint)
            failed.append(named)

    def check_target(self, there: Mapping[str, TopicDescription]) -> Json:
        """What was there before this run; the topic must still be the one that was prepared."""
        topic = self.place[0]
        prepared = self.run.find("prepared", f"{topic}.json")
        if prepared is None:
            raise RefusedForSafety(f"target topic {topic} was not prepared", hint="prepare the run first")
        found = there.get(topic)
        if found is None or found.topic_id != prepared["topic_id"]:
            raise RefusedForSafety(
                f"target topic {topic} was deleted or made again since this run prepared it",
                hint="restore again with a new --run-id",
            )
        return prepared

    def restore(self, ends: Mapping[Place, int]) -> Json:
        began = time.monotonic()
        place = self.place
        base: int = self.check_target(self.cluster.describe([place[0]]))["base"][str(place[1])]
        if place not in ends:
            raise RefusedForSafety(
                "the end of {}-{} does not come to rest: somebody else writes to it".format(*place),
                hint="stop other producers, and other workers of this run",
            )
        self.end = ends[place]
        refuse_missing(place, base, self.end)
        refuse_moved(place, base, self.cluster.log_starts([place])[place])
        known = read_chunks(self.run, *place)
        written = known[-1].end if known else base
        if self.end < written:
            refuse_missing(place, written, self.end)
        if known and self.end == written:
            self._check_tip(place, known[-1])
        chunks = known + list(self._write(place, known, written))
        return self._proven(place, base, chunks) | {"seconds": round(time.monotonic() - began, 3)}

    def _check_tip(self, place: Place, last: Chunk) -> None:
        """The newest record of the target must be the newest that the offset map knows."""
        if last.count == 0 or last.stamp_zero:
            return
        row = row_of(_record_at(self.cluster, place, last.end - 1), last.source[-1][0] + last.source[-1][1] - 1)
        if tip_hash(row, bytes.fromhex(last.salt)) != last.tip:
            raise _foreign(place, last.end - 1)

    def _write(self, place: Place, known: list[Chunk], written: int) -> Iterator[Chunk]:
        """Writes what is missing behind `written`, part by part, and yields each part's chunk."""
        parts = parts_of(self.line)
        ahead = self.end - written
        target = TargetPartition(self.cluster, place, self.end)
        try:
            for number in range(known[-1].part + 1 if known else 0, len(parts)):
                with ExitStack() as stack:
                    reader = self.source.open(parts[number], stack)
                    writing = _PartWriting(number, written, reader, target, skip=ahead, progress=self.progress)
                    chunk = writing.run(self.cluster)
                ahead, written = max(0, ahead - chunk.count), chunk.end
                if chunk.count:
                    target.settle()
                    write_chunk(self.run, *place, chunk)
                    yield chunk
            if ahead:
                raise _foreign(place, written)
        finally:
            target.close()

    def _proven(self, place: Place, base: int, chunks: list[Chunk]) -> Json:
        """Reads the target back; `DamagedArchive` where it does not hold what the archive states."""
        archive = [chunk.digest for chunk in chunks]
        target = digests_of_target(self.cluster, place, chunks)
        for chunk, stated, found in zip(chunks, archive, target, strict=True):
            if stated != found:
                raise DamagedArchive(
                    "{}-{} does not hold what was restored, at offsets {} to {}".format(
                        *place, chunk.base, chunk.end - 1
                    ),
                    hint="somebody wrote to the target topic; delete it and restore again with a new --run-id",
                )
        count = sum(chunk.count for chunk in chunks)
        return {
            "topic": self.line["topic"],
            "target": place[0],
            "partition": place[1],
            "base": base,
            "end": base + count,
            "read": count,
            "suppressed": 0,
            "written": count,
            "objects": len(self.line["objects"]),
            "digest_archive": combined(archive),
            "digest_target": combined(target),
            "stamp_zero": sum(run[1] for chunk in chunks for run in chunk.stamp_zero),
        }


@dataclass(slots=True)
class _PartWriting:
    """One part on its way into the target: its first `skip` records are there already."""

    number: int
    base: int
    reader: PartReader
    target: TargetPartition
    skip: int
    progress: Progress

    def run(self, cluster: Cluster) -> Chunk:
        digest = None if self.reader.digest else Digest(self.reader.salt, self.reader.timestamp_type)
        count, source, zeros, last = 0, [], [], None  # type: ignore[var-annotated]
        for rows in self.reader.batches():
            if not rows:
                continue
            for first, length in runs_of(row[0] for row in rows) if _holes(rows) else [[rows[0][0], len(rows)]]:
                extend_runs(source, first, length)
            for at in (index for index, row in enumerate(rows) if row[1] == 0):
                extend_runs(zeros, self.base + count + at, 1)
            if digest is not None:
                digest.update(encode_rows(rows))
            self._write(rows, count, cluster)
            count, last = count + len(rows), rows[-1]
        return Chunk(
            part=self.number,
            base=self.base,
            count=count,
            source=source,
            salt=self.reader.salt.hex(),
            digest=digest.hex() if digest is not None else self.reader.digest,
            timestamp_type=self.reader.timestamp_type.value,
            tip=tip_hash(last, self.reader.salt) if last is not None else "",
            stamp_zero=zeros,
        )

    def _write(self, rows: list[Row], before: int, cluster: Cluster) -> None:
        """Writes those that are not there; the newest that is there must be the one due at its place."""
        there = min(len(rows), max(0, self.skip - before))
        if there and before + there == self.skip:
            due, at = rows[there - 1], self.base + self.skip - 1
            found = row_of(_record_at(cluster, self.target.place, at), due[0])
            if found != due and not (due[1] == 0 and (0, *found[2:]) == due[1:]):
                raise _foreign(self.target.place, at)
        self.target.write(rows[there:])
        self.progress(len(rows))


def _holes(rows: list[Row]) -> bool:
    return rows[-1][0] - rows[0][0] + 1 != len(rows)


def _record_at(cluster: Cluster, place: Place, offset: int) -> Message:
    for batch in read_back(cluster, place, offset, offset + 1):
        return batch[0]
    raise _foreign(place, offset)


def _foreign(place: Place, offset: int) -> RefusedForSafety:
    return RefusedForSafety(
        "{}-{} holds a record at offset {} that this run did not write".format(*place, offset),
        hint="stop other producers, delete the target topic and restore again with a new --run-id",
    )
