"""A restore looks at its target before it makes or writes anything, and makes topics that are safe to write to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from local.processes import wait_until
from millpond.clock import now_ms
from millpond.errors import MillpondError, RefusedForSafety, WrongUsage
from millpond.findings import Finding, State
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import INTERNAL
from millpond.kafka.settings import ClusterAddress
from millpond.restore.planning.plan import make_plan
from millpond.restore.request import parse_request
from millpond.restore.targets import safety
from millpond.restore.targets.preflight import preflight_plan
from millpond.restore.targets.safety import SAFE_CONFIG
from millpond.restore.writing import target
from tests import oracle
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
PROBES = (
    *(
        "brokers",
        "cluster",
        "target topics",
        "rights",
        "exclusion",
        "partition counts",
        "existing data",
        "replication",
        "changes",
    ),
    *("message size", "timestamps", "final settings", "compaction", "retention", "space"),
)
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


@pytest.fixture
def topic(restore: Restore, unique_name: Name) -> str:
    """An archived topic with new records, of which a snapshot tells nothing special."""
    name = unique_name("t")
    restore.add(name, make_rows(0, 5, stamp=now_ms()))
    restore.archived(name)
    return name


def look(restore: Restore, *topics: str, **request: Any) -> dict[str, Finding]:
    """The findings of a plan that is not written."""
    asked = parse_request({"topics": topics, **request})
    plan = make_plan(restore.store, LAYOUT, asked, run_id=restore.run_id, now_ms=1)
    found = preflight_plan(restore.store, LAYOUT, restore.cluster, plan.document, None, now_ms=now_ms())
    return {finding.probe: finding for finding in found}


def names(restore: Restore) -> set[str]:
    """Topics, but for Kafka's own: brokers make one when they are asked for a group."""
    return set(restore.cluster.topic_names()) - set(INTERNAL)


def test_all_is_well_and_nothing_is_made_or_written(restore: Restore, topic: str) -> None:
    topics = names(restore)
    restore.plan(topic)
    objects = restore.content()
    found = restore.preflight()
    assert {probe: one.text for probe, one in found.items() if one.state is not State.OK} == {}
    assert tuple(found) == PROBES
    assert found["cluster"].text == "another than c"
    assert found["target topics"].text == "1 are made, 0 are there"
    assert (names(restore), restore.content()) == (topics, objects)


def test_brokers_that_do_not_answer_are_a_finding_and_an_error_of_their_own(
    topic: str, restore: Restore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millpond.kafka.admin.TIMEOUT_S", 1)
    restore.plan(topic)
    restore.cluster = Cluster(ClusterAddress("127.0.0.1:1"))
    found = look(restore, topic)
    assert {probe: one.state for probe, one in found.items()} == {"brokers": State.FAILED}
    with pytest.raises(MillpondError) as caught:
        restore.preflight()
    assert caught.value.exit_code == 75


def test_everything_that_fails_is_named_at_once(restore: Restore, topic: str, unique_name: Name) -> None:
    other = unique_name("other")
    restore.add(other, make_rows(0, 5))
    oracle.make_topic(restore.bootstrap, topic, 2)
    oracle.make_topic(restore.bootstrap, other)
    oracle.produce(restore.bootstrap, other, [b"foreign"])
    restore.plan(topic, other, replication=9)
    with pytest.raises(RefusedForSafety) as caught:
        restore.preflight()
    said = str(caught.value)
    assert f"target topic {topic} has 2 partitions, the archived one has 1" in said
    assert f"target topic {other} holds records that this run did not write, in partitions [0]" in said
    assert "hint: restore to another name" in said


def test_more_replicas_than_brokers_are_refused_and_archived_ones_are_clipped(restore: Restore, topic: str) -> None:
    restore.archived(topic, replication=3, min_insync_replicas="2")
    asked = look(restore, topic, replication=2)
    assert asked["replication"].state is State.FAILED
    assert "2 replicas are asked for, 1 brokers answer" in asked["replication"].text
    restore.run_id = "clipped"
    restore.plan(topic)
    found = restore.preflight()["replication"]
    assert found.state is State.WARNING and f"replicas were more: {topic} (3)" in found.text
    assert "min.insync.replicas is left out" in found.text
    (prepared,) = restore.prepare()
    assert (prepared["replication"], restore.cluster.describe([topic])[topic].replication) == (1, 1)
    assert prepared["left_out"] == {"min.insync.replicas": "2 is more than the 1 replicas"}
    assert "min.insync.replicas" not in prepared["final"]


def test_a_topic_that_wants_more_in_sync_than_it_has_is_refused(restore: Restore, topic: str) -> None:
    oracle.make_topic(restore.bootstrap, topic, min_insync_replicas="2")
    restore.plan(topic)
    with pytest.raises(WrongUsage, match=r"more replicas must be in sync than there are: t-.* \(2\)"):
        restore.preflight()


def test_archived_and_requested_replication_count_where_brokers_suffice(
    kafka3: KafkaCluster, unique_name: Name
) -> None:
    restore, topic = Restore(kafka3.bootstrap()), unique_name("t")
    restore.add(topic, make_rows(0, 5))
    restore.archived(topic, replication=2, min_insync_replicas="2")
    restore.plan(topic)
    assert restore.preflight()["replication"].state is State.OK
    (prepared,) = restore.prepare()
    assert (prepared["replication"], prepared["left_out"]) == (2, {})
    assert prepared["final"] == {"min.insync.replicas": "2"}
    restore.run_id = "three"
    restore.plan(topic, prefix="three.", replication=3)
    assert restore.prepare()[0]["replication"] == 3
    restore.run_id = "one"
    restore.plan(topic, prefix="one.", replication=1)
    with pytest.raises(WrongUsage, match="brokers want 2 replicas in sync"):
        restore.preflight()


def test_compacted_targets_and_old_records_are_warned_of(restore: Restore, unique_name: Name) -> None:
    names = compacted, old, kept = [unique_name(base) for base in ("compacted", "old", "kept")]
    for name, days in zip(names, (0, 9, 9), strict=True):
        restore.add(name, make_rows(0, 5, stamp=now_ms() - days * DAY_MS))
    restore.add(old, make_rows(5, 5, stamp=now_ms()))
    restore.archived(compacted, cleanup_policy="compact")
    restore.archived(kept, retention_ms=str(30 * DAY_MS))
    restore.plan(*names)
    found = restore.preflight()
    assert found["compaction"].state is State.WARNING and f"at the end: {compacted}." in found["compaction"].text
    assert found["retention"].state is State.WARNING
    assert f"by the final settings these would go at once: {old} (1 of 2 objects)" in found["retention"].text
    restore.run_id = "applied"
    restore.plan(*names, apply_retention=True)
    assert f"Kafka deletes these soon after the run, being older than the final retention: {old} (1 of 2 objects)" in (
        restore.preflight()["retention"].text
    )


def test_without_lines_a_topic_counts_as_too_old_only_if_all_of_it_is(restore: Restore, unique_name: Name) -> None:
    names = half, whole = unique_name("half"), unique_name("whole")
    for name in names:
        restore.add(name, make_rows(0, 5, stamp=now_ms() - 9 * DAY_MS))
    restore.add(half, make_rows(5, 5, stamp=now_ms()))
    found = look(restore, *names)["retention"]
    assert found.text.endswith(f"would go at once: {whole} (1 of 1 objects)")


def test_archived_settings_that_the_target_does_not_take_are_named_before(restore: Restore, topic: str) -> None:
    restore.archived(topic, retention_ms="5000", no_such_setting="1", segment_ms="-7")
    found = look(restore, topic)["final settings"]
    assert found.state is State.WARNING
    assert f"{topic} no.such.setting (INVALID_CONFIG)" in found.text
    assert f"{topic} segment.ms (INVALID_CONFIG)" in found.text and "retention.ms" not in found.text


def test_a_cluster_that_allows_less_gets_what_it_takes(
    restore: Restore, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker really refuses these values; some managed clusters refuse the usual ones."""
    less = {"max.message.bytes": "-5", "message.timestamp.after.max.ms": "-5"}
    monkeypatch.setattr(safety, "SAFE_CONFIG", SAFE_CONFIG | less)
    found = look(restore, topic)
    assert found["changes"].state is State.OK
    assert (found["message size"].state, found["timestamps"].state) == (State.WARNING, State.WARNING)
    assert f"cannot be lifted for {topic} (INVALID_CONFIG)" in found["message size"].text
    restore.plan(topic)
    (prepared,) = restore.prepare()
    assert prepared["safe"] == {name: text for name, text in SAFE_CONFIG.items() if name not in less}
    assert restore.cluster.topic_config(topic) == prepared["safe"]
    assert restore.work() == []


def test_a_setting_that_a_restore_cannot_do_without_fails(
    restore: Restore, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "SAFE_CONFIG", SAFE_CONFIG | {"retention.ms": "-5"})
    monkeypatch.setattr(safety, "accepted", safety.accepted)
    monkeypatch.setattr(safety.accepted, "__defaults__", (safety.ESSENTIAL | {"retention.ms": "-5"},))
    restore.plan(topic)
    with pytest.raises(WrongUsage, match=f"brokers would not make or change {topic}: .*INVALID_CONFIG"):
        restore.preflight()
    with pytest.raises(WrongUsage, match="INVALID_CONFIG"):
        restore.prepare()
    assert topic not in names(restore)


# -- what is made


def test_a_topic_is_made_as_archived_but_safe_and_its_records_are_compressed_as_they_were(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("made")
    restore.add(topic, make_rows(0, 30))
    restore.archived(topic, partitions=3, compression_type="gzip", retention_ms="1000", cleanup_policy="compact")
    restore.plan(topic)
    (prepared,) = restore.prepare()
    assert restore.cluster.describe([topic])[topic].partitions == 3
    assert restore.cluster.topic_config(topic) == {**SAFE_CONFIG, "compression.type": "gzip"} == prepared["safe"]
    assert prepared["final"] == {"cleanup.policy": "compact", "compression.type": "gzip", "retention.ms": "1000"}
    assert (prepared["prior"], prepared["made"], prepared["base"]) == ({}, True, {"0": 0, "1": 0, "2": 0})


def test_without_configs_a_topic_ends_with_the_brokers_defaults(restore: Restore, topic: str) -> None:
    restore.archived(topic, compression_type="gzip", retention_ms="1000")
    restore.plan(topic, configs=False)
    (prepared,) = restore.prepare()
    assert (prepared["safe"], prepared["final"]) == (SAFE_CONFIG, {})


@pytest.mark.parametrize("killed_in", ["create_topic", "wait_for"])
@pytest.mark.parametrize("run_id", ["r", "another"])
def test_a_topic_that_a_killed_try_left_behind_is_taken_as_made_by_it(
    restore: Restore, topic: str, monkeypatch: pytest.MonkeyPatch, killed_in: str, run_id: str
) -> None:
    """Otherwise its safe settings would pass for those that somebody gave it."""
    restore.archived(topic, retention_ms="7777")
    restore.plan(topic)
    real = getattr(Cluster, killed_in)

    def die(*arguments: Any, **more: Any) -> None:
        real(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, killed_in, die)
        with pytest.raises(KeyboardInterrupt):
            restore.prepare()
    wait_until(lambda: topic in names(restore), "the topic is there")
    assert restore.run.find("prepared", f"{topic}.json") is None
    restore.run_id = run_id
    restore.plan(topic)
    restore.preflight()
    (prepared,) = restore.prepare()
    assert (prepared["made"], prepared["prior"], prepared["final"]) == (True, {}, {"retention.ms": "7777"})
    assert restore.work() == []


def test_an_existing_topic_that_another_run_left_safe_gets_back_what_it_had_first(restore: Restore, topic: str) -> None:
    oracle.make_topic(restore.bootstrap, topic, cleanup_policy="compact", retention_ms="4444")
    restore.plan(topic)
    restore.prepare()
    restore.run_id = "second"
    restore.plan(topic)
    (prepared,) = restore.prepare()
    assert prepared["made"] is False
    assert prepared["final"].items() >= {"cleanup.policy": "compact", "retention.ms": "4444"}.items()


def test_settings_that_only_look_like_a_restores_are_kept(restore: Restore, topic: str) -> None:
    config = {name.replace(".", "_"): text for name, text in SAFE_CONFIG.items()}
    oracle.make_topic(restore.bootstrap, topic, **config)
    restore.archived(topic, retention_ms="7777")
    restore.plan(topic)
    (prepared,) = restore.prepare()
    assert (prepared["made"], prepared["final"]) == (False, SAFE_CONFIG)


def test_restored_records_come_after_those_that_are_there_if_that_is_allowed(
    restore: Restore, unique_name: Name
) -> None:
    topic, rows = unique_name("full"), make_rows(0, 20)
    restore.add(topic, rows)
    restore.add(topic, rows, 1)
    oracle.make_topic(restore.bootstrap, topic, 2)
    oracle.produce(restore.bootstrap, topic, [b"before"] * 3, partition=1)
    restore.plan(topic, allow_existing=True)
    found = restore.preflight()["existing data"]
    assert found.state is State.WARNING and topic in found.text
    (prepared,) = restore.prepare()
    assert prepared["base"] == {"0": 0, "1": 3}
    assert restore.work() == []
    assert restore.ends(topic) == {0: 20, 1: 23}
    assert [record.value for record in restore.target(topic)[1]][3:] == [row[3] for row in rows]
    assert restore.preflight()["existing data"].text == "all is this run's own"


def test_a_topic_that_somebody_writes_to_is_refused_even_if_data_is_allowed(
    restore: Restore, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "_RESTLESS_S", 0.3)
    oracle.make_topic(restore.bootstrap, topic)
    oracle.produce(restore.bootstrap, topic, [b"before"])
    restore.plan(topic, allow_existing=True)
    real = Cluster.ends

    def busy(cluster: Cluster, places: Any, **more: Any) -> Any:
        oracle.produce(restore.bootstrap, topic, [b"and on"])
        return real(cluster, places, **more)

    monkeypatch.setattr(Cluster, "ends", busy)
    with pytest.raises(RefusedForSafety, match="do not come to rest"):
        restore.prepare()
    assert restore.run.find("prepared", f"{topic}.json") is None


def test_other_partition_counts_fit_if_records_are_placed_anew(restore: Restore, unique_name: Name) -> None:
    there, missing = unique_name("there"), unique_name("missing")
    for name in (there, missing):
        restore.add(name, make_rows(0, 5), 2)
    oracle.make_topic(restore.bootstrap, there, 5)
    restore.plan(there, missing, repartition={"partitions": 5})
    assert restore.preflight()["partition counts"].state is State.OK
    assert [len(prepared["base"]) for prepared in restore.prepare()] == [5, 5]
    assert restore.cluster.describe([missing])[missing].partitions == 5


@pytest.mark.parametrize(
    ("partitions", "reason"), [(4, "has 5 partitions, 4 are asked for"), (None, "nobody says how many partitions")]
)
def test_a_count_that_contradicts_or_is_not_known_is_refused(
    restore: Restore, unique_name: Name, partitions: int | None, reason: str
) -> None:
    there, missing = unique_name("there"), unique_name("missing")
    for name in (there, missing):
        restore.add(name, make_rows(0, 5), 2)
    oracle.make_topic(restore.bootstrap, there, 5)
    restore.plan(there, missing, repartition={"partitions": partitions})
    with pytest.raises(RefusedForSafety, match=reason):
        restore.preflight()
    with pytest.raises(RefusedForSafety, match=reason):
        restore.prepare()
    assert missing not in names(restore)


def test_what_was_replaced_since_it_was_prepared_is_found(restore: Restore, topic: str) -> None:
    restore.plan(topic)
    restore.prepare()
    oracle.delete_topic(restore.bootstrap, topic)
    with pytest.raises(RefusedForSafety, match=f"deleted or made again since this run prepared them: {topic}"):
        restore.preflight()
