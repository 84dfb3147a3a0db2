"""Commits of a foreign backup as a group snapshot of the archive."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive
from millpond.groups.avro import decode, encode
from millpond.groups.values import Group, GroupSnapshot
from millpond.storage.contract import AlreadyThere, ObjectStore, read

_LOG = logging.getLogger(__name__)


def snapshot_of(at: int, groups: tuple[Group, ...], archive_id: str, topic_id: Callable[[str], str]) -> GroupSnapshot:
    """In the order of the archive's own snapshots: by group, topic and partition.

    Args:
        topic_id: Of the topics that the backup holds, "" for others.
    """
    ordered = sorted((_with_ids(group, topic_id) for group in groups), key=lambda group: group.group_id)
    return GroupSnapshot(at, archive_id, tuple(ordered))


def keep_snapshot(store: ObjectStore, layout: Layout, snapshot: GroupSnapshot) -> tuple[str, bool]:
    """Its key, and whether it is new. Where another snapshot has the time, this one is a millisecond later."""
    while True:
        key = layout.groups(snapshot.at)
        try:
            store.put_if_absent(key, encode(snapshot))
        except AlreadyThere:
            if _holds(store, key, snapshot):
                return key, False
            snapshot = replace(snapshot, at=snapshot.at + 1)
            continue
        return key, True


def _holds(store: ObjectStore, key: str, snapshot: GroupSnapshot) -> bool:
    try:
        return decode(read(store, key), key) == snapshot
    except DamagedArchive as error:
        _LOG.warning("passed over: %s", error.args[0])
        return False


def _with_ids(group: Group, topic_id: Callable[[str], str]) -> Group:
    topics = (
        replace(
            topic,
            topic_id=topic_id(topic.topic),
            partitions=tuple(sorted(topic.partitions, key=lambda partition: partition.partition)),
        )
        for topic in group.topics
    )
    return replace(group, topics=tuple(sorted(topics, key=lambda topic: topic.topic)))
