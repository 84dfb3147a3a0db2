"""Takes a snapshot of all consumer groups. One group that cannot be read is named; the others are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from millpond.groups.values import Failure, Group, GroupSnapshot, PartitionOffset, TopicOffsets
from millpond.kafka.admin import Cluster
from millpond.kafka.answers import Refusal
from millpond.kafka.groups import (
    SHARE,
    GroupDescription,
    GroupOffsets,
    describe_groups,
    group_offsets,
    list_groups,
)
from millpond.kafka.metadata import NOT_ALLOWED, describe_cluster
from millpond.kafka.places import Place
from millpond.kafka.selection import Selection
from millpond.kafka.stable_ends import stable_ends

_AT_ONCE = 16
_PAUSE_S = 0.2
_EVERYTHING = Selection.of([".*"])
_NOT_ASKED = "_TIMED_OUT"


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """Which groups are kept.

    Attributes:
        names: Regular expressions that match whole group ids.
        leave_out: Further ids that are not kept: the archive's own group, whose positions the archive itself tells.
    """

    names: Selection = _EVERYTHING
    leave_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, archive_id: str, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> GroupChoice:
        """All groups, or those that match; never the archive's own."""
        own = frozenset([f"millpond-{archive_id}"])
        return cls(Selection.of(tuple(include) or (".*",), tuple(exclude)), own)

    def match(self, group_ids: Iterable[str]) -> list[str]:
        return sorted(self.names.match(name for name in group_ids if name not in self.leave_out))


@dataclass(slots=True)
class _Read:
    """What has been read so far."""

    offsets: dict[str, GroupOffsets] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)


def take(
    cluster: Cluster,
    choice: GroupChoice,
    *,
    archive_id: str,
    now_ms: Callable[[], int],
    within_s: float = 120,
    patience_s: float = 5,
) -> GroupSnapshot:
    """The chosen groups as they are now.

    Args:
        within_s: Groups that were not asked for until then are named as failed.
        patience_s: How long a transaction that holds new offsets is waited for.

    Raises:
        TryAgain: The brokers do not answer.
        WrongUsage: They refuse the client.
    """
    deadline = time.monotonic() + within_s
    read = _Read()
    descriptions = _described(cluster, choice, read)
    _read_offsets(cluster, list(descriptions), read, deadline, patience_s)
    at = now_ms()
    topics, ends = _positions(cluster, read)
    groups = (
        _group(name, told, read.offsets[name], topics, ends)
        for name, told in descriptions.items()
        if name in read.offsets
    )
    return GroupSnapshot(at, archive_id, tuple(sorted(groups, key=lambda group: group.group_id)), tuple(read.failed))


def _described(cluster: Cluster, choice: GroupChoice, read: _Read) -> dict[str, GroupDescription]:
    """The chosen groups as far as anybody describes them."""
    found = list_groups(cluster)
    codes = found.failed if describe_cluster(cluster).may_describe else (NOT_ALLOWED, *found.failed)
    read.failed += [Failure("listing", code) for code in codes]
    answers = describe_groups(cluster, choice.match(found.consumers))
    read.failed += [
        Failure("description", told.code, name) for name, told in answers.items() if isinstance(told, Refusal)
    ]
    described = {name: found.consumers[name] if isinstance(told, Refusal) else told for name, told in answers.items()}
    return described | {name: found.others[name] for name in choice.match(found.others)}


def _read_offsets(cluster: Cluster, names: list[str], read: _Read, deadline: float, patience_s: float) -> None:
    """Reads each group whole, again and again while a transaction holds new offsets of it, and in the end as it was
    before that transaction."""
    patient_until = min(deadline, time.monotonic() + patience_s)
    pending = _pass(cluster, names, read, deadline)
    while pending and time.monotonic() < patient_until:
        time.sleep(_PAUSE_S)
        pending = _pass(cluster, list(pending), read, deadline)
    older = _Read()
    _pass(cluster, list(pending), older, deadline, stable=False)
    read.failed += older.failed
    for name, found in older.offsets.items():
        read.offsets[name] = GroupOffsets(found.committed, pending[name].pending, found.failed)


def _pass(
    cluster: Cluster, names: list[str], read: _Read, deadline: float, *, stable: bool = True
) -> dict[str, GroupOffsets]:
    """Asks for these groups, some at a time; returns those with offsets in a transaction that has not ended."""
    ask = partial(_ask, cluster, deadline=deadline, stable=stable)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(names, pool.map(ask, names), strict=True))
    pending: dict[str, GroupOffsets] = {}
    for name, answer in answers.items():
        if isinstance(answer, Refusal):
            read.failed.append(Failure("offsets", answer.code, name))
        elif answer.pending:
            pending[name] = answer
        else:
            read.offsets[name] = answer
            read.failed += [Failure("offsets", code, name, *place) for place, code in answer.failed.items()]
    return pending


def _ask(cluster: Cluster, name: str, *, deadline: float, stable: bool) -> GroupOffsets | Refusal:
    if time.monotonic() > deadline:
        return Refusal(_NOT_ASKED)
    return group_offsets(cluster, name, stable=stable)


def _positions(cluster: Cluster, read: _Read) -> tuple[dict[str, str], dict[Place, int]]:
    """Topic ids, and last stable offsets, of everything that any group has committed to."""
    places = sorted({place for offsets in read.offsets.values() for place in offsets.committed})
    topics = cluster.describe({topic for topic, _ in places}, refused=set())
    there = [(topic, number) for topic, number in places if topic in topics and number < topics[topic].partitions]
    ends: dict[Place, int] = {}
    for place, end in stable_ends(cluster, there).items():
        if isinstance(end, Refusal):
            read.failed.append(Failure("log_end", end.code, "", *place))
        else:
            ends[place] = end.offset
    return {name: topic.topic_id for name, topic in topics.items()}, ends


def _group(
    name: str, told: GroupDescription, offsets: GroupOffsets, topics: Mapping[str, str], ends: Mapping[Place, int]
) -> Group:
    by_topic: dict[str, list[PartitionOffset]] = {}
    for place, found in sorted(offsets.committed.items()):
        end, pending = ends.get(place, -1), place in offsets.pending
        entry = PartitionOffset(place[1], found.offset, found.epoch, found.metadata, end, pending)
        by_topic.setdefault(place[0], []).append(entry)
    kept = tuple(TopicOffsets(topic, topics.get(topic, ""), tuple(found)) for topic, found in by_topic.items())
    kind = "" if told.type == SHARE and kept else told.type  # share groups have no commits; Streams groups have
    return Group(name, kind, told.state, told.protocol, told.members, kept)
