"""What is done about differences: only what was asked for, nothing that deletes, nothing in an unfinished restore."""

from __future__ import annotations

from dataclasses import replace

import pytest

from millpond.cluster.apply import Asked, Change, Left, Step, steps_of
from millpond.cluster.diff import differences
from millpond.cluster.snapshot import TopicSnapshot
from tests.unit.cluster.cluster_values import topic, whole

ALL = Asked(configs=True, retention=True, add_partitions=True)


def of(archived: TopicSnapshot, live: TopicSnapshot, asked: Asked) -> tuple[list[Step], list[Left]]:
    steps = steps_of(differences(whole(archived), whole(live)), asked, brokers=3)
    return list(steps.steps), [why for _, why in steps.left]


def test_a_missing_topic_is_made_as_it_was() -> None:
    found = differences(whole(topic("orders", 6, 3, retention_ms="5")), whole(topic("extra")))
    steps = steps_of(found, Asked(), brokers=3)
    assert steps.steps == (Step(Change.MAKE, "orders", 6, 3, {"retention.ms": "5"}),)
    assert (steps.left, steps.warnings) == ((), ()), "an extra topic is nobody's concern"


def test_a_topic_gets_no_more_replicas_than_there_are_brokers_and_that_is_told() -> None:
    found = differences(whole(topic("orders", 1, 3, min_insync_replicas="2")), whole())
    steps = steps_of(found, ALL, brokers=1)
    assert steps.steps[0].replication == 1
    assert steps.warnings == (
        "orders gets 1 replicas, not 3: there are no more brokers",
        "orders has min.insync.replicas 2: nobody can write to its 1 with acks=all",
    )


def test_settings_are_set_only_where_asked_for_and_never_removed() -> None:
    archived, live = topic("t", a="1", b="2", same="x"), topic("t", b="3", c="4", same="x")
    assert of(archived, live, Asked()) == ([], [Left.NOT_ASKED_SETTINGS, Left.MORE_SETTINGS])
    assert of(archived, live, Asked(configs=True)) == (
        [Step(Change.SETTINGS, "t", settings={"a": "1", "b": "2"})],
        [Left.MORE_SETTINGS],
    )


@pytest.mark.parametrize("name", ["retention.ms", "retention.bytes", "cleanup.policy"])
def test_what_may_have_records_deleted_needs_a_word_of_its_own(name: str) -> None:
    archived, live = replace(topic("t"), config={"a": "1", name: "1"}), topic("t")
    kept = of(archived, live, Asked(configs=True))
    assert kept == ([Step(Change.SETTINGS, "t", settings={"a": "1"})], [Left.NOT_ASKED_RETENTION])
    assert of(archived, live, ALL) == ([Step(Change.SETTINGS, "t", settings={"a": "1", name: "1"})], [])


def test_partitions_are_added_only_where_asked_for_and_never_taken_away() -> None:
    assert of(topic("t", 5), topic("t", 3), Asked(configs=True)) == ([], [Left.NOT_ASKED_PARTITIONS])
    assert of(topic("t", 5), topic("t", 3), ALL) == ([Step(Change.PARTITIONS, "t", 5)], [])
    assert of(topic("t", 3), topic("t", 5), ALL) == ([], [Left.MORE_PARTITIONS])


def test_replicas_are_not_changed() -> None:
    assert of(topic("t", 3, 3), topic("t", 3, 1), ALL) == ([], [Left.REPLICATION])


def test_a_topic_in_an_unfinished_restore_is_left_alone() -> None:
    archived, live = whole(topic("t", 5, a="1"), topic("new")), whole(topic("t", 3))
    busy = {("t", live.topics[0].topic_id): "run", ("new", ""): "run"}
    steps = steps_of(differences(archived, live, busy=busy), ALL, brokers=1)
    assert steps.steps == () and steps.left == (("new", Left.RESTORING), ("t", Left.RESTORING))
