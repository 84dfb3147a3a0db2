"""The coverage report: what is there, which offsets are explained, and which are missing without a reason.

Listings are read one partition at a time and only sums are kept, so that memory grows with partitions, not objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from millpond.archive.catalog import Foreign, PartitionListing, list_topics, read_archive, read_topic
from millpond.archive.documents import Json
from millpond.archive.identity import read_identity
from millpond.archive.keys import EventKey, Incarnation, Layout
from millpond.archive.runs import Run
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore
from millpond.verify.happenings import event_of
from millpond.verify.partition_coverage import NAMED_HOLES, Counted, PartitionCoverage, no_counts, summed_gaps
from millpond.verify.parts import NO_PARTS, PartsFindings, parts_findings

KIND = "coverage"
Told = Callable[[int, int], None]


def coverage_of(
    store: ObjectStore,
    layout: Layout,
    *,
    now_ms: int,
    selection: Selection | None = None,
    count: Counted = no_counts,
    told: Told = lambda done, total: None,
) -> Json:
    """The report, from names and listings; `offsets` counts what windows cover, not records.

    Args:
        selection: Topics to look at; all by default.
        count: Asked once for each partition; by default nothing is counted and `records` is null.
        told: Hears how many objects were seen; their total is not known (0).
    """
    identity = read_identity(store, layout)
    lives: dict[Incarnation, _Life] = defaultdict(_Life)
    foreign = seen = 0
    for item in _items(store, layout, selection):
        match item:
            case PartitionListing():
                found = PartitionCoverage.of(item, count(item))
                lives[item.partition.incarnation].add(found, parts_findings(store, layout, item))
                seen += found.objects
                told(seen, 0)
            case EventKey():
                lives[item.incarnation].events.append(event_of(store, layout, item))
            case Foreign():
                foreign += 1
    topics = [_topic(life, found) for life, found in sorted(lives.items(), key=lambda pair: pair[0])]
    return {
        "archive_id": identity.archive_id,
        "cluster_id": identity.cluster_id,
        "at": now_ms,
        "topics": topics,
        **_totals(topics, now_ms),
        "foreign": foreign,
    }


@dataclass(slots=True)
class _Life:
    """What was found of one incarnation so far."""

    partitions: list[PartitionCoverage] = field(default_factory=list)
    parts: PartsFindings = NO_PARTS
    events: list[Json] = field(default_factory=list)

    def add(self, found: PartitionCoverage, parts: PartsFindings) -> None:
        self.partitions.append(found)
        self.parts += parts


def _items(
    store: ObjectStore, layout: Layout, selection: Selection | None
) -> Iterator[PartitionListing | EventKey | Foreign]:
    if selection is None:
        yield from read_archive(store, layout)
        return
    for topic in sorted(selection.match(list_topics(store, layout))):
        yield from read_topic(store, layout, topic)


def report_coverage(store: ObjectStore, layout: Layout, *, now_ms: int) -> Json:
    """Writes the report into a run's folder of its own and returns it."""
    report = coverage_of(store, layout, now_ms=now_ms)
    return Run(store, layout, KIND, f"{now_ms:013d}").write_once(report, "report.json")


def _totals(topics: list[Json], now_ms: int) -> Json:
    newest = max((topic["newest_object_ms"] for topic in topics), default=0)
    kinds = [event["kind"] for topic in topics for event in topic["events"]]
    return {
        "partitions": sum(topic["partitions"] for topic in topics),
        "objects": sum(topic["objects"] for topic in topics),
        "bytes": sum(topic["bytes"] for topic in topics),
        "offsets": sum(topic["offsets"] for topic in topics),
        "records": _sum_or_none(topic["records"] for topic in topics),
        "unexplained": sum(topic["unexplained_ranges"] for topic in topics),
        "missing_parts": sum(topic["parts"]["missing_count"] for topic in topics),
        "missing": sum(event["stands"] for topic in topics for event in topic["events"]),
        "newest_object_age_s": max(0, now_ms - newest) // 1000 if newest else None,
        "events": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }


def _topic(life: Incarnation, all_found: _Life) -> Json:
    found = sorted(all_found.partitions, key=lambda partition: partition.partition)
    named = [(partition.partition, hole) for partition in found for hole in partition.unexplained][:NAMED_HOLES]
    counts = [partition.counts for partition in found if partition.counts is not None]
    return {
        "topic": life.topic,
        "topic_id": life.topic_id,
        "partitions": len(found),
        "offsets": sum(partition.offsets for partition in found),
        "records": sum(one.records for one in counts) if counts else None,
        "records_exact": all(one.exact and not one.unknown_objects for one in counts) if counts else None,
        "redacted_objects": sum(one.redacted_objects for one in counts) if counts else None,
        "objects": sum(partition.objects for partition in found),
        "bytes": sum(partition.size_bytes for partition in found),
        "oldest_ms": min((p.oldest_ms for p in found if p.oldest_ms is not None), default=None),
        "newest_ms": max((p.newest_ms for p in found if p.newest_ms is not None), default=None),
        "newest_object_ms": max((partition.newest_object_ms for partition in found), default=0),
        "gaps": summed_gaps(found),
        "unexplained_ranges": sum(partition.unexplained_ranges for partition in found),
        "unexplained_offsets": sum(partition.unexplained_offsets for partition in found),
        "unexplained": [{"partition": number, "first": hole.first, "last": hole.last} for number, hole in named],
        "parts": all_found.parts.document(),
        "events": all_found.events,
        "by_partition": [partition.document() for partition in found],
    }


def _sum_or_none(numbers: Iterable[int | None]) -> int | None:
    """The sum, or None where nothing was counted."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
