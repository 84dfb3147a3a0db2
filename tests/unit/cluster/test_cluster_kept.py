"""Whole snapshots read back, and topics that an unfinished restore holds."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.cluster.busy import unfinished_topics
from millpond.cluster.keep import keep
from millpond.cluster.kept import find_whole, whole_of
from millpond.errors import DamagedArchive, WrongUsage
from millpond.storage.memory import MemoryStore
from tests.unit.cluster.cluster_values import acl, topic, unread, whole
from tests.unit.cluster.topic_snapshots import write

LAYOUT = Layout("kafka")
WHOLE = whole(topic("orders", a="1"), acls=(acl(),), failed=(unread("topic", "closed"),), at=1000)


def test_a_snapshot_comes_back_as_it_was() -> None:
    assert whole_of(json.loads(json.dumps(WHOLE.document()))) == WHOLE
    bare = replace(WHOLE, acls=None, scram_users=None, broker_defaults=None, brokers=({"id": 1, "rack": "r"},))
    assert whole_of(json.loads(json.dumps(bare.document()))) == bare


def test_the_newest_of_a_time_counts_and_those_of_topics_alone_do_not() -> None:
    store = MemoryStore()
    for at in (1000, 2000):
        keep(store, LAYOUT, whole(topic(f"t{at}"), at=at))
    write(store, LAYOUT, 3000, topic("alone"))
    assert find_whole(store, LAYOUT).snapshot.at == 2000
    assert find_whole(store, LAYOUT, until_ms=1999).key == LAYOUT.cluster(1000)
    with pytest.raises(WrongUsage, match="of that time"):
        find_whole(store, LAYOUT, until_ms=999)


def test_access_control_that_could_not_be_read_is_that_of_an_older_snapshot() -> None:
    store = MemoryStore()
    keep(store, LAYOUT, WHOLE)
    keep(store, LAYOUT, whole(topic("new"), acls=None, failed=(unread("acls"),), at=2000))
    found = find_whole(store, LAYOUT)
    assert (found.key, found.acls_key) == (LAYOUT.cluster(2000), LAYOUT.cluster(1000))
    assert found.snapshot.acls == WHOLE.acls and found.snapshot.failed == ()
    assert [one.topic for one in found.snapshot.topics] == ["new"]


def test_a_cluster_that_checks_no_rights_hides_older_access_control() -> None:
    store = MemoryStore()
    keep(store, LAYOUT, WHOLE)
    off = unread("acls", code="SECURITY_DISABLED")
    keep(store, LAYOUT, whole(topic("new"), acls=None, failed=(off,), at=2000))
    found = find_whole(store, LAYOUT)
    assert found.snapshot.acls is None and found.acls_key == found.key


@pytest.mark.parametrize(
    "damage",
    [
        {"topics": 3},
        {"topics": [{"topic": "x"}]},
        {"topics": [{"topic": "x", "topic_id": "i", "partitions": "many", "replication": 1, "config": {}}]},
        {"brokers": [{}]},
        {"acls": [{"resource_type": "TOPIC"}]},
        {"acls": [acl().document() | {"host": None}]},
        {"at": "soon"},
    ],
)
def test_one_that_cannot_be_read_is_passed_over_and_named(
    damage: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    keep(store, LAYOUT, WHOLE)
    store.put_if_absent(LAYOUT.cluster(2000), json.dumps(WHOLE.document() | {"at": 2000} | damage).encode())
    with caplog.at_level(logging.WARNING):
        assert find_whole(store, LAYOUT).snapshot.at == 1000
    assert LAYOUT.cluster(2000) in caplog.text


def prepared(store: MemoryStore, run_id: str, name: str, cluster_id: str = "c", folder: str = "prepared") -> Run:
    run = Run(store, LAYOUT, "restore", run_id)
    ids = {"topic_id": f"id-{name}"} if folder == "prepared" else {}
    run.write_once({"topic": name, "cluster_id": cluster_id} | ids, folder, f"{name}.json")
    return run


def test_topics_of_runs_without_final_settings_are_held() -> None:
    store = MemoryStore()
    prepared(store, "open", "orders")
    prepared(store, "elsewhere", "orders", "another")
    prepared(store, "begun", "new", folder="making")
    prepared(store, "open", "orders", folder="making")
    prepared(store, "over", "events").write_once({}, "settings.json")
    assert unfinished_topics(store, LAYOUT, "c") == {("orders", "id-orders"): "open", ("new", ""): "begun"}


def test_what_a_run_prepared_and_nobody_can_read_stops() -> None:
    store = MemoryStore()
    store.put_if_absent(LAYOUT.run("restore", "r", "prepared", "x.json"), b"{")
    with pytest.raises(DamagedArchive, match=r"prepared/x\.json"):
        unfinished_topics(store, LAYOUT, "c")
