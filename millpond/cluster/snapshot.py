"""Topics as snapshots hold them: id, partition count, replication, own settings. A restore reads the newest.

How snapshots are taken, and what they hold beside topics, is in `whole`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from millpond.archive.catalog import list_incarnations
from millpond.archive.keys import Incarnation, Layout
from millpond.storage.contract import ObjectInfo, ObjectStore, read

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """A topic as it was.

    Attributes:
        config: Settings made on the topic itself, never what it inherits from the broker.
        selected: Whether the backup covers it; None where nobody asked.
    """

    topic: str
    topic_id: str
    partitions: int
    replication: int
    config: dict[str, str]
    selected: bool | None = None


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
        return list(map(topic_of, topics))
    except (ValueError, KeyError, TypeError):
        _LOG.warning("the cluster snapshot %s cannot be read and is passed over", key)
        return []


def topic_of(document: dict[str, Any]) -> TopicSnapshot:
    """`KeyError` where a part is missing."""
    names = (name for name in TopicSnapshot.__slots__ if name != "selected")
    return TopicSnapshot(**{name: document[name] for name in names}, selected=document.get("selected"))


def compacted_topics(store: ObjectStore, layout: Layout, topics: Iterable[str]) -> set[str]:
    """Those of the archived topics of which any life was compacted, as far as snapshots tell."""
    lives = [life for topic in topics for life in list_incarnations(store, layout, topic)]
    known = latest_topics(store, layout, lives)
    return {life.topic for life, found in known.items() if "compact" in found.config.get("cleanup.policy", "")}
