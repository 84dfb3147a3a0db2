"""One snapshot of a cluster, from the question to the object; and one of the archive beside a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from millpond.archive.documents import Json
from millpond.archive.identity import identity_of
from millpond.archive.keys import Layout
from millpond.cluster.busy import unfinished_topics
from millpond.cluster.diff import Differences, differences
from millpond.cluster.keep import Kept, keep
from millpond.cluster.kept import Found, find_whole
from millpond.cluster.whole import WholeSnapshot, take_whole
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore

_SHOWN = 20


def snapshot_cluster(
    store: ObjectStore, layout: Layout, cluster: Cluster, *, selection: Selection | None, now_ms: Callable[[], int]
) -> Kept:
    """Takes a snapshot of the cluster and adds it to the archive's history, if anything changed.

    Args:
        selection: The topics that are backed up; None where that is not known.

    Raises:
        RefusedForSafety: The archive holds another cluster.
        WrongUsage: There is no archive yet (a backup makes it), or the cluster or the store refused.
        TryAgain: The cluster or the store did not answer.
    """
    identity_of(store, layout, cluster_id=cluster.cluster_id())
    return keep(store, layout, take_whole(cluster, selection, now_ms=now_ms()))


def counts_of(kept: Kept) -> Json:
    """What became of a snapshot, in numbers and codes."""
    snapshot = kept.snapshot
    return {
        "key": kept.key or None,
        "written": kept.written,
        "at": snapshot.at,
        "topics": len(snapshot.topics),
        "not_selected": len(snapshot.not_selected),
        "brokers": len(snapshot.brokers),
        "acls": None if snapshot.acls is None else len(snapshot.acls),
        "scram_users": None if snapshot.scram_users is None else len(snapshot.scram_users),
        "failed": [asdict(missing) for missing in snapshot.failed[:_SHOWN]],
        "failed_count": len(snapshot.failed),
        "refused": kept.refused or None,
    }


@dataclass(frozen=True, slots=True)
class Compared:
    """A snapshot of the archive and a cluster."""

    found: Found
    live: WholeSnapshot
    differences: Differences

    def document(self) -> Json:
        """Which two they are."""
        archived = self.found.snapshot
        return {
            "snapshot": {"key": self.found.key, "at": archived.at, "cluster_id": archived.cluster_id},
            "acls_of": self.found.acls_key or None,
            "cluster_id": self.live.cluster_id,
        }


def compare_cluster(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    *,
    until_ms: int | None,
    now_ms: int,
    selection: Selection | None = None,
    prefix: str = "",
) -> Compared:
    """How any cluster differs from the archive's newest snapshot.

    Args:
        until_ms: None that was taken later counts; None for no limit.
        selection: The topics that are backed up, to name those that are not; None where that is not known.
        prefix: What archived topics have in front of their names on the cluster.

    Raises:
        WrongUsage: There is no such snapshot, or the cluster or the store refused.
        DamagedArchive: What an unfinished restore prepared cannot be read.
        TryAgain: The cluster or the store did not answer.
    """
    found = find_whole(store, layout, until_ms=until_ms)
    live = take_whole(cluster, selection, now_ms=now_ms)
    busy = unfinished_topics(store, layout, live.cluster_id)
    return Compared(found, live, differences(found.snapshot, live, prefix=prefix, busy=busy))
