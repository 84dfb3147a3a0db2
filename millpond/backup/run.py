"""A backup from start to end: checks before anything is written, then reading until told to stop or all is stored."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable

from millpond.archive.catalog import read_partition
from millpond.archive.identity import Identity, open_or_create
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.backup.consumer import BackupConsumer
from millpond.backup.options import BackupOptions
from millpond.backup.spool import SpoolFolder
from millpond.clock import now_ms
from millpond.errors import MillpondError, RefusedForSafety, WrongUsage
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 5.0


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
    identity = open_or_create(store, layout, cluster_id=cluster.cluster_id(), now_ms=now_ms())
    refuse_foreign_group(cluster, options.group_id or f"millpond-{identity.archive_id}", identity)
    targets = _targets(cluster, topics) if options.once else {}
    spool = SpoolFolder(options.spool)
    consumer = BackupConsumer(store, layout, cluster, identity, options, spool, stop)
    waiting = _Waiting(store, layout, targets, progress)
    try:
        consumer.subscribe(list(topics))
        while not stop.is_set() and not (options.once and waiting.over(consumer)):
            consumer.step()
    finally:
        consumer.close()
        spool.close()
    return {(partition.topic, partition.partition): end for partition, end in targets.items()}


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


def refuse_foreign_group(cluster: Cluster, group_id: str, identity: Identity) -> None:
    """`RefusedForSafety` where another archive commits to the group: each would lack half of the records."""
    for (topic, number), metadata in cluster.group_commits(group_id).items():
        archive_id = _archive_id(metadata)
        if archive_id and archive_id != identity.archive_id:
            raise RefusedForSafety(
                f"group {group_id} commits for archive {archive_id} ({topic}-{number}), not {identity.archive_id}",
                hint="give this archive another --group-id, or leave it out",
            )


def _archive_id(metadata: str) -> str:
    try:
        found = json.loads(metadata)
    except ValueError:
        return ""
    return str(found.get("archive_id", "")) if isinstance(found, dict) else ""


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
        self, store: ObjectStore, layout: Layout, targets: dict[PartitionId, int], progress: Callable[[int, int], None]
    ) -> None:
        self._store, self._layout, self._progress = store, layout, progress
        self._left = dict(targets)
        self._total, self._next_look = sum(targets.values()), 0.0

    def over(self, consumer: BackupConsumer) -> bool:
        now = time.monotonic()
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


def _raise_for_failed(failed: dict[Place, str], left: dict[PartitionId, int]) -> None:
    """Once nothing but stopped partitions is waited for."""
    waited = [(partition.topic, partition.partition) for partition in left]
    if waited and all(place in failed for place in waited):
        reasons = "; ".join(f"{topic}-{number}: {failed[topic, number]}" for topic, number in waited)
        raise MillpondError(f"{len(waited)} partitions were stopped: {reasons}", hint="the others are stored")
