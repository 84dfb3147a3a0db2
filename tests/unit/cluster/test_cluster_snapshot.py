"""Cluster snapshots: the newest one of each life counts, and one that cannot be read hides no other."""

from __future__ import annotations

import json
import logging

import pytest

from millpond.archive.keys import Incarnation, Layout
from millpond.cluster.snapshot import TopicSnapshot, latest_topics
from millpond.storage.memory import MemoryStore
from tests.unit.cluster.topic_snapshots import write

LAYOUT = Layout("kafka")
LIFE = Incarnation("orders", "Qm3vXk1ZTb6R0nKXv0cV7w")


def orders(partitions: int) -> TopicSnapshot:
    return TopicSnapshot("orders", LIFE.topic_id, partitions, 1, {})


def test_the_newest_snapshot_of_a_life_counts() -> None:
    store = MemoryStore()
    for at, partitions in ((1_000, 3), (90_000_000_000, 6), (5_000, 4)):
        write(store, LAYOUT, at, orders(partitions))
    assert latest_topics(store, LAYOUT, [LIFE])[LIFE].partitions == 6


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"topics": [{}]}', b'{"topics": 3}', b"\xff"])
def test_a_snapshot_that_cannot_be_read_is_passed_over_and_named(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    write(store, LAYOUT, 1_000, orders(3))
    store.put_if_absent(LAYOUT.cluster(2_000), content)
    with caplog.at_level(logging.WARNING):
        assert latest_topics(store, LAYOUT, [LIFE])[LIFE].partitions == 3
    assert LAYOUT.cluster(2_000) in caplog.text


def test_names_of_a_newer_version_are_ignored() -> None:
    store = MemoryStore()
    topic = {"topic": "orders", "topic_id": LIFE.topic_id, "partitions": 2, "replication": 1, "config": {}, "acls": []}
    store.put_if_absent(LAYOUT.cluster(1), json.dumps({"topics": [topic], "more": 1}).encode())
    assert latest_topics(store, LAYOUT, [LIFE])[LIFE].partitions == 2
