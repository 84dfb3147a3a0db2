"""What facts of topics mean for a backup: each probe passes, and each warns or fails."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.findings import State, failed, named
from millpond.preflight import topics as judge
from millpond.preflight.topics import DAY_MS, HOUR_MS, OpenTransaction, TopicFacts

STOP = {"longest_stop_ms": 24 * HOUR_MS}


def a_topic(name: str = "orders", topic_id: str = "Qm3vXk1ZTb6R0nKXv0cV7w", **settings: Any) -> TopicFacts:
    """Settings with `_` for the dot; by default a week of retention."""
    told = {"retention.ms": str(7 * DAY_MS), "cleanup.policy": "delete", "retention.bytes": "-1"}
    told |= {"delete.retention.ms": str(DAY_MS)}
    told |= {key.replace("_", "."): str(value) for key, value in settings.items()}
    return TopicFacts(name, topic_id, 1, True, True, told)


def test_topics_that_match_are_counted_and_those_left_are_named() -> None:
    found = judge.matched({"a.*": 2}, 2, ["b", "c"])
    assert (found.state, found.text) == (State.OK, "2 topics match; not in the backup: b, c")


def test_an_expression_without_topics_is_a_warning() -> None:
    found = judge.matched({"a.*": 2, "x": 0}, 2, [])
    assert (found.state, found.text) == (State.WARNING, "2 topics match, but none matches x")


def test_no_topic_at_all_is_a_failure() -> None:
    found = judge.matched({"x": 0, "y": 0}, 0, ["a"])
    assert found.state is State.FAILED and "x, y" in found.text and found.hint


def test_missing_rights_are_named() -> None:
    assert judge.rights([a_topic()]).state is State.OK
    unreadable = judge.rights([a_topic(), TopicFacts("payments", "i", 1, False, False)])
    assert unreadable.state is State.FAILED and "payments" in unreadable.text and "orders" not in unreadable.text
    hidden = judge.rights([TopicFacts("payments", "i", 1, True, False)])
    assert hidden.state is State.WARNING and "DescribeConfigs" in hidden.text


def test_rights_that_brokers_do_not_tell_are_left_to_the_reading() -> None:
    assert judge.rights([TopicFacts("orders", "i", 1)]).state is State.OK


def test_a_topic_without_an_id_is_a_failure() -> None:
    assert judge.topic_ids([a_topic()]).state is State.OK
    found = judge.topic_ids([a_topic(), a_topic("old", topic_id="")])
    assert (found.state, found.text) == (State.FAILED, "the brokers give no id for old")


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({}, State.OK),
        ({"retention_ms": DAY_MS}, State.OK),
        ({"retention_ms": DAY_MS - 1}, State.WARNING),
        ({"retention_ms": -1}, State.OK),
        ({"retention_ms": 1, "cleanup_policy": "compact"}, State.OK),
        ({"retention_ms": 1, "cleanup_policy": "compact,delete"}, State.WARNING),
        ({"retention_bytes": 1 << 30}, State.WARNING),
        ({"retention_bytes": 0}, State.WARNING),
        ({"retention_bytes": 1 << 30, "cleanup_policy": "compact"}, State.OK),
    ],
    ids=str,
)
def test_kafka_must_keep_records_for_the_longest_stop(settings: dict[str, Any], state: State) -> None:
    found = judge.retention([a_topic(**settings)], **STOP)
    assert found.state is state
    assert ("orders" in found.text) == (state is State.WARNING)


@pytest.mark.parametrize(
    ("settings", "state", "told"),
    [
        ({}, State.OK, "within 30 days"),
        ({"retention_ms": 30 * DAY_MS}, State.OK, "within 30 days"),
        ({"retention_ms": 30 * DAY_MS + 1}, State.WARNING, "orders (30 days)"),
        ({"retention_ms": -1}, State.WARNING, "orders (for ever)"),
        ({"cleanup_policy": "compact"}, State.WARNING, "orders (for ever: compacted)"),
        ({"cleanup_policy": "compact,delete"}, State.OK, "within 30 days"),
    ],
    ids=str,
)
def test_kafka_must_let_go_of_records_within_the_erasure_term(
    settings: dict[str, Any], state: State, told: str
) -> None:
    found = judge.erasure_term([a_topic(**settings)], days=30)
    assert found.state is state and told in found.text


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({"delete_retention_ms": 1}, State.OK),
        ({"cleanup_policy": "compact"}, State.OK),
        ({"cleanup_policy": "compact", "delete_retention_ms": DAY_MS - 1}, State.WARNING),
        ({"cleanup_policy": "delete, compact", "delete_retention_ms": 0}, State.WARNING),
    ],
    ids=str,
)
def test_deletions_must_outlast_the_longest_stop(settings: dict[str, Any], state: State) -> None:
    assert judge.tombstones([a_topic(**settings)], **STOP).state is state


@pytest.mark.parametrize("probe", [judge.retention, judge.tombstones])
def test_topics_whose_settings_are_hidden_are_not_judged(probe: Any) -> None:
    assert probe([TopicFacts("secret", "i", 1, True, False)], **STOP).state is State.OK


@pytest.mark.parametrize(
    ("age_ms", "state"),
    [(0, State.OK), (15 * 60_000, State.OK), (15 * 60_000 + 1, State.WARNING), (None, State.WARNING)],
)
def test_a_transaction_that_is_open_for_too_long_is_a_warning(age_ms: int | None, state: State) -> None:
    found = judge.transactions([OpenTransaction("orders", 3, 12, age_ms)])
    assert found.state is state
    assert ("orders-3 (12 records" in found.text) == (state is State.WARNING)


def test_a_client_that_may_make_topics_is_a_warning() -> None:
    assert judge.creation({}).state is State.OK
    assert judge.creation({"allow.auto.create.topics": "True"}).state is State.WARNING


def test_of_many_names_some_are_said() -> None:
    assert named(list("abcde")) == "a, b, c, d, e"
    assert named(list("abcdefg")) == "a, b, c, d, e and 2 others"


def test_a_finding_has_stable_names() -> None:
    document = failed("topics", "none", "look").document()
    assert document == {"probe": "topics", "state": "FAILED", "text": "none", "hint": "look"}
