"""Group offsets to a target, from the snapshot to the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.errors import RefusedForSafety
from millpond.groups.take import GroupChoice
from millpond.groups.values import Group, GroupSnapshot, TopicOffsets
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.restore.groups.apply import Decides, Manner, apply_offsets
from millpond.restore.groups.restored import RestoredRun
from millpond.restore.groups.same import SameOffsets
from millpond.restore.groups.values import Entry, GroupResult, Status, count
from millpond.storage.contract import ObjectStore

_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be applied.

    Attributes:
        run_id: The restore whose offsets count; "" for offsets as they are.
        groups: Which groups.
        left_out: Which topics not.
    """

    run_id: str
    groups: GroupChoice
    left_out: Selection


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a snapshot."""

    snapshot: GroupSnapshot
    results: tuple[GroupResult, ...]

    def document(self) -> Json:
        """With stable names."""
        return {
            "snapshot_at": self.snapshot.at,
            "archive_id": self.snapshot.archive_id,
            "offsets": count(self.results),
            "groups": [asdict(result) | {"status": result.status} for result in self.results],
            "snapshot_failed": [asdict(failure) for failure in self.snapshot.failed],
        }


def apply_groups(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    snapshot: GroupSnapshot,
    wanted: Wanted,
    manner: Manner,
    *,
    wait_s: float = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> Applied:
    """Commits the offsets of a snapshot to the target. May be repeated; a later call does what waited.

    Args:
        wait_s: How long to go on until nothing waits for the restore.

    Raises:
        WrongUsage: There is no such run.
        RefusedForSafety: The run wrote to another cluster, or the snapshot is of another archive.
        TryAgain: The cluster or the store did not answer.
    """
    deadline = time.monotonic() + wait_s
    left = _chosen(snapshot, wanted)
    results = _once(store, layout, cluster, wanted, manner, snapshot, left)
    while (left := _waiting(left, results)) and time.monotonic() < deadline and not manner.dry_run:
        sleep(min(_PAUSE_S, max(0.1, deadline - time.monotonic())))
        results = _merged(results, _once(store, layout, cluster, wanted, manner, snapshot, left))
    return Applied(snapshot, tuple(results))


def _chosen(snapshot: GroupSnapshot, wanted: Wanted) -> list[Group]:
    names = set(wanted.groups.match(group.group_id for group in snapshot.groups))
    chosen = [group for group in snapshot.groups if group.group_id in names]
    topics = {topic.topic for group in chosen for topic in group.topics}
    out = set(wanted.left_out.match(topics))
    return [_only(group, lambda topic, _: topic.topic not in out) for group in chosen]


def _once(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    wanted: Wanted,
    manner: Manner,
    snapshot: GroupSnapshot,
    groups: list[Group],
) -> list[GroupResult]:
    decides: Decides
    if wanted.run_id:
        restored = RestoredRun.open(store, layout, cluster, wanted.run_id)
        decides, archive_id = restored, restored.archive_id
    else:
        same = SameOffsets.open(store, layout, cluster, groups)
        decides, archive_id = same, same.archive_id
    if snapshot.archive_id != archive_id:
        raise RefusedForSafety(
            f"the snapshot is of archive {snapshot.archive_id}, the records are of {archive_id}",
            hint="two archives were mixed under one prefix",
        )
    return apply_offsets(cluster, decides, groups, manner)


def _waiting(groups: Iterable[Group], results: Iterable[GroupResult]) -> list[Group]:
    """What is left of the groups: offsets that wait for the restore."""
    waiting = {
        (result.group, entry.topic, entry.partition)
        for result in results
        for entry in result.entries
        if entry.status is Status.WAITING
    }

    def waits(group: Group) -> Callable[[TopicOffsets, int], bool]:
        return lambda topic, number: (group.group_id, topic.topic, number) in waiting

    left = (_only(group, waits(group)) for group in groups)
    return [group for group in left if group.topics]


def _only(group: Group, keep: Callable[[TopicOffsets, int], bool]) -> Group:
    """The group with those of its offsets that are to be kept."""
    topics = (
        replace(topic, partitions=tuple(found for found in topic.partitions if keep(topic, found.partition)))
        for topic in group.topics
    )
    return replace(group, topics=tuple(topic for topic in topics if topic.partitions))


def _merged(before: list[GroupResult], after: list[GroupResult]) -> list[GroupResult]:
    """What is known now, a later look in place of an earlier one."""
    newer = {result.group: {(entry.topic, entry.partition): entry for entry in result.entries} for result in after}

    def entries(result: GroupResult) -> tuple[Entry, ...]:
        found = newer.get(result.group, {})
        return tuple(found.get((entry.topic, entry.partition), entry) for entry in result.entries)

    return [replace(result, entries=entries(result)) for result in before]
