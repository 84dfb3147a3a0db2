"""Whole cluster snapshots: written when something changed and once a day, beside those that speak of topics alone."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.keys import Incarnation, Layout
from millpond.cluster.keep import keep
from millpond.cluster.snapshot import TopicSnapshot, latest_topics
from millpond.cluster.whole import Missing, WholeSnapshot
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.cluster.topic_snapshots import write

LAYOUT = Layout("kafka")
NOW = 1767225660000
DAY_MS = 86_400_000
ORDERS = TopicSnapshot("orders", "Qm3vXk1ZTb6R0nKXv0cV7w", 3, 1, {"cleanup.policy": "compact"}, True)
EVENTS = TopicSnapshot("events", "7cVb1nXqSsmD4tKp9yHf2w", 1, 1, {}, False)
WHOLE = WholeSnapshot(
    NOW,
    "cluster",
    (EVENTS, ORDERS),
    ({"id": 1, "rack": None, "dynamic": {}, "static": {"x": None}},),
    {},
    (),
    ({"principal": "User:a"},),
    None,
    (Missing("scram_users", "X"),),
)


def keys(store: MemoryStore) -> list[str]:
    return [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]


def later(ms: int, **changes: Any) -> WholeSnapshot:
    return replace(WHOLE, at=NOW + ms, **changes)


def test_what_could_not_be_read_is_absent_and_named() -> None:
    store = MemoryStore()
    document = json.loads(read(store, keep(store, LAYOUT, WHOLE).key))
    assert "scram_users" not in document and document["failed"] == [{"part": "scram_users", "code": "X"}]
    assert "quotas" in document["not_readable"] and WHOLE.not_selected == ["events"]


def test_nothing_is_written_while_nothing_changes_but_once_a_day() -> None:
    store = MemoryStore()
    first = keep(store, LAYOUT, WHOLE)
    same = keep(store, LAYOUT, later(DAY_MS - 1))
    assert first.written and not same.written and same.key == first.key and len(keys(store)) == 1
    assert keep(store, LAYOUT, later(DAY_MS)).written and len(keys(store)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"topics": (EVENTS, replace(ORDERS, partitions=4))},
        {"topics": (EVENTS, replace(ORDERS, config={}))},
        {"topics": (replace(EVENTS, selected=True), ORDERS)},
        {"brokers": ()},
        {"acls": ()},
        {"acls": None},
        {"scram_users": ()},
        {"broker_defaults": {"a": "1"}},
        {"failed": ()},
    ],
)
def test_any_change_is_written(change: dict[str, Any]) -> None:
    store = MemoryStore()
    keep(store, LAYOUT, WHOLE)
    assert keep(store, LAYOUT, later(1000, **change)).written and len(keys(store)) == 2


def test_a_snapshot_of_topics_alone_in_between_changes_nothing() -> None:
    store = MemoryStore()
    first = keep(store, LAYOUT, WHOLE)
    write(store, LAYOUT, NOW + 500, ORDERS)
    assert keep(store, LAYOUT, later(1000)).key == first.key


def test_an_answer_without_topics_never_replaces_a_good_one(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    write(store, LAYOUT, NOW - 500, ORDERS)
    with caplog.at_level(logging.WARNING):
        kept = keep(store, LAYOUT, replace(WHOLE, topics=()))
    assert not kept.key and "holds 1" in kept.refused and "not kept" in caplog.text and len(keys(store)) == 1


def test_a_cluster_without_topics_has_a_snapshot() -> None:
    assert keep(MemoryStore(), LAYOUT, replace(WHOLE, topics=())).written


def test_a_restore_reads_topics_of_whole_snapshots_and_of_old_ones() -> None:
    store = MemoryStore()
    old = {"topic": "old", "topic_id": "A" * 22, "partitions": 2, "replication": 1, "config": {"a": "1"}}
    store.put_if_absent(LAYOUT.cluster(NOW - 1), json.dumps({"at": NOW - 1, "topics": [old]}).encode())
    keep(store, LAYOUT, WHOLE)
    lives = [Incarnation("orders", ORDERS.topic_id), Incarnation("old", "A" * 22)]
    found = latest_topics(store, LAYOUT, lives)
    assert found[lives[0]] == ORDERS and found[lives[1]] == TopicSnapshot("old", "A" * 22, 2, 1, {"a": "1"})


def test_two_snapshots_of_one_millisecond_are_both_kept() -> None:
    store = MemoryStore()
    keep(store, LAYOUT, WHOLE)
    other = keep(store, LAYOUT, replace(WHOLE, acls=()))
    assert other.key == LAYOUT.cluster(NOW + 1) and json.loads(read(store, other.key))["at"] == NOW + 1


def test_one_that_cannot_be_read_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    first = keep(store, LAYOUT, WHOLE)
    store.put_if_absent(LAYOUT.cluster(NOW + 5), b"{")
    with caplog.at_level(logging.WARNING):
        assert keep(store, LAYOUT, later(1000)).key == first.key
    assert LAYOUT.cluster(NOW + 5) in caplog.text
