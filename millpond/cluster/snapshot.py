"""Snapshots of topics: id, partition count, replication, own settings. History is kept; a restore reads the newest."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass

from millpond.archive.catalog import list_incarnations
from millpond.archive.keys import Incarnation, Layout
from millpond.kafka.admin import Cluster
from millpond.storage.contract import AlreadyThere, ObjectInfo, ObjectStore, read

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """A topic as it was.

    Attributes:
        config: Settings made on the topic itself, never what it inherits from the broker.
    """

    topic: str
    topic_id: str
    partitions: int
    replication: int
    config: dict[str, str]


@dataclass(frozen=True, slots=True)
class ClusterSnapshot:
    """The selected topics at one moment, epoch ms."""

    at: int
    cluster_id: str
    topics: tuple[TopicSnapshot, ...]


def take(cluster: Cluster, topics: Iterable[str], *, now_ms: int) -> ClusterSnapshot:
    """The topics as the cluster has them now; absent ones are left out."""
    found = cluster.describe(topics).values()
    snapshots = (
        TopicSnapshot(topic.name, topic.topic_id, topic.partitions, topic.replication, cluster.topic_config(topic.name))
        for topic in found
    )
    return ClusterSnapshot(now_ms, cluster.cluster_id(), tuple(snapshots))


def write(store: ObjectStore, layout: Layout, snapshot: ClusterSnapshot) -> None:
    """Adds the snapshot to the history."""
    with suppress(AlreadyThere):
        store.put_if_absent(layout.cluster(snapshot.at), json.dumps(asdict(snapshot), indent=1).encode())


def latest_topics(
    store: ObjectStore, layout: Layout, wanted: Iterable[Incarnation]
) -> dict[Incarnation, TopicSnapshot]:
    """The newest snapshot of each incarnation that has one. Reads backwards and only as far as needed."""
    missing = set(wanted)
    found: dict[Incarnation, TopicSnapshot] = {}
    keys = [entry.key for entry in store.list(layout.under("cluster/")) if isinstance(entry, ObjectInfo)]
    for key in reversed(keys):
        if not missing:
            break
        for snapshot in _topics_in(read(store, key), key):
            incarnation = Incarnation(snapshot.topic, snapshot.topic_id)
            if incarnation in missing:
                found[incarnation] = snapshot
                missing.discard(incarnation)
    return found


def _topics_in(content: bytes, key: str) -> list[TopicSnapshot]:
    """The topics of a snapshot. One that cannot be read is passed over, loudly: no record depends on it."""
    try:
        topics = json.loads(content)["topics"]
        return [TopicSnapshot(**{name: topic[name] for name in TopicSnapshot.__slots__}) for topic in topics]
    except (ValueError, KeyError, TypeError):
        _LOG.warning("the cluster snapshot %s cannot be read and is passed over", key)
        return []


def compacted_topics(store: ObjectStore, layout: Layout, topics: Iterable[str]) -> set[str]:
    """Those of the archived topics of which any life was compacted, as far as snapshots tell."""
    lives = [life for topic in topics for life in list_incarnations(store, layout, topic)]
    known = latest_topics(store, layout, lives)
    return {life.topic for life, found in known.items() if "compact" in found.config.get("cleanup.policy", "")}
