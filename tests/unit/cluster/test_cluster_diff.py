"""A snapshot beside a cluster: every kind of difference is found, and what nobody could read is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from millpond.cluster.diff import Unread, differences
from millpond.cluster.snapshot import TopicSnapshot
from millpond.cluster.whole import WholeSnapshot
from tests.unit.cluster.cluster_values import acl, topic, unread, whole

NO_RIGHTS_CHECKED = unread("acls", code="SECURITY_DISABLED")


def broker(number: int, **dynamic: Any) -> dict[str, Any]:
    return {"id": number, "rack": None, "dynamic": dynamic, "static": {}}


def test_a_cluster_does_not_differ_from_its_own_snapshot() -> None:
    same = whole(topic("orders", retention_ms="5"), topic("events"), acls=(acl(),), brokers=(broker(1, a="1", s=None),))
    found = differences(same, replace(same, at=2))
    assert (found.count, found.unread, found.not_selected) == (0, (), ())


def test_missing_extra_and_changed_topics_are_told_apart() -> None:
    before = whole(topic("gone"), topic("changed", 3, 2, a="1", b="2"), topic("same"))
    now = whole(topic("new"), topic("changed", 4, 1, b="3", c="4"), topic("same"))
    document = differences(before, now).document()
    assert [one["topic"] for one in document["topics"]["missing"]] == ["gone"]
    assert [one["topic"] for one in document["topics"]["extra"]] == ["new"]
    assert document["topics"]["changed"] == [
        {
            "topic": "changed",
            "partitions": {"archived": 3, "live": 4},
            "replication": {"archived": 2, "live": 1},
            "settings": {"a": {"archived": "1"}, "b": {"archived": "2", "live": "3"}, "c": {"live": "4"}},
        }
    ]
    assert document["differences"] == 3


def test_access_control_is_compared_entry_by_entry() -> None:
    found = differences(whole(acls=(acl("a"), acl("b"))), whole(acls=(acl("b", permission="DENY"), acl("b"), acl("c"))))
    assert found.acls_missing == (acl("a"),)
    assert set(found.acls_extra) == {acl("b", permission="DENY"), acl("c")} and found.count == 3


@pytest.mark.parametrize("side", ["archived", "live"])
def test_a_cluster_that_checks_no_rights_has_none(side: str) -> None:
    one, other = whole(acls=(acl(),)), whole(acls=None, failed=(NO_RIGHTS_CHECKED,))
    found = differences(one, other) if side == "live" else differences(other, one)
    assert (found.acls_missing if side == "live" else found.acls_extra) == (acl(),) and found.unread == ()
    assert differences(other, other).count == 0


@pytest.mark.parametrize("side", ["archived", "live"])
def test_what_a_side_could_not_read_is_named_and_not_compared(side: str) -> None:
    parts = (unread("acls"), unread("topic", "closed"), unread("broker_config", "1"), unread("scram_users"))
    blind = whole(acls=None, failed=parts, brokers=({"id": 1, "rack": None},), broker_defaults=None)
    seeing = whole(topic("closed"), acls=(acl(),), brokers=(broker(1, a="1"),), broker_defaults={"b": "1"})
    found = differences(blind, seeing) if side == "archived" else differences(seeing, blind)
    assert found.count == 0
    assert found.unread == (
        Unread(side, "acls", "X"),
        Unread(side, "topic", "X", "closed"),
        Unread(side, "broker_config", "X", "1"),
    )


def test_settings_of_brokers_are_compared_and_idle_brokers_are_not_missed() -> None:
    before = whole(brokers=(broker(1, a="1"), broker(2), broker(3, s=None)), broker_defaults={"d": "1"})
    now = whole(brokers=(broker(1, a="2"), broker(4), broker(3, s=None)), broker_defaults={"d": "1", "e": "1"})
    found = differences(before, now)
    assert found.brokers == {"1": {"a": {"archived": "1", "live": "2"}}, "all": {"e": {"live": "1"}}}
    assert found.count == 2


def test_a_secret_is_not_the_same_as_a_setting_that_is_not_there() -> None:
    found = differences(whole(brokers=(broker(1, s=None),)), whole(brokers=(broker(1),)))
    assert found.brokers == {"1": {"s": {"archived": None}}}


def marked(snapshot: WholeSnapshot, **selected: bool) -> WholeSnapshot:
    topics: list[TopicSnapshot] = [replace(one, selected=selected.get(one.topic)) for one in snapshot.topics]
    return replace(snapshot, topics=tuple(topics))


def test_topics_that_the_backup_does_not_cover_are_named_and_are_no_difference() -> None:
    same = whole(topic("a"), topic("b"))
    archived = marked(same, a=True, b=False)
    assert differences(archived, same).not_selected == ("b",)
    assert differences(archived, marked(same, a=False, b=True)).not_selected == ("a",)
    assert differences(archived, same).count == 0
    assert differences(archived, whole(topic("a"))).not_selected == (), "it is gone"


def test_with_a_prefix_only_topics_of_that_name_count() -> None:
    before = whole(topic("orders", a="1"), topic("events"), acls=(acl(), acl("*"), acl("x", "CLUSTER")))
    now = whole(topic("r.orders"), topic("orders"), topic("r.other"), acls=(acl("z"),))
    found = differences(before, now, prefix="r.")
    assert [one.topic for one in found.missing] == ["r.events"] and [one.topic for one in found.extra] == ["r.other"]
    assert [one.topic for one in found.changed] == ["r.orders"]
    assert found.acls_missing == (acl("r.orders"),) and found.acls_extra == ()


def test_topics_of_own_runs_do_not_count() -> None:
    assert differences(whole(topic("__millpond-a")), whole(topic("__millpond-b"))).count == 0


def test_a_topic_in_an_unfinished_restore_is_marked_by_its_id() -> None:
    before, now = whole(topic("orders", a="1")), whole(topic("orders"))
    live_id = now.topics[0].topic_id
    cases = {("orders", live_id): "run-1", ("orders", "another"): "", ("orders", ""): "run-1", ("events", ""): ""}
    for held, told in cases.items():
        (changed,) = differences(before, now, busy={held: "run-1"}).changed
        assert changed.restoring == told, held
