"""The plan of a restore: which objects, in which versions, become which partitions. It reads listings, no records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from millpond.archive.catalog import Foreign, PartitionListing, list_topics, read_topic
from millpond.archive.documents import Json
from millpond.archive.identity import Identity, read_identity
from millpond.archive.keys import Incarnation, Layout
from millpond.archive.runs import Run, units_for
from millpond.cluster.snapshot import TopicSnapshot, latest_topics
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.kafka.selection import Selection
from millpond.restore.request import RestoreRequest
from millpond.storage.contract import ObjectStore

KIND = "restore"


@dataclass(slots=True)
class ArchivedTopic:
    """A topic as the archive holds it.

    Attributes:
        lives: Listings of all partitions, by incarnation.
        foreign: Keys in its folder that are nothing of ours.
    """

    topic: str
    lives: dict[Incarnation, list[PartitionListing]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)


def plan_restore(
    store: ObjectStore, layout: Layout, request: RestoreRequest, *, run_id: str, now_ms: int, dry_run: bool = False
) -> Json:
    """Writes the plan of the run, or finds the one of an earlier try, and returns its document.

    Raises:
        WrongUsage: No archived topic matches, or a named incarnation is not there.
        RefusedForSafety: A topic has several incarnations and nothing decides; two topics would become one.
        DamagedArchive: Offsets are missing that nothing explains.
    """
    run = Run(store, layout, KIND, run_id)
    found = run.find_plan()
    if found is not None and found.get("request") == request.model_dump(mode="json"):
        return found
    identity = read_identity(store, layout)
    topics = [_read(store, layout, name) for name in _chosen(store, layout, request)]
    listings = {topic.topic: _decide(topic, request) for topic in topics}
    _refuse_damage(listings.values())
    _refuse_collisions(request, listings)
    snapshots = latest_topics(store, layout, [_incarnation(found) for found in listings.values()])
    lines = [_line(listing, request) for found in listings.values() for listing in found if listing.live()]
    document = _document(request, identity, run_id, now_ms, lines) | {
        "topics": [_topic(found, request, snapshots.get(_incarnation(found))) for found in listings.values()],
        "warnings": list(_warnings(topics, listings.values(), snapshots)),
    }
    return document if dry_run else run.write_plan(document, lines)


def _chosen(store: ObjectStore, layout: Layout, request: RestoreRequest) -> list[str]:
    archived = list_topics(store, layout)
    include = (".*",) if request.all else request.topics
    chosen = Selection.of(include, request.exclude_topics).match(archived)
    if not chosen:
        raise WrongUsage(
            f"no archived topic matches {', '.join(include)}: the archive has {len(archived)} topics",
            hint="expressions match whole names; `millpond info` lists what is there",
        )
    return chosen


def _read(store: ObjectStore, layout: Layout, name: str) -> ArchivedTopic:
    topic = ArchivedTopic(name)
    for item in read_topic(store, layout, name):
        if isinstance(item, PartitionListing):
            topic.lives.setdefault(item.partition.incarnation, []).append(item)
        elif isinstance(item, Foreign):
            topic.foreign.append(item.key)
    return topic


def _decide(topic: ArchivedTopic, request: RestoreRequest) -> list[PartitionListing]:
    """The listings of the one life to restore, by partition."""
    named = request.incarnation.get(topic.topic)
    lives = {life: found for life, found in topic.lives.items() if named in (None, life.topic_id)}
    with_records = {life: found for life, found in lives.items() if any(listing.live() for listing in found)}
    candidates = list((with_records or lives).values())
    if not candidates:
        raise WrongUsage(
            f"topic {topic.topic} has no incarnation {named} in the archive"
            if named
            else f"{topic.topic} holds nothing",
            hint=f"it has {', '.join(life.topic_id for life in topic.lives) or 'none'}",
        )
    if len(candidates) > 1:
        raise RefusedForSafety(
            f"topic {topic.topic} was deleted and made again; the archive holds {len(candidates)} lives of it: "
            + "; ".join(map(_life, candidates)),
            hint=f'say which: --incarnation {topic.topic}=ID, or "incarnation" in the request',
        )
    return sorted(candidates[0], key=lambda listing: listing.partition.partition)


def _life(found: list[PartitionListing]) -> str:
    spans = [live.span for listing in found for live in listing.live()]
    newest = max((live.window.name.newest_ms for listing in found for live in listing.live()), default=-1)
    return f"{_incarnation(found).topic_id} with {sum(span.size for span in spans)} offsets up to time {newest} ms"


def _incarnation(found: list[PartitionListing]) -> Incarnation:
    return found[0].partition.incarnation


def _refuse_damage(all_found: Iterable[list[PartitionListing]]) -> None:
    holes = [(listing.partition, hole) for found in all_found for listing in found for hole in listing.unexplained()]
    if holes:
        some = "; ".join(f"{partition} offsets {hole.first} to {hole.last}" for partition, hole in holes[:5])
        raise DamagedArchive(
            f"{len(holes)} ranges of offsets are missing and nothing explains them: {some}",
            hint="objects may have been deleted; look for older versions of them in the bucket",
        )


def _refuse_collisions(request: RestoreRequest, topics: Iterable[str]) -> None:
    sources: dict[str, str] = {}
    for topic in topics:
        other = sources.setdefault(request.target(topic), topic)
        if other != topic:
            raise RefusedForSafety(
                f"{other} and {topic} would both be restored to {request.target(topic)}", hint="check the renames"
            )


def _line(listing: PartitionListing, request: RestoreRequest) -> Json:
    partition = listing.partition
    objects = [
        {
            "key": live.window.info.key,
            "version": live.window.info.version,
            "etag": live.window.info.etag,
            "size": live.window.info.size_bytes,
            "first": live.span.first,
            "last": live.span.last,
        }
        for live in listing.live()
    ]
    return {
        "topic": partition.topic,
        "topic_id": partition.incarnation.topic_id,
        "partition": partition.partition,
        "target": request.target(partition.topic),
        "objects": objects,
    }


def _document(request: RestoreRequest, identity: Identity, run_id: str, now_ms: int, lines: list[Json]) -> Json:
    objects = [item for line in lines for item in line["objects"]]
    return {
        "kind": KIND,
        "run_id": run_id,
        "archive_id": identity.archive_id,
        "cluster_id": identity.cluster_id,
        "planned_at": now_ms,
        "request": request.model_dump(mode="json"),
        "lines": len(lines),
        "units": units_for(len(lines)),
        "objects": len(objects),
        "bytes": sum(item["size"] for item in objects),
        "offsets": sum(item["last"] - item["first"] + 1 for item in objects),
    }


def _topic(found: list[PartitionListing], request: RestoreRequest, known: TopicSnapshot | None) -> Json:
    incarnation = _incarnation(found)
    seen = found[-1].partition.partition + 1
    return {
        "topic": incarnation.topic,
        "topic_id": incarnation.topic_id,
        "target": request.target(incarnation.topic),
        "partitions": max(seen, known.partitions if known else 0),
        "max_message_bytes": known.config.get("max.message.bytes", "") if known else "",
    }


def _warnings(
    topics: list[ArchivedTopic],
    all_found: Iterable[list[PartitionListing]],
    snapshots: dict[Incarnation, TopicSnapshot],
) -> Iterator[str]:
    for topic in topics:
        if topic.foreign:
            yield f"{len(topic.foreign)} foreign objects in the folder of {topic.topic} are left out"
    for found in all_found:
        if _incarnation(found) not in snapshots:
            yield f"the partition count of {_incarnation(found)} was never recorded: empty last partitions are not made"
