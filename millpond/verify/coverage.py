"""The coverage report: what is there, which offsets are explained, and which are missing without a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from millpond.archive.catalog import Foreign, PartitionListing, read_archive
from millpond.archive.documents import Json
from millpond.archive.identity import read_identity
from millpond.archive.keys import EventKey, Incarnation, Layout
from millpond.archive.runs import Run
from millpond.storage.contract import ObjectStore

KIND = "coverage"


def coverage_of(store: ObjectStore, layout: Layout, *, now_ms: int) -> Json:
    """The report, from names and listings alone.

    `offsets` counts what live windows cover, not records: compacted and control records lie in it.
    """
    identity = read_identity(store, layout)
    partitions: dict[Incarnation, list[PartitionListing]] = {}
    events: Counter[str] = Counter()
    foreign = 0
    for item in read_archive(store, layout):
        match item:
            case PartitionListing():
                partitions.setdefault(item.partition.incarnation, []).append(item)
            case EventKey():
                events[item.kind] += 1
            case Foreign():
                foreign += 1
    topics = [_topic(incarnation, found) for incarnation, found in partitions.items()]
    newest = max((topic["newest_object_ms"] for topic in topics), default=0)
    return {
        "archive_id": identity.archive_id,
        "cluster_id": identity.cluster_id,
        "at": now_ms,
        "topics": topics,
        "partitions": sum(len(found) for found in partitions.values()),
        "objects": sum(topic["objects"] for topic in topics),
        "bytes": sum(topic["bytes"] for topic in topics),
        "unexplained": sum(len(topic["unexplained"]) for topic in topics),
        "newest_object_age_s": max(0, now_ms - newest) // 1000 if newest else None,
        "events": dict(events),
        "foreign": foreign,
    }


def report_coverage(store: ObjectStore, layout: Layout, *, now_ms: int) -> Json:
    """Writes the report into a run's folder of its own and returns it."""
    report = coverage_of(store, layout, now_ms=now_ms)
    return Run(store, layout, KIND, f"{now_ms:013d}").write_once(report, "report.json")


def _topic(incarnation: Incarnation, found: list[PartitionListing]) -> Json:
    live = [one for listing in found for one in listing.live()]
    gaps = Counter(gap.reason.value for listing in found for gap in listing.gaps)
    return {
        "topic": incarnation.topic,
        "topic_id": incarnation.topic_id,
        "partitions": len(found),
        "offsets": sum(one.span.size for one in live),
        "objects": sum(len(listing.windows) for listing in found),
        "bytes": sum(window.info.size_bytes for listing in found for window in listing.windows),
        "oldest_ms": min((one.window.name.oldest_ms for one in live), default=None),
        "newest_ms": max((one.window.name.newest_ms for one in live), default=None),
        "newest_object_ms": max((w.info.modified_ms for listing in found for w in listing.windows), default=0),
        "gaps": dict(gaps),
        "unexplained": list(_unexplained(found)),
    }


def _unexplained(found: Iterable[PartitionListing]) -> Iterable[Json]:
    for listing in found:
        for hole in listing.unexplained():
            yield {"partition": listing.partition.partition, "first": hole.first, "last": hole.last}
