"""One snapshot of groups, from the question to the object."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from millpond.archive.documents import Json
from millpond.archive.identity import identity_of
from millpond.archive.keys import Layout
from millpond.groups.keep import Kept, keep
from millpond.groups.take import GroupChoice, take
from millpond.kafka.admin import Cluster
from millpond.storage.contract import ObjectStore


def snapshot_groups(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    now_ms: Callable[[], int],
) -> Kept:
    """Takes a snapshot of the groups that match and adds it to the archive's history.

    Args:
        include: Regular expressions that match whole group ids; none is all.

    Raises:
        RefusedForSafety: The archive holds another cluster.
        WrongUsage: There is no archive yet (a backup makes it), or the cluster or the store refused.
        TryAgain: The cluster or the store did not answer.
    """
    identity = identity_of(store, layout, cluster_id=cluster.cluster_id())
    choice = GroupChoice.of(identity.archive_id, include, exclude)
    return keep(store, layout, take(cluster, choice, archive_id=identity.archive_id, now_ms=now_ms))


def counts_of(kept: Kept) -> Json:
    """What became of a snapshot, in numbers and codes."""
    groups = kept.snapshot.groups
    partitions = [partition for group in groups for topic in group.topics for partition in topic.partitions]
    return {
        "key": kept.key or None,
        "at": kept.snapshot.at,
        "groups": len(groups),
        "offsets": len(partitions),
        "pending": sum(partition.pending for partition in partitions),
        "failed": list(kept.snapshot.by_code()),
        "refused": kept.refused or None,
    }
