"""What facts of target topics mean: each probe on its own, without a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from millpond.cluster.snapshot import TopicSnapshot
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.findings import State, failed, passed, warned
from millpond.kafka.topic_changes import Denial
from millpond.restore.request import parse_request
from millpond.restore.targets import judge
from millpond.restore.targets.ages import Ages
from millpond.restore.targets.judge import BrokerFacts
from millpond.restore.targets.preflight import refuse_failed
from millpond.restore.targets.safety import (
    ESSENTIAL,
    SAFE_CONFIG,
    Accepted,
    accepted,
    held,
    left_safe,
    made_with,
    portable,
)
from millpond.restore.targets.topics import TargetTopic
from tests.unit.builders import TOPIC_ID

HOUR_MS = 3_600_000
ASKED = parse_request({"all": True})


def a_topic(name: str = "t", *, replication: int = 1, **config: str) -> TargetTopic:
    settings = {key.replace("_", "."): text for key, text in config.items()}
    return TargetTopic(name, name, 1, TopicSnapshot(name, TOPIC_ID, 1, replication, settings))


# -- settings


class Broker:
    """Takes any settings but these."""

    def __init__(self, **refused: str) -> None:
        self.refused = {name.replace("_", "."): code for name, code in refused.items()}

    def __call__(self, config: Mapping[str, str]) -> Denial | None:
        bad = [name for name in config if name in self.refused]
        return Denial(self.refused[bad[0]], "no") if bad else None


def test_what_a_broker_takes_is_taken_at_once() -> None:
    assert accepted(Broker(), SAFE_CONFIG) == Accepted(SAFE_CONFIG)


def test_a_setting_that_is_refused_is_left_out_and_the_others_stay() -> None:
    found = accepted(Broker(segment_ms="POLICY_VIOLATION", max_message_bytes="INVALID_CONFIG"), SAFE_CONFIG)
    assert found.refused == {"segment.ms": "POLICY_VIOLATION", "max.message.bytes": "INVALID_CONFIG"}
    assert found.config == {name: text for name, text in SAFE_CONFIG.items() if name not in found.refused}
    assert found.denial is None


def test_nothing_is_taken_where_a_restore_could_not_be_safe() -> None:
    found = accepted(Broker(retention_ms="POLICY_VIOLATION"), SAFE_CONFIG)
    assert (found.config, found.denial) == ({}, Denial("POLICY_VIOLATION", "no"))


def test_a_missing_right_is_not_taken_for_a_wrong_setting() -> None:
    found = accepted(Broker(segment_ms="TOPIC_AUTHORIZATION_FAILED"), SAFE_CONFIG)
    assert found.denial is not None and found.denial.code == "TOPIC_AUTHORIZATION_FAILED"


def test_what_names_brokers_of_the_source_or_belongs_to_a_vendor_does_not_travel() -> None:
    archived = {
        "leader.replication.throttled.replicas": "0:1",
        "follower.replication.throttled.replicas": "*",
        "confluent.placement.constraints": "{}",
        "retention.ms": "5",
    }
    assert portable(archived) == {"retention.ms": "5"}


def test_a_topic_is_made_safe_whatever_it_ends_with() -> None:
    final = {"cleanup.policy": "compact", "retention.ms": "5", "compression.type": "lz4", "min.insync.replicas": "2"}
    assert made_with(final) == SAFE_CONFIG | {"compression.type": "lz4"}


@pytest.mark.parametrize(
    ("final", "asked", "expected"),
    [
        ({}, False, ["retention.bytes", "retention.ms"]),
        ({"retention.ms": "5", "retention.bytes": "-1"}, False, ["retention.ms"]),
        ({"retention.ms": "-1", "retention.bytes": "-1"}, False, []),
        ({"retention.ms": "5"}, True, []),
    ],
)
def test_retention_that_would_delete_is_held_unless_it_is_asked_for(
    final: dict[str, str], asked: bool, expected: list[str]
) -> None:
    assert held(final, apply_retention=asked) == expected


def test_a_topic_that_is_merely_kept_for_ever_was_not_left_by_a_restore() -> None:
    assert left_safe(ESSENTIAL) and left_safe(SAFE_CONFIG)
    assert not left_safe({"retention.ms": "-1", "cleanup.policy": "delete"})


# -- brokers


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 168 * HOUR_MS),
        ({"log.retention.hours": "2"}, 2 * HOUR_MS),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, 180_000),
        ({"log.retention.minutes": "3", "log.retention.ms": "4"}, 4),
        ({"log.retention.ms": "-1"}, None),
        ({"log.retention.hours": "-1"}, None),
    ],
)
def test_the_finer_of_the_brokers_retention_settings_counts(settings: dict[str, str], expected: int | None) -> None:
    assert BrokerFacts(1, settings).retention_ms == expected


def test_the_archived_replication_is_clipped_to_the_brokers_and_a_requested_one_is_not() -> None:
    topic, asked = a_topic(replication=3), parse_request({"all": True, "replication": 3})
    assert (topic.replication(ASKED, 2), topic.replication(asked, 2)) == (2, 3)
    assert judge.replication([topic], ASKED, BrokerFacts(2)).state is State.WARNING
    assert judge.replication([topic], ASKED, BrokerFacts(3)).state is State.OK
    assert judge.replication([topic], asked, BrokerFacts(2)).state is State.FAILED


def test_fewer_replicas_than_brokers_want_in_sync_fail_before_the_first_record() -> None:
    found = judge.replication([a_topic(replication=1)], ASKED, BrokerFacts(3, {"min.insync.replicas": "2"}))
    assert (found.state, "--replication" in found.hint) == (State.FAILED, True)


def test_an_archived_limit_above_what_a_request_may_have_is_told() -> None:
    large = a_topic(max_message_bytes="200000000")
    assert judge.message_size([large], {}, BrokerFacts(1)).state is State.WARNING
    raised = BrokerFacts(1, {"socket.request.max.bytes": "300000000"})
    assert judge.message_size([large], {}, raised).state is State.OK


# -- ages


def test_records_without_a_time_are_not_counted_as_old() -> None:
    ages = Ages(1000)
    for newest in (-1, 0, 999, 1000):
        ages.add(newest)
    assert (ages.objects, ages.older) == (4, 2)


@pytest.mark.parametrize(
    ("older", "applied", "known", "state", "said"),
    [
        (0, False, True, State.OK, "retention stays off on 1 topics"),
        (0, True, True, State.OK, "no record is too old"),
        (2, False, True, State.WARNING, "retention stays off; by the final settings these would go at once: t (2 of 5"),
        (2, True, True, State.WARNING, "Kafka deletes these soon after the run"),
        (0, True, False, State.OK, "the brokers' default could not be read"),
    ],
)
def test_retention_is_judged_by_what_would_go(older: int, applied: bool, known: bool, state: State, said: str) -> None:
    asked = parse_request({"all": True, "apply_retention": applied})
    found = judge.retention({"t": {}}, {"t": Ages(1, 5, older)}, asked, known=known)
    assert found.state is state and said in found.text


# -- together


def test_all_reasons_and_hints_are_told_once_each() -> None:
    findings = [
        passed("brokers", "fine"),
        failed("rights", "no Write", "grant it"),
        failed("changes", "no Create", "grant it"),
        warned("retention", "old"),
    ]
    with pytest.raises(WrongUsage) as caught:
        refuse_failed(findings)
    assert str(caught.value) == "no Write; no Create\nhint: grant it"


@pytest.mark.parametrize("probe", [judge.TARGETS, judge.PARTITIONS, judge.EXISTING])
def test_a_restore_that_could_mix_data_is_refused_for_safety(probe: str) -> None:
    with pytest.raises(RefusedForSafety):
        refuse_failed([failed("rights", "no"), failed(probe, "no")])


def test_nothing_is_refused_for_a_warning() -> None:
    findings: list[Any] = [passed("a", "fine"), warned("b", "hm")]
    refuse_failed(findings)
