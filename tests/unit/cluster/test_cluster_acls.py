"""Archived access control under the names of the target: nothing grants more than it did, nothing is lost unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from millpond.archive.keys import Layout
from millpond.cluster.acls import Names, of_run, wanted_acls
from millpond.cluster.keep import keep
from millpond.kafka.acls import Acl
from millpond.storage.memory import MemoryStore
from tests.unit.cluster.cluster_values import acl, topic, unread, whole

LAYOUT = Layout("kafka")
SAME = {"orders": "orders", "events": "events"}
RENAMED = {"orders": "r.orders", "events": "r.events"}
CLUSTER, TRANSACTION = acl("kafka-cluster", "CLUSTER"), acl("tx", "TRANSACTIONAL_ID")


def test_a_whole_cluster_keeps_every_entry() -> None:
    given = [
        acl(),
        acl("*"),
        acl("o", pattern="PREFIXED"),
        acl("no-such-topic"),
        CLUSTER,
        TRANSACTION,
        acl("g", "GROUP"),
    ]
    found = wanted_acls(given, Names())
    assert set(found.acls) == set(given) and found.left_out == ()


def test_denials_come_first() -> None:
    deny = acl("z", permission="DENY")
    assert wanted_acls([acl("a"), deny, acl("b")], Names()).acls == (deny, acl("a"), acl("b"))


def test_entries_of_a_topic_follow_its_new_name() -> None:
    assert wanted_acls([acl(), acl("events", operation="WRITE")], Names(RENAMED)).acls == (
        acl("r.events", operation="WRITE"),
        acl("r.orders"),
    )


@pytest.mark.parametrize(
    ("given", "names", "reason"),
    [
        (acl("other"), SAME, "not_restored"),
        (acl("other", pattern="PREFIXED"), SAME, "not_restored"),
        (acl("other", permission="DENY", pattern="PREFIXED"), RENAMED, "not_restored"),
        (acl("*"), RENAMED, "pattern_of_renamed_topics"),
        (acl("ord", pattern="PREFIXED"), RENAMED, "pattern_of_renamed_topics"),
        (CLUSTER, SAME, "not_of_a_topic"),
        (TRANSACTION, RENAMED, "not_of_a_topic"),
        (acl("t", "UNKNOWN"), None, "unknown_to_the_client"),
        (acl(operation="UNKNOWN"), None, "unknown_to_the_client"),
        (acl(operation="TWO_PHASE_COMMIT"), None, "unknown_to_the_client"),
        (acl(pattern="MATCH"), None, "unknown_to_the_client"),
        (acl(permission="ANY"), None, "unknown_to_the_client"),
    ],
)
def test_what_is_left_out_is_named_with_its_reason(given: Acl, names: Mapping[str, str] | None, reason: str) -> None:
    found = wanted_acls([given], Names(names))
    assert found.acls == () and found.left_out == ((given, reason),)


@pytest.mark.parametrize("pattern", [acl("*"), acl("ord", pattern="PREFIXED"), acl("*", permission="DENY")])
def test_patterns_stay_where_topics_keep_their_names(pattern: Acl) -> None:
    assert wanted_acls([pattern], Names(SAME)).acls == (pattern,)


def test_a_denial_for_many_names_becomes_one_for_each_renamed_topic_it_covers() -> None:
    everything, some = (
        acl("*", permission="DENY"),
        acl("ord", pattern="PREFIXED", permission="DENY", principal="User:b"),
    )
    assert wanted_acls([everything], Names(RENAMED)).acls == (
        acl("r.events", permission="DENY"),
        acl("r.orders", permission="DENY"),
    )
    found = wanted_acls([some], Names(RENAMED))
    assert found.acls == (acl("r.orders", permission="DENY", principal="User:b"),) and found.left_out == ()


def test_groups_and_patterns_of_groups_get_the_prefix() -> None:
    given = [acl("g", "GROUP"), acl("team-", "GROUP", pattern="PREFIXED"), acl("*", "GROUP")]
    assert set(wanted_acls(given, Names(SAME, "copy-")).acls) == {
        acl("copy-g", "GROUP"),
        acl("copy-team-", "GROUP", pattern="PREFIXED"),
        acl("copy-", "GROUP", pattern="PREFIXED"),
    }
    assert set(wanted_acls(given, Names(RENAMED)).acls) == set(given)


def plan(at: int, names: Mapping[str, str] = SAME, **request: Any) -> dict[str, Any]:
    topics = [{"topic": name, "target": target} for name, target in names.items()]
    return {"planned_at": at, "topics": topics, "request": {"all": True, "groups": None} | request}


def test_a_run_takes_the_newest_entries_of_the_time_of_its_plan() -> None:
    store = MemoryStore()
    for at, name in ((1000, "first"), (2000, "second")):
        keep(store, LAYOUT, whole(topic("orders"), acls=(acl(name),), at=at))
    keep(store, LAYOUT, whole(topic("orders"), acls=None, failed=(unread("acls"),), at=3000))
    assert of_run(store, LAYOUT, plan(1500)).acls == (acl("first"),)
    found = of_run(store, LAYOUT, plan(4000))
    assert found.acls == (acl("second"),) and found.snapshot == LAYOUT.cluster(2000)
    assert of_run(store, LAYOUT, plan(999)).snapshot == ""


def test_a_run_of_all_topics_under_their_names_adds_everything_and_another_only_what_it_restores() -> None:
    store = MemoryStore()
    keep(store, LAYOUT, whole(topic("orders"), acls=(acl(), acl("x"), CLUSTER, acl("g", "GROUP")), at=1))
    everything = {acl(), acl("x"), CLUSTER, acl("g", "GROUP")}
    assert set(of_run(store, LAYOUT, plan(9)).acls) == everything
    assert set(of_run(store, LAYOUT, plan(9, all=False)).acls) == {acl(), acl("g", "GROUP")}
    assert set(of_run(store, LAYOUT, plan(9, exclude_topics=["x"])).acls) == {acl(), acl("g", "GROUP")}
    renamed = of_run(store, LAYOUT, plan(9, RENAMED, groups={"prefix": "p-"}))
    assert set(renamed.acls) == {acl("r.orders"), acl("p-g", "GROUP")} and len(renamed.left_out) == 2
