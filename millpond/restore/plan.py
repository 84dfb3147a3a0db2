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
from millpond.kafka.selection import INTERNAL, Selection
from millpond.restore.request import RestoreRequest
from millpond.storage.contract import ObjectStore

KIND = "restore"
_LONGEST_NAME = 249
"""Of a topic, as brokers allow it."""
BYTES_PER_UNIT = 256 << 20
"""Stored bytes that are worth a worker of their own."""


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
    store: ObjectStore,
    layout: Layout,
    request: RestoreRequest,
    *,
    run_id: str,
    now_ms: int,
    bytes_per_unit: int = BYTES_PER_UNIT,
    dry_run: bool = False,
) -> Json:
    """Writes the plan of the run, or finds the one of an earlier try, and returns its document.

    Raises:
        WrongUsage: No archived topic matches, a named incarnation is not there, a target's name is impossible, or the
            archive holds what only a newer version can read.
        RefusedForSafety: A topic has several incarnations and nothing decides; two topics would become one.
        DamagedArchive: Offsets are missing that nothing explains.
    """
    run = Run(store, layout, KIND, run_id)
    found = run.find_plan()
    if found is not None and found.get("request") == request.model_dump(mode="json"):
        return found
    identity = read_identity(store, layout)
    topics = [_read(store, layout, name) for name in _chosen(store, layout, request)]
    listings = {topic.topic: _decide(topic, request) for topic in topics if topic.lives}
    _refuse_names(request, listings)
    _refuse_collisions(request, listings)
    for topic in topics:
        _refuse_unsupported(layout, topic, listings.get(topic.topic, []))
    _refuse_damage(listings.values())
    snapshots = latest_topics(store, layout, [_incarnation(found) for found in listings.values()])
    lines = [_line(listing, request) for found in listings.values() for listing in found if listing.live()]
    size_bytes = sum(item["size"] for line in lines for item in line["objects"])
    document = _document(request, identity, run_id, now_ms, lines) | {
        "units": units_for(len(lines), size_bytes, bytes_per_unit=bytes_per_unit),
        "bytes": size_bytes,
        "topics": [_topic(found, request, snapshots.get(_incarnation(found))) for found in listings.values()],
        "warnings": list(_warnings(store, layout, topics, listings.values(), snapshots)),
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
            if named is not None
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


def _refuse_names(request: RestoreRequest, topics: Iterable[str]) -> None:
    """`WrongUsage` where a name would do something else than was meant: a slip in one restores to the wrong topic."""
    known = set(topics)
    if not known:
        raise WrongUsage("the chosen topics hold nothing", hint="`millpond info` lists what is there")
    idle = sorted((request.rename.keys() | request.incarnation.keys()) - known)
    if idle:
        raise WrongUsage(
            f"the request renames, or names an incarnation of, what is not restored: {', '.join(idle)}",
            hint=f"restored are {', '.join(sorted(known)[:5])}{' and others' if len(known) > 5 else ''}",
        )
    for target in map(request.target, sorted(known)):
        if len(target) > _LONGEST_NAME or target in (".", "..", *INTERNAL):
            raise WrongUsage(
                f"{target} cannot be the name of a target topic",
                hint=f"at most {_LONGEST_NAME} characters, and none of Kafka's own topics",
            )


def _refuse_unsupported(layout: Layout, topic: ArchivedTopic, found: list[PartitionListing]) -> None:
    """`WrongUsage` where the life to restore has records in forms that are reserved: they would be missing silently."""
    if not found:
        return
    folder = layout.incarnation(_incarnation(found))
    reserved = [key for key in topic.foreign if key.startswith(folder) and _is_reserved(layout, folder, key)]
    if _incarnation(found).topic_id.startswith("no-id-"):
        reserved.append(folder)
    if reserved:
        raise WrongUsage(f"this version cannot read {reserved[0]}", hint="upgrade Millpond")


def _is_reserved(layout: Layout, folder: str, key: str) -> bool:
    is_parts = key.endswith(".parts") and layout.parse(f"{key.removesuffix('.parts')}.avro") is not None
    return is_parts or key == f"{folder}alias.json"


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
        "objects": len(objects),
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
    }


def _warnings(
    store: ObjectStore,
    layout: Layout,
    topics: list[ArchivedTopic],
    all_found: Iterable[list[PartitionListing]],
    snapshots: dict[Incarnation, TopicSnapshot],
) -> Iterator[str]:
    for topic in topics:
        if topic.foreign:
            yield f"{len(topic.foreign)} foreign objects in the folder of {topic.topic} are left out"
        if not topic.lives:
            yield f"the folder of {topic.topic} holds neither records nor markers: it is left out"
    for found in all_found:
        if _incarnation(found) not in snapshots:
            yield f"the partition count of {_incarnation(found)} was never recorded: empty last partitions are not made"
    if next(store.list(layout.under("erasures/ledger/")), None) is not None:
        yield "the erasure ledger is not applied: records erased after this archive was copied may come back"
