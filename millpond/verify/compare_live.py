"""The archive held against the topics it was made from: every archived record against what Kafka has there now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from millpond.archive.catalog import PartitionListing, list_topics, read_partition
from millpond.archive.coverage import Span, holes
from millpond.archive.documents import Json
from millpond.archive.identity import identity_of
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.archive.names import GapReason
from millpond.archive.schema import TimestampType
from millpond.errors import DamagedArchive, TryAgain, WrongUsage
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.selection import Selection
from millpond.records import Row
from millpond.restore.comparing.join import Found, compare_records, digest_of_messages
from millpond.restore.comparing.log import LogReader
from millpond.restore.comparing.originals import TopicNow
from millpond.restore.comparing.run import topics_now
from millpond.restore.comparing.sample import Sample
from millpond.restore.comparing.tally import Difference, Kind, Reason, Tally, totals
from millpond.restore.comparing.threads import Told, in_threads
from millpond.restore.planning.choice import Choice
from millpond.restore.planning.moments import EVERY
from millpond.restore.planning.pieces import Asked, Pinning
from millpond.restore.request import Trouble
from millpond.restore.writing.source import Part, PartReader, Source, parts_of
from millpond.storage.contract import Changed, NoSuchObject, ObjectStore

_LEFT_OUT = (GapReason.UNREADABLE, GapReason.SKIPPED, GapReason.PRUNED)


def compare_live(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    *,
    selection: Selection,
    sample: Sample,
    partitions: frozenset[int] = frozenset(),
    workers: int = 4,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Compares the life that each topic has now. Returns the sums and each partition's counts.

    Args:
        selection: Of archived topics.
        partitions: Numbers; empty is all.
        told: Hears how many ranges were compared.

    Raises:
        WrongUsage: No archived topic of that name is on the cluster.
        RefusedForSafety: The archive holds another cluster.
    """
    identity = identity_of(store, layout, cluster_id=cluster.cluster_id())
    archived = selection.match(list_topics(store, layout))
    there = cluster.describe(archived)
    if not there:
        raise WrongUsage(
            f"none of {len(archived)} archived topics that match is on the cluster",
            hint="expressions match whole names; `millpond info` lists what is there",
        )
    counting, source = Told(told), Source(store, layout, identity.archive_id)
    pinning = Pinning(store, layout, identity.archive_id, Asked(Choice({}, {}), EVERY))

    def task(partition: PartitionId, reader: LogReader) -> Json:
        listing, place = read_partition(store, layout, partition), (partition.topic, partition.partition)
        # Asked after the archive was listed: what is archived meanwhile is then not taken for missing in Kafka.
        now = topics_now(cluster, [place], shrinks=True)[place]
        return _LivePartition(pinning, source, listing, now, reader).compare(sample, counting)

    tasks = [partial(task, partition) for partition in _partitions(there, partitions)]
    found = in_threads(tasks, lambda: LogReader(cluster), workers)
    return {
        "not_compared": [topic for topic in archived if topic not in there],
        **totals(found),
        "behind": sum(document["behind"] for document in found),
        "partitions": found,
    }


def _partitions(there: dict[str, TopicDescription], numbers: frozenset[int]) -> Iterator[PartitionId]:
    for name, topic in sorted(there.items()):
        for number in range(topic.partitions):
            if not numbers or number in numbers:
                yield PartitionId(Incarnation(name, topic.topic_id), number)


@dataclass(frozen=True, slots=True)
class _Range:
    """Offsets that one part of the archive speaks for, or that no window holds."""

    span: Span
    part: Part | None


@dataclass(slots=True)
class _LivePartition:
    """One partition. It is what excuses its differences (`Excuses`).

    Attributes:
        redactions: How many records redactions changed in the range at hand, and were not found yet.
    """

    pinning: Pinning
    source: Source
    listing: PartitionListing
    now: TopicNow
    reader: LogReader
    tally: Tally = field(default_factory=Tally)
    redactions: int = 0

    def compare(self, sample: Sample, told: Told) -> Json:
        covered, name = self.listing.covered(), str(self.listing.partition)
        end = covered[-1].last + 1 if covered else 0
        everything = self._ranges(end)
        ranges = [one for one in everything if one.span.last >= self.now.start]
        self.tally.ranges = len(ranges)
        chosen = sample.choose(len(ranges), name)
        told.expect(len(chosen))
        for number in chosen:
            self._compare_named(ranges[number])
            told.done(1)
        partition = self.listing.partition
        return {
            "topic": partition.topic,
            "topic_id": partition.incarnation.topic_id,
            "partition": partition.partition,
            "log_start": self.now.start,
            "covered_to": end,
            "behind": max(0, self.now.end - max(end, self.now.start)),
            "offsets_below_log_start": max(0, min(self.now.start, end) - (covered[0].first if covered else 0)),
            **self.tally.document(),
        }

    def _ranges(self, end: int) -> list[_Range]:
        """All offsets before the end of coverage, in order."""
        piece = self.pinning.piece(self.listing)
        for finding in piece.findings:
            if finding.trouble is Trouble.PARTS:
                self.tally.add(Difference(Kind.DAMAGED, 0, text=finding.text))
        ranges = [_Range(_span(part), part) for part in parts_of({"objects": json.loads(piece.unpack())})]
        ranges += [_Range(hole, None) for hole in holes((one.span for one in ranges), start=0, end=end - 1)]
        return sorted(ranges, key=lambda one: one.span)

    def _compare_named(self, one: _Range) -> None:
        self.tally.chosen += 1
        try:
            self._compare(one)
        except DamagedArchive as error:
            self.tally.add(Difference(Kind.DAMAGED, one.span.first, text=str(error.args[0])))
        except (NoSuchObject, Changed) as error:
            raise TryAgain(
                f"an object of {self.listing.partition} was removed or replaced while it was compared",
                hint="run the command again",
            ) from error

    def _compare(self, one: _Range) -> None:
        if one.part is None:
            self.redactions = 0
            compare_records((), self._found(one.span), None, self, self.tally)
            return
        with ExitStack() as stack:
            opened = self.source.open(one.part, stack)
        if self._is_proven(opened, one.span):
            self.tally.by_digest += 1
            return
        facts = [stored.facts for stored, _, _ in opened.windows]
        self.redactions = sum(r.dropped + r.tombstoned + r.masked for window in facts for r in window.redactions)
        kinds = {window.timestamp_type for window in facts}
        kind = kinds.pop() if len(kinds) == 1 else None
        compare_records(self._archived(one.part), self._found(one.span), kind, self, self.tally)

    def _is_proven(self, opened: PartReader, span: Span) -> bool:
        """Whether one digest says that Kafka holds the window. In compacted topics it seldom does."""
        if not opened.digest or self.now.compacts or span.first < self.now.start or span.last >= self.now.end:
            return False
        batches = self.reader.batches(self.now.place, span.first, span.last + 1)
        digest, count = digest_of_messages(batches, opened.salt, opened.timestamp_type)
        if digest != opened.digest:
            return False
        self.tally.equal += count
        return True

    def _archived(self, part: Part) -> Iterator[Row]:
        with ExitStack() as stack:
            for batch in self.source.open(part, stack).batches():
                yield from batch

    def _found(self, span: Span) -> Iterator[Found]:
        first, end = max(span.first, self.now.start), min(span.last + 1, self.now.end)
        for row, number, readable in self.reader.rows(self.now.place, first, end):
            yield Found(row, TimestampType.from_kafka(number), readable)

    def missing(self, offset: int) -> Reason | None:
        return self.now.lost(offset, self.reader)

    def unknown(self, offset: int) -> Reason | None:
        left_out = any(gap.first <= offset <= gap.last for gap in self.listing.gaps if gap.reason in _LEFT_OUT)
        return Reason.LEFT_OUT if left_out else self.differing(offset)

    def differing(self, offset: int) -> Reason | None:
        self.redactions -= 1
        return Reason.REDACTED if self.redactions >= 0 else None

    def target_offset(self, offset: int) -> int | None:
        return None


def _span(part: Part) -> Span:
    return Span(min(live.span.first for live in part.windows), max(live.span.last for live in part.windows))
