"""Commits offsets for the groups of a snapshot, to groups of the target that nobody is a member of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

from millpond.groups.values import Group, PartitionOffset, TopicOffsets
from millpond.kafka.admin import Cluster
from millpond.kafka.answers import Refusal
from millpond.kafka.group_commits import TAKEN, Standing, commit_offsets, standing_of
from millpond.kafka.groups import CommittedOffset
from millpond.kafka.places import Place
from millpond.restore.groups.values import Decision, Entry, GroupResult, Status

_AT_ONCE = 16
_IN_A_TRANSACTION = "UNSTABLE_OFFSET_COMMIT"


class Decides(Protocol):
    """Knows where offsets belong on the target."""

    def decide(self, topic: TopicOffsets, found: PartitionOffset) -> Decision:
        """Where this offset belongs."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How offsets are applied.

    Attributes:
        prefix: Put in front of the groups' names.
        overwrite: Replace other offsets that are there, and commit equal ones again.
        dry_run: Commit nothing.
    """

    prefix: str = ""
    overwrite: bool = False
    dry_run: bool = False


class _Due(NamedTuple):
    """An offset on its way: what is told of it, and what is to be committed where."""

    entry: Entry
    place: Place
    commit: CommittedOffset


def apply_offsets(cluster: Cluster, decides: Decides, groups: Iterable[Group], manner: Manner) -> list[GroupResult]:
    """What became of each group, in their order. A group that fails is named; the others go on."""
    decided = [(group, list(_decided(group, decides))) for group in groups]
    logs = _Logs.of(cluster, [due.place for _, dues in decided for due in dues if due.entry.status is Status.APPLIED])
    work = [(group, [logs.within(due) for due in dues]) for group, dues in decided]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(partial(_apply, cluster, manner), *zip(*work, strict=True))) if work else []


def _decided(group: Group, decides: Decides) -> Iterator[_Due]:
    for topic in group.topics:
        for found in topic.partitions:
            told = decides.decide(topic, found)
            target, number = told.place or ("", found.partition)
            named = (topic.topic, topic.topic_id, found.partition, found.offset)
            entry = Entry(*named, told.status, target, told.offset, told.reason)
            yield _Due(entry, (target, number), CommittedOffset(told.offset, told.epoch, found.metadata))


@dataclass(frozen=True, slots=True)
class _Logs:
    """What the target's partitions hold now: outside of it a consumer would start where its reset policy says."""

    starts: Mapping[Place, int]
    ends: Mapping[Place, int]

    @classmethod
    def of(cls, cluster: Cluster, places: Iterable[Place]) -> _Logs:
        asked = set(places)
        return cls(cluster.log_starts(asked, of_some=True), cluster.ends(asked, of_some=True))

    def within(self, due: _Due) -> _Due:
        """The offset, or the nearest one that is there."""
        offset = due.commit.offset
        if due.entry.status is not Status.APPLIED or due.place not in self.starts or due.place not in self.ends:
            return due
        inside = min(max(offset, self.starts[due.place]), self.ends[due.place])
        if inside == offset:
            return due
        commit = CommittedOffset(inside, -1, due.commit.metadata)
        return _Due(replace(due.entry, target_offset=inside), due.place, commit)


def _apply(cluster: Cluster, manner: Manner, group: Group, dues: list[_Due]) -> GroupResult:
    target = manner.prefix + group.group_id
    if not any(due.entry.status is Status.APPLIED for due in dues):
        return GroupResult(group.group_id, target, "", 0, tuple(due.entry for due in dues))
    found = standing_of(cluster, target)
    if isinstance(found, Refusal):
        failed = [_stopped(due, Status.FAILED, found.code) for due in dues]
        return GroupResult(group.group_id, target, "", 0, tuple(due.entry for due in failed))
    weighed = [_weighed(due, found, manner) for due in dues]
    todo = {due.place: due.commit for due in weighed if due.entry.status is Status.APPLIED}
    refused = commit_offsets(cluster, target, todo) if todo and not manner.dry_run else {}
    done = (_refused(due, refused[due.place]) if due.place in refused else due for due in weighed)
    entries = tuple(due.entry for due in done)
    return GroupResult(group.group_id, target, found.state, found.members, entries, found.clients)


def _weighed(due: _Due, found: Standing, manner: Manner) -> _Due:
    """The offset beside what the group has already."""
    there, wanted = found.offsets.committed.get(due.place), due.commit
    if due.place in found.offsets.pending:
        return _stopped(due, Status.FAILED, _IN_A_TRANSACTION)
    if code := found.offsets.failed.get(due.place):
        return _stopped(due, Status.FAILED, code)
    equal = there is not None and (there.offset, there.metadata) == (wanted.offset, wanted.metadata)
    if equal and not (manner.overwrite and not found.active):
        return _stopped(due, Status.UNCHANGED)
    if there is not None and not manner.overwrite:
        return _stopped(due, Status.KEPT, "has_an_offset")
    return _stopped(due, Status.ACTIVE, "has_members") if found.active else due


def _stopped(due: _Due, status: Status, reason: str = "") -> _Due:
    """The same with another status, unless it was not to be applied anyway."""
    if due.entry.status is not Status.APPLIED:
        return due
    return due._replace(entry=replace(due.entry, status=status, reason=reason))


def _refused(due: _Due, code: str) -> _Due:
    return _stopped(due, Status.ACTIVE if code == TAKEN else Status.FAILED, code)
