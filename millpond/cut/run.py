"""One cut, from the question to the object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from millpond.archive.cuts import Cut, refuse_taken, write_cut
from millpond.archive.identity import identity_of
from millpond.archive.keys import Layout
from millpond.cut.take import take_ends
from millpond.errors import RefusedForSafety
from millpond.groups.keep import keep
from millpond.groups.take import GroupChoice, take
from millpond.groups.values import GroupSnapshot
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore


@dataclass(frozen=True, slots=True)
class Taken:
    """A cut and the snapshot of groups that belongs to it.

    Attributes:
        key: Where the cut lies, "" where nothing was to be written.
    """

    cut: Cut
    groups: GroupSnapshot
    key: str = ""

    @property
    def whole(self) -> bool:
        """Whether everything could be read."""
        return not self.cut.failed and not self.groups.failed


def take_cut(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    name: str,
    *,
    selection: Selection,
    now_ms: Callable[[], int],
    dry_run: bool = False,
) -> Taken:
    """Reads where all groups stand, then how far the topics reach, and writes both down.

    In this order no group is ahead of the cut: what it had read by then is in it.

    Args:
        selection: The topics.
        dry_run: Read everything, write nothing.

    Raises:
        RefusedForSafety: The name is taken, the archive holds another cluster, or no group was read although an
            earlier snapshot has some.
        WrongUsage: There is no archive yet, the name is impossible, no topic matches, or somebody refused.
        TryAgain: The cluster or the store did not answer.
    """
    refuse_taken(store, layout, name)
    identity = identity_of(store, layout, cluster_id=cluster.cluster_id())
    groups = take(cluster, GroupChoice.of(identity.archive_id), archive_id=identity.archive_id, now_ms=now_ms)
    topics, failed = take_ends(cluster, selection)
    at = now_ms()
    kept_as = "" if dry_run else _keep(store, layout, groups)
    cut = Cut(name, at, identity.archive_id, identity.cluster_id, kept_as, topics, failed)
    return Taken(cut, groups, "" if dry_run else write_cut(store, layout, cut))


def _keep(store: ObjectStore, layout: Layout, groups: GroupSnapshot) -> str:
    """The key of the snapshot, below the archive's prefix."""
    kept = keep(store, layout, groups)
    if kept.refused:
        raise RefusedForSafety(
            f"the cut is not taken: {kept.refused}", hint="check --brokers and the user's rights on groups"
        )
    return kept.key.removeprefix(layout.under(""))
