"""A backup from start to end: checks before anything is written, then reading until told to stop or all is stored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing

from millpond.archive.catalog import read_partition
from millpond.archive.identity import Identity, open_or_create, read_identity
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.backup.commits import CommitNote
from millpond.backup.consumer import BackupConsumer
from millpond.backup.options import BackupOptions
from millpond.backup.spool import SpoolFolder
from millpond.clock import now_ms
from millpond.errors import MillpondError, RefusedForSafety, TryAgain, WrongUsage
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 5.0
_CHECK_EVERY_S = 0.1


def run_backup(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    options: BackupOptions,
    stop: threading.Event,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[Place, int]:
    """Backs up until `stop` is set or, with `options.once`, until the ends read at the start are covered.

    Args:
        progress: Told now and then how many of the offsets that `once` waits for are stored.

    Returns:
        With `once`, the end offset of each partition that is covered now.

    Raises:
        WrongUsage: No topic matches, or the surroundings are wrong; nothing was written.
        RefusedForSafety: The archive or the group belongs to others.
        MillpondError: A partition was stopped (`once`), or the store refused.
    """
    topics = matching_topics(cluster, options)
    with closing(SpoolFolder(options.spool)) as spool:
        identity = _identity(store, layout, cluster, options.group_id)
        targets = _targets(cluster, topics) if options.once else {}
        consumer = BackupConsumer(store, layout, cluster, identity, options, spool, stop)
        waiting = _Waiting(store, layout, cluster, targets, progress)
        try:
            consumer.subscribe(list(topics))
            while not stop.is_set() and not (options.once and waiting.over(consumer)):
                consumer.step()
        finally:
            consumer.close()
    waiting.raise_for_gone()
    return {(partition.topic, partition.partition): end for partition, end in targets.items()}


def _identity(store: ObjectStore, layout: Layout, cluster: Cluster, group_id: str) -> Identity:
    """The archive's identity, made only once the group is known to be nobody else's."""
    known = read_identity(store, layout).archive_id if store.head(layout.identity) else ""
    if group_id or known:
        refuse_foreign_group(cluster, group_id or f"millpond-{known}", known)
    return open_or_create(store, layout, cluster_id=cluster.cluster_id(), now_ms=now_ms())


def matching_topics(cluster: Cluster, options: BackupOptions) -> dict[str, TopicDescription]:
    """The selected topics; `WrongUsage` where there is none."""
    names = cluster.topic_names()
    topics = cluster.describe(options.selection.match(names))
    if not topics:
        patterns = ", ".join(pattern.pattern for pattern in options.selection.include)
        raise WrongUsage(
            f"no topic matches {patterns}: the cluster has {len(names)} topics",
            hint="expressions match whole names; check --topics and --exclude-topics",
        )
    return topics


def refuse_foreign_group(cluster: Cluster, group_id: str, own_id: str) -> None:
    """`RefusedForSafety` where another archive commits to the group: each would lack half of the records.

    Args:
        own_id: Of this archive, empty while there is none.
    """
    for (topic, number), commit in cluster.group_commits(group_id).items():
        archive_id = CommitNote.parse(commit.metadata).archive_id
        if archive_id and archive_id != own_id:
            raise RefusedForSafety(
                f"group {group_id} commits for archive {archive_id} ({topic}-{number}), not {own_id or 'this new one'}",
                hint="give this archive another --group-id, or leave it out",
            )


def _targets(cluster: Cluster, topics: dict[str, TopicDescription]) -> dict[PartitionId, int]:
    """How far each partition can be read now, behind control records and before open transactions."""
    places = [(topic.name, number) for topic in topics.values() for number in range(topic.partitions)]
    ends = cluster.ends(places, committed=True)
    return {
        PartitionId(Incarnation(name, topics[name].topic_id), number): ends[name, number] for name, number in places
    }


class _Waiting:
    """Whether everything that was there at the start is in the store, whoever put it there."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        cluster: Cluster,
        targets: dict[PartitionId, int],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._layout, self._cluster, self._progress = store, layout, cluster, progress
        self._left = dict(targets)
        self._gone: list[PartitionId] = []
        self._total, self._next_look = sum(targets.values()), time.monotonic() + _LOOK_EVERY_S
        self._next_check = 0.0

    def over(self, consumer: BackupConsumer) -> bool:
        now = time.monotonic()
        if now < self._next_check and self._left:
            return False
        self._next_check = now + _CHECK_EVERY_S
        for partition, end in list(self._left.items()):
            mine = consumer.active.get((partition.topic, partition.partition))
            if mine is not None and mine.partition == partition:
                if mine.stored >= end:
                    del self._left[partition]
                elif mine.position >= end:
                    mine.close(now)
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            self._look_for_others(consumer)
            self._look_for_gone(consumer)
        self._progress(self._total - sum(self._left.values()), self._total)
        _raise_for_failed(consumer.failed, self._left)
        return not self._left

    def _look_for_others(self, consumer: BackupConsumer) -> None:
        """Other members of the group may own partitions that we wait for."""
        for partition, end in list(self._left.items()):
            if (partition.topic, partition.partition) not in consumer.active:
                listing = read_partition(self._store, self._layout, partition)
                if end == 0 or (listing.covered() and listing.covered()[-1].last >= end - 1):
                    del self._left[partition]

    def _look_for_gone(self, consumer: BackupConsumer) -> None:
        """The end of a topic that was deleted is never reached."""
        try:
            found = self._cluster.describe({partition.topic for partition in self._left})
        except TryAgain:
            return
        lives = {Incarnation(topic.name, topic.topic_id) for topic in found.values()}
        gone = [p for p in self._left if p.incarnation not in lives and not consumer.holds(p)]
        for partition in gone:
            del self._left[partition]
        self._gone += gone

    def raise_for_gone(self) -> None:
        if self._gone:
            names = ", ".join(map(str, self._gone))
            raise MillpondError(
                f"{len(self._gone)} partitions were not read to their ends, because their topics were deleted: {names}",
                hint="what was read of them is stored; start it again for topics that were made again",
            )


def _raise_for_failed(failed: dict[Place, str], left: dict[PartitionId, int]) -> None:
    """Once nothing but stopped partitions is waited for."""
    waited = [(partition.topic, partition.partition) for partition in left]
    if waited and all(place in failed for place in waited):
        reasons = "; ".join(f"{topic}-{number}: {failed[topic, number]}" for topic, number in waited)
        raise MillpondError(f"{len(waited)} partitions were stopped: {reasons}", hint="the others are stored")
