"""The worker of a restore: one target partition after the other, exactly once whatever was written before.

The target itself says how far an earlier try came: the records behind the last chunk of the offset map are counted, and
the last of them must be the one that is due there. Nothing is added to the records for that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.restore.planning.moments import Moments
from millpond.restore.planning.plan import KIND
from millpond.restore.repartition.work import TopicsWork, is_topic_line
from millpond.restore.writing.attempt import prepared_target, set_aside
from millpond.restore.writing.memory import keep_small
from millpond.restore.writing.offset_map import Chunk, read_chunks, tip_hash, write_chunk
from millpond.restore.writing.part_writing import PartWriting, archived_record
from millpond.restore.writing.proof import combined, digests_of_target
from millpond.restore.writing.source import Source
from millpond.restore.writing.standstill import ended_by_a_standstill
from millpond.restore.writing.tally import Observe, Progress, Tally
from millpond.restore.writing.target import TargetPartition, foreign, refuse_missing, refuse_moved, still_ends
from millpond.restore.writing.terms import Terms
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)


def restore_unit(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    *,
    run_id: str,
    unit: int = 0,
    units: int = 1,
    progress: Progress = lambda count: None,
    observe: Observe | None = None,
) -> list[MillpondError]:
    """Restores this worker's share of the plan's lines. A line that fails is set aside; the others go on.

    Args:
        unit, units: Which of how many workers.
        observe: Shown what has been done, again and again.

    Returns:
        What went wrong, one error for each line that failed.
    """
    keep_small()
    run = Run(store, layout, KIND, run_id)
    plan = run.plan()
    source, terms = Source(store, layout, plan["archive_id"]), Terms.of(plan, cluster, units=units)
    tally = Tally(unit, progress, observe)
    share = run.lines(unit=unit, units=units, whole=False)
    todo = [(number, line) for number, line in share if run.result(number) is None]
    with ended_by_a_standstill(), closing(terms.claims), closing(terms.sessions):
        topics = TopicsWork(run, source, cluster, terms, tally)
        failed = topics.restore(pair for pair in todo if is_topic_line(pair[1]))
        lines = [_Line(run, source, cluster, *pair, terms, tally) for pair in todo if not is_topic_line(pair[1])]
        return failed + _restore_partitions(lines, cluster)


def _restore_partitions(lines: list[_Line], cluster: Cluster) -> list[MillpondError]:
    failed: list[MillpondError] = []
    there = cluster.describe(line.place[0] for line in lines)
    fit = []
    for line in lines:  # first, since the ends of a topic that is gone cannot be asked for
        with line.set_aside(failed):
            line.check_target(there)
            fit.append(line)
    ends = still_ends(cluster, [line.place for line in fit]) if fit else {}
    for line in fit:
        with line.set_aside(failed):
            line.run.write_result(line.number, line.restore(ends))
            line.tally.done()
            _LOG.info("restored %s-%d", *line.place)
    return failed


@dataclass(slots=True)
class _Line:
    """One target partition being restored.

    Attributes:
        filtered: Records read, and not due by their timestamps, since the newest chunk of the offset map.
    """

    run: Run
    source: Source
    cluster: Cluster
    number: int
    line: Json
    terms: Terms
    tally: Tally
    end: int = 0
    filtered: int = 0

    @property
    def place(self) -> Place:
        return self.line["target"], self.line["partition"]

    def set_aside(self, failed: list[MillpondError]) -> AbstractContextManager[None]:
        """Around what may fail: the other lines go on."""
        return set_aside(self.run, self.number, "{}-{}".format(*self.place), self.tally, failed)

    def check_target(self, there: Mapping[str, TopicDescription]) -> Json:
        """What was there before this run; the topic must still be the one that was prepared."""
        return prepared_target(self.run, self.place[0], there)

    def restore(self, ends: Mapping[Place, int]) -> Json:
        began, began_ms = time.monotonic(), now_ms()
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
        proven = self._proven(place, base, chunks)
        times = {"started_at": began_ms, "finished_at": now_ms(), "seconds": round(time.monotonic() - began, 3)}
        filtered = self.filtered + sum(chunk.filtered for chunk in chunks)
        return proven | {"read": proven["written"] + filtered, "filtered": filtered} | times

    def _check_tip(self, place: Place, last: Chunk) -> None:
        """The newest record of the target must be the newest that the offset map knows."""
        if last.count == 0 or last.stamp_zero:
            return
        due = last.source[-1][0] + last.source[-1][1] - 1
        row = archived_record(self.cluster, place, last.end - 1, due, self.terms.source_offsets)
        if tip_hash(row, bytes.fromhex(last.salt)) != last.tip:
            raise foreign(place, last.end - 1)

    def _write(self, place: Place, known: list[Chunk], written: int) -> Iterator[Chunk]:
        """Writes what is missing behind `written`, part by part, and yields each part's chunk."""
        parts, moments = self.source.parts_of(self.run.whole_line(self.line)), Moments.of(self.line)
        ahead = self.end - written
        with self._target(place) as target:
            for number in range(known[-1].part + 1 if known else 0, len(parts)):
                with ExitStack() as stack:
                    reader = self.source.open(parts[number], stack, moments)
                    chunk = PartWriting(number, written, reader, target, ahead, self.tally).run(self.cluster)
                ahead, written = max(0, ahead - chunk.count), chunk.end
                if chunk.count:
                    target.settle()
                    chunk = replace(chunk, filtered=self.filtered + chunk.filtered)
                    self.filtered = 0
                    write_chunk(self.run, *place, chunk)
                    yield chunk
                else:  # no chunk of its own: told with the next one, or at the end
                    self.filtered += chunk.filtered
            if ahead:
                raise foreign(place, written)

    @contextmanager
    def _target(self, place: Place) -> Iterator[TargetPartition]:
        """The partition to write to, which no other worker has within the block."""
        name = "{}-{}".format(*place)
        with self.terms.claims.hold(place) as claim, self.terms.sessions.open(name) as session:
            yield TargetPartition(
                self.cluster,
                session,
                place,
                self.end,
                source_offsets=self.terms.source_offsets,
                throttle=self.terms.throttle,
                claim=claim,
            )

    def _proven(self, place: Place, base: int, chunks: list[Chunk]) -> Json:
        """Reads the target back; `DamagedArchive` where it does not hold what the archive states."""
        archive = [chunk.digest for chunk in chunks]
        target = digests_of_target(self.cluster, place, chunks, source_offsets=self.terms.source_offsets)
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
            "suppressed": 0,
            "written": count,
            "objects": self.line.get("count", len(self.line.get("objects", ()))),
            "digest_archive": combined(archive),
            "digest_target": combined(target),
            "stamp_zero": sum(run[1] for chunk in chunks for run in chunk.stamp_zero),
        }
