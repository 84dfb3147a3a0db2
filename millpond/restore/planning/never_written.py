"""Topics that never held a record: the archive has no folder of them, but a snapshot or the cut knows them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from itertools import islice

from millpond.archive.cuts import Cut
from millpond.archive.keys import Incarnation, Layout
from millpond.cluster.kept import snapshots
from millpond.cluster.snapshot import TopicSnapshot, topic_of
from millpond.restore.planning.lives import ArchivedTopic, Life
from millpond.restore.request import RestoreRequest
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_LOOKED_AT = 200
"""Snapshots that are read for one that says what the backup covers."""


def never_written(
    store: ObjectStore, layout: Layout, archived: Collection[str], request: RestoreRequest, cut: Cut | None
) -> dict[str, ArchivedTopic]:
    """Those of the moment that is restored, by name, without the `archived` ones and without what the backup does not
    cover: of that nobody knows whether it was empty."""
    moments = (None if cut is None else cut.at, request.cut, request.until)
    known = _in_snapshot(store, layout, next((moment for moment in moments if moment is not None), None))
    lives = _in_cut(cut, known) if cut is not None else [_life(one) for one in known if one.selected]
    return {
        life.incarnation.topic: ArchivedTopic(life.incarnation.topic, {life.incarnation: life})
        for life in lives
        if life.incarnation.topic not in archived
    }


def _in_snapshot(store: ObjectStore, layout: Layout, until_ms: int | None) -> list[TopicSnapshot]:
    """Topics of the newest snapshot that says what the backup covers; empty where none does."""
    for _, key, document in islice(snapshots(store, layout, until_ms=until_ms), _LOOKED_AT):
        try:
            topics = [topic_of(topic) for topic in document["topics"]]
        except (KeyError, TypeError):
            _LOG.warning("the cluster snapshot %s cannot be read and is passed over", key)
            continue
        if any(topic.selected is not None for topic in topics):
            return topics
    return []


def _in_cut(cut: Cut, known: Iterable[TopicSnapshot]) -> list[Life]:
    """What no snapshot knows may be covered."""
    left_out = {topic.topic for topic in known if topic.selected is False}
    topics = (topic for topic in cut.topics if topic.partitions and topic.topic not in left_out)
    return [
        Life(Incarnation(topic.topic, topic.topic_id), topic.partitions[-1].partition + 1, written=False)
        for topic in topics
    ]


def _life(topic: TopicSnapshot) -> Life:
    return Life(Incarnation(topic.topic, topic.topic_id), topic.partitions, written=False)
