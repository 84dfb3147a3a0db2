"""The plan of a restore: which objects, in which versions, become which partitions. It reads listings, no records."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from millpond.archive.catalog import list_topics
from millpond.archive.cuts import Cut, read_cut
from millpond.archive.documents import Json
from millpond.archive.identity import Identity, read_identity
from millpond.archive.keys import Incarnation, Layout
from millpond.archive.runs import Run, units_for
from millpond.cluster.snapshot import TopicSnapshot, latest_topics
from millpond.errors import NothingToRestore, RefusedForSafety, WrongUsage
from millpond.findings import named
from millpond.kafka.selection import INTERNAL, Selection
from millpond.restore.groups.snapshots import find_snapshot
from millpond.restore.planning.estimate import estimated
from millpond.restore.planning.left_out import summed
from millpond.restore.planning.lines import digest_of_lines, lines_of, objects_by_name, write_long_lines
from millpond.restore.planning.lives import ArchivedTopic, Life, decide, read_lives
from millpond.restore.planning.never_written import never_written
from millpond.restore.planning.pieces import Asked, Finding, Piece, Pinning
from millpond.restore.planning.troubles import refuse_troubles, troubling_events
from millpond.restore.request import EVERY_GROUP, RestoreRequest, Trouble, parse_request
from millpond.storage.as_of import AsOf
from millpond.storage.contract import ObjectStore

KIND = "restore"
_LONGEST_NAME = 249
"""Of a topic, as brokers allow it."""
BYTES_PER_UNIT = 256 << 20
"""Stored bytes that are worth a worker of their own."""


def plan_restore(
    store: ObjectStore,
    layout: Layout,
    request: RestoreRequest,
    *,
    run_id: str,
    now_ms: int,
    bytes_per_unit: int = BYTES_PER_UNIT,
    refuse_nothing: bool = False,
) -> Json:
    """Writes the plan of the run, or finds the one of an earlier try, and returns its document.

    Args:
        refuse_nothing: `MadePlan.refuse_nothing` before it is written.

    Raises:
        WrongUsage: No archived topic matches, something that the request names is not there, a target's name is
            impossible, or the archive holds what only a newer version can read.
        RefusedForSafety: A topic has several incarnations and nothing decides; two topics would become one.
        DamagedArchive: Records are, or may be, missing, and the request does not allow that.
    """
    run = Run(store, layout, KIND, run_id)
    found = run.find_plan()
    if found is not None and parse_request(found.get("request")) == request:
        return found
    made = make_plan(store, layout, request, run_id=run_id, now_ms=now_ms, bytes_per_unit=bytes_per_unit)
    if refuse_nothing:
        made.refuse_nothing()
    write_long_lines(run, made.pieces)
    return run.write_plan(made.document, made.lines)


@dataclass(frozen=True, slots=True)
class MadePlan:
    """A plan that nobody has written yet."""

    document: Json
    lines: Sequence[Json]
    lives: Sequence[Life]

    @property
    def pieces(self) -> list[Piece]:
        """With records that are due."""
        return [piece for life in self.lives for piece in life.pieces if piece.objects]

    def refuse_nothing(self) -> None:
        """`NothingToRestore` where no record is due. Topics that never held one are made without."""
        if not self.lines and any(life.written for life in self.lives):
            raise NothingToRestore(
                "there is nothing to restore: the archive holds no records of what is asked for",
                hint="`millpond info --partitions` lists offsets and times that are there",
            )

    def whole_lines(self) -> Iterator[Json]:
        """The lines with all their objects, or those of their sources."""
        objects_in = objects_by_name(self.pieces)
        for line in self.lines:
            sources = [_whole(source, objects_in) for source in line.get("sources", ())]
            yield _whole(line, objects_in) | ({"sources": sources} if sources else {})


def _whole(line: Json, objects_in: Mapping[str, Piece]) -> Json:
    if "objects_in" not in line:
        return line
    return line | {"objects": json.loads(objects_in[line["objects_in"]].unpack())}


def make_plan(
    store: ObjectStore,
    layout: Layout,
    request: RestoreRequest,
    *,
    run_id: str,
    now_ms: int,
    bytes_per_unit: int = BYTES_PER_UNIT,
) -> MadePlan:
    """The plan as it would be written now. Raises what `plan_restore` does."""
    view = store if request.as_of is None else AsOf(store, request.as_of)
    plan = _planned(view, layout, request)
    sized = [pair for life in plan.lives for pair in lines_of(life, plan.partitions(life), request, plan.asked)]
    lines, sizes = [line for line, _ in sized], [size for _, size in sized]
    units = units_for(len(lines), sum(sizes), bytes_per_unit=bytes_per_unit)
    totals = _totals(plan.lives, sizes, units)
    document = _document(request, plan, run_id, now_ms) | totals | {"digest": digest_of_lines(lines)}
    return MadePlan(document, lines, plan.lives)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What was decided.

    Attributes:
        lives: One for each topic, in the order of restoring.
        groups: The snapshot of groups that counts, or None.
    """

    identity: Identity
    asked: Asked
    lives: Sequence[Life]
    snapshots: Mapping[Incarnation, TopicSnapshot]
    warnings: Sequence[str]
    groups: Json | None

    def partitions(self, life: Life) -> int:
        """Of the archived topic, as far as records or a snapshot tell."""
        known = self.snapshots.get(life.incarnation)
        return max(life.partitions, known.partitions if known else 0)


def _planned(store: ObjectStore, layout: Layout, request: RestoreRequest) -> _Planned:
    identity = read_identity(store, layout)
    cut = None if request.at_cut is None else _cut(store, layout, request.at_cut, identity)
    asked = Asked(request.choice(), request.moments(), request.cut, None if cut is None else cut.ends())
    pinning = Pinning(store, layout, identity.archive_id, asked)
    archived = set(list_topics(store, layout))
    empty = never_written(store, layout, archived, request, cut)
    names = _chosen({*archived, *empty}, request)
    topics = [empty.get(name) or read_lives(pinning, name, request.incarnation.get(name)) for name in names]
    known = None if cut is None else [Incarnation(topic.topic, topic.topic_id) for topic in cut.topics]
    there = [topic for topic in topics if topic.lives]
    decided = {topic.topic: decide(topic, request.incarnation.get(topic.topic), known) for topic in there}
    lives = {name: life for name, life in decided.items() if life is not None}
    _refuse_names(request, lives)
    _refuse_collisions(request, lives)
    for topic in topics:
        _refuse_unsupported(layout, topic, lives.get(topic.topic))
    troubles = [*_troubles(store, layout, lives.values(), cut), *_not_begun(names, lives.values(), asked)]
    allowed = refuse_troubles(troubles, request.allow)
    snapshots = latest_topics(store, layout, [life.incarnation for life in lives.values()])
    unkept = _without_versions(store, layout) if request.as_of is not None else ()
    warnings = [*allowed, *unkept, *_warnings(store, layout, topics, decided, snapshots, asked, request)]
    ordered = _in_order(lives.values(), request.large_topics_last)
    return _Planned(identity, asked, ordered, snapshots, warnings, _groups(store, layout, request))


def _groups(store: ObjectStore, layout: Layout, request: RestoreRequest) -> Json | None:
    """The snapshot of groups of the moment that is restored.

    Raises:
        WrongUsage: There is none, or it has none of the groups that are asked for by name.
    """
    if request.groups is None:
        return None
    moments = (request.groups.at, request.cut, request.until)
    until_ms = next((moment for moment in moments if moment is not None), None)
    cut = request.at_cut if request.at_cut and request.groups.at is None else ""
    found = find_snapshot(store, layout, until_ms=until_ms, cut=cut)
    chosen = Selection.of(request.groups.include, request.groups.exclude)
    if request.groups.include != EVERY_GROUP and not chosen.match(group.group_id for group in found.snapshot.groups):
        raise WrongUsage(
            f"no group of the snapshot {found.info.key} matches {chosen.told()}",
            hint="expressions match whole names; `millpond groups show` lists them",
        )
    return found.document()


def _cut(store: ObjectStore, layout: Layout, name: str, identity: Identity) -> Cut:
    cut = read_cut(store, layout, name)
    if cut.archive_id != identity.archive_id:
        raise WrongUsage(f"the cut {name} is of archive {cut.archive_id}, this one is {identity.archive_id}")
    return cut


def _chosen(known: Collection[str], request: RestoreRequest) -> list[str]:
    include = (".*",) if request.all else request.topics
    chosen = Selection.of(include, request.exclude_topics).match(known)
    if not chosen:
        raise WrongUsage(
            f"no archived topic matches {', '.join(include)}: the archive has {len(known)} topics",
            hint="expressions match whole names; `millpond info` lists what is there",
        )
    return chosen


def _in_order(lives: Iterable[Life], large_bytes: int | None) -> list[Life]:
    """As chosen, but topics of at least so many stored bytes last, among them as chosen, too."""
    return sorted(lives, key=lambda life: large_bytes is not None and life.size_bytes >= large_bytes)


def _refuse_names(request: RestoreRequest, lives: Mapping[str, Life]) -> None:
    """`WrongUsage` where a name would do something else than was meant: a slip in one restores to the wrong topic."""
    if not lives:
        raise WrongUsage("the chosen topics hold nothing", hint="`millpond info` lists what is there")
    named = request.choice().named()
    if idle := sorted((request.rename.keys() | request.incarnation.keys() | named) - lives.keys()):
        raise WrongUsage(
            "the request renames, or names an incarnation, partitions or offsets of, what is not restored: "
            + ", ".join(idle),
            hint=f"restored are {', '.join(sorted(lives)[:5])}{' and others' if len(lives) > 5 else ''}",
        )
    for topic in sorted(named):
        if request.choice().highest(topic) >= lives[topic].partitions:
            raise WrongUsage(
                f"the request names partition {request.choice().highest(topic)} of {topic}",
                hint=f"the archive holds partitions 0 to {lives[topic].partitions - 1}",
            )
    for target in map(request.target, sorted(lives)):
        if len(target) > _LONGEST_NAME or target in (".", "..", *INTERNAL):
            raise WrongUsage(
                f"{target} cannot be the name of a target topic",
                hint=f"at most {_LONGEST_NAME} characters, and none of Kafka's own topics",
            )


def _refuse_collisions(request: RestoreRequest, topics: Iterable[str]) -> None:
    sources: dict[str, str] = {}
    for topic in topics:
        other = sources.setdefault(request.target(topic), topic)
        if other != topic:
            raise RefusedForSafety(
                f"{other} and {topic} would both be restored to {request.target(topic)}", hint="check the renames"
            )


def _refuse_unsupported(layout: Layout, topic: ArchivedTopic, life: Life | None) -> None:
    """`WrongUsage` where the life to restore has records in forms that are reserved: they would be missing silently."""
    if life is None:
        return
    folder = layout.incarnation(life.incarnation)
    reserved = [key for key in topic.foreign if key == f"{folder}alias.json"]
    if life.incarnation.topic_id.startswith("no-id-"):
        reserved.append(folder)
    if reserved:
        raise WrongUsage(f"this version cannot read {reserved[0]}", hint="upgrade Millpond")


def _troubles(store: ObjectStore, layout: Layout, lives: Iterable[Life], cut: Cut | None) -> Iterator[Finding]:
    topics = set()
    for life in lives:
        topics.add(life.incarnation.topic)
        for piece in life.pieces:
            yield from piece.findings
        yield from troubling_events(store, layout, life.events, life.pieces)
    for failure in cut.failed if cut is not None else ():
        if failure.topic in topics:
            number = "" if failure.partition < 0 else f"-{failure.partition}"
            yield Finding(Trouble.BEHIND_CUT, f"{failure.topic}{number}, whose end the cut could not read")


def _not_begun(topics: Iterable[str], lives: Iterable[Life], asked: Asked) -> Iterator[Finding]:
    """Partitions that had records at the cut, and of which the archive holds nothing at all."""
    chosen, held = set(topics), {piece.partition for life in lives for piece in life.pieces}
    for partition, end in (asked.ends or {}).items():
        due = end.offset > 0 and partition.topic in chosen and asked.takes(partition)
        if due and partition not in held:
            yield Finding(Trouble.BEHIND_CUT, f"{partition} offsets 0 to {end.offset - 1}")


def _totals(lives: Sequence[Life], sizes: Sequence[int], units: int) -> Json:
    objects = sum(life.objects for life in lives)
    return {
        "lines": len(sizes),
        "objects": objects,
        "offsets": sum(life.offsets for life in lives),
        "bytes": sum(sizes),
        "units": units,
        "estimate": estimated(sizes, objects, units),
    }


def _document(request: RestoreRequest, plan: _Planned, run_id: str, now_ms: int) -> Json:
    return {
        "kind": KIND,
        "run_id": run_id,
        "archive_id": plan.identity.archive_id,
        "cluster_id": plan.identity.cluster_id,
        "planned_at": now_ms,
        "request": request.model_dump(mode="json"),
        "topics": [_topic(life, request, plan.partitions(life)) for life in plan.lives],
        "warnings": list(plan.warnings),
        "groups": plan.groups,
    }


def _topic(life: Life, request: RestoreRequest, partitions: int) -> Json:
    """Target partitions are None where an existing topic tells."""
    return {
        "topic": life.incarnation.topic,
        "topic_id": life.incarnation.topic_id,
        "target": request.target(life.incarnation.topic),
        "partitions": partitions,
        "target_partitions": partitions if request.repartition is None else request.repartition.partitions,
        "objects": life.objects,
        "offsets": life.offsets,
        "bytes": life.size_bytes,
        "newest_ms": max((piece.newest_ms for piece in life.pieces), default=-1),
        "left_out": summed(piece.left_out for piece in life.pieces),
    }


def _without_versions(store: ObjectStore, layout: Layout) -> Iterator[str]:
    head = store.head(layout.identity)
    if head is None or not head.version:
        yield "the store kept no versions when the archive was made: what was overwritten without one is not found"


def _warnings(
    store: ObjectStore,
    layout: Layout,
    topics: Iterable[ArchivedTopic],
    decided: Mapping[str, Life | None],
    snapshots: Mapping[Incarnation, TopicSnapshot],
    asked: Asked,
    request: RestoreRequest,
) -> Iterator[str]:
    for topic in topics:
        if topic.foreign:
            yield f"{len(topic.foreign)} foreign objects in the folder of {topic.topic} are left out"
        if not topic.lives:
            yield f"the folder of {topic.topic} holds neither records nor markers: it is left out"
    unread = [name for name, life in decided.items() if life is not None and not life.written]
    if unread and request.at_cut is None:
        yield f"made without records, since the archive holds none of them: {named(unread)}"
    for name, life in decided.items():
        if life is None:
            yield f"topic {name} is not in the cut, or in another life: it is left out"
            continue
        for piece in life.pieces:
            yield from piece.warnings
        if life.incarnation not in snapshots:
            yield f"the partition count of {life.incarnation} was never recorded: empty last partitions are not made"
        left = [n for n in range(life.partitions) if not asked.choice.takes(name, n)]
        if left:
            made = "" if request.repartition is not None else "are made and stay empty: they "
            yield f"{len(left)} partitions of {name} {made}were not asked for"
    if next(store.list(layout.under("erasures/ledger/")), None) is not None:
        yield "the erasure ledger is not applied: records erased after this archive was copied may come back"
