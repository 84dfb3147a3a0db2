"""The end of a restore: topics get the settings they keep, once all records are proven to be there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from local.processes import wait_until
from millpond.clock import now_ms
from millpond.cluster.run import snapshot_cluster
from millpond.errors import MillpondError, RefusedForSafety
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.restore.planning.plan import plan_restore
from millpond.restore.request import parse_request
from millpond.restore.targets.safety import SAFE_CONFIG
from millpond.restore.targets.unfinished import UnfinishedRun, unfinished_runs
from millpond.restore.writing import target
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.integration.backup_runs import Backup
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
OFF = {"retention.bytes": "-1", "retention.ms": "-1"}
LONG_AGO = 1_500_000_000_000
PASSWORD = "canary-of-the-password"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


def proven(restore: Restore, *topics: str, **request: Any) -> None:
    """All steps up to the last."""
    restore.all(*topics, **request)


def finished(restore: Restore, *topics: str, **request: Any) -> dict[str, Any]:
    """The whole restore; what became of each topic, by its name."""
    proven(restore, *topics, **request)
    return {topic["topic"]: topic for topic in restore.finish()["topics"]}


def archive_of(kafka: KafkaCluster, tmp_path: Path, *topics: str) -> Restore:
    """A real backup of these topics and a snapshot of the cluster."""
    backup = Backup(MemoryStore(), kafka.bootstrap(), tmp_path / "spool", topics)
    backup.once()
    snapshot_cluster(backup.store, backup.layout, backup.cluster(), selection=None, now_ms=now_ms)
    return Restore(kafka.bootstrap(), backup.store, backup.layout)


def test_a_restored_topic_has_the_partitions_and_own_settings_of_the_source(
    kafka: KafkaCluster, unique_name: Name, tmp_path: Path
) -> None:
    topic = unique_name("source")
    own = {
        "cleanup_policy": "compact,delete",
        "compression_type": "zstd",
        "delete_retention_ms": "600000",
        "max_message_bytes": "2000000",
        "message_timestamp_type": "LogAppendTime",
        "min_cleanable_dirty_ratio": "0.3",
        "retention_ms": "86400000",
        "segment_bytes": "2097152",
    }
    oracle.make_topic(kafka.bootstrap(), topic, 3, **own)
    oracle.produce(kafka.bootstrap(), topic, [b"v"] * 20, keys=[b"k%d" % n for n in range(20)], partition=1)
    restore = archive_of(kafka, tmp_path, topic)
    found = finished(restore, topic, prefix="back.", apply_retention=True)[f"back.{topic}"]
    before, after = restore.cluster.topic_config(topic), restore.cluster.topic_config(f"back.{topic}")
    assert after == before and after["message.timestamp.type"] == "LogAppendTime"
    assert restore.cluster.describe([f"back.{topic}"])[f"back.{topic}"].partitions == 3
    assert (found["status"], found["held"], found["refused"]) == ("set", {}, {})
    stamps = [[record.timestamp for record in records[1]] for records in map(restore.target, (topic, f"back.{topic}"))]
    assert stamps[0] == stamps[1], "the final setting stamps nothing anew"


def test_retention_stays_off_unless_it_is_asked_for(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("held")
    restore.add(topic, make_rows(0, 5))
    restore.archived(topic, retention_ms="1000", segment_bytes="2097152")
    found = finished(restore, topic)[topic]
    assert restore.cluster.topic_config(topic) == OFF | {"segment.bytes": "2097152"}
    assert found["held"] == {"retention.bytes": None, "retention.ms": "1000"}
    assert found["set"] == {"segment.bytes": "2097152"}
    assert sorted(found["removed"]) == sorted(SAFE_CONFIG.keys() - OFF.keys())


def test_without_configs_only_the_brokers_defaults_are_left(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("plain")
    restore.add(topic, make_rows(0, 5))
    restore.archived(topic, segment_bytes="2097152")
    finished(restore, topic, configs=False, apply_retention=True)
    assert restore.cluster.topic_config(topic) == {}


def test_old_records_stay_until_retention_is_applied(
    kafka_factory: Callable[..., KafkaCluster], unique_name: Name
) -> None:
    kafka = kafka_factory(config={"log.retention.check.interval.ms": 200, "log.initial.task.delay.ms": 100})
    restore, rows = Restore(kafka.bootstrap()), make_rows(0, 50, stamp=LONG_AGO)
    for topic in ("kept", "gone"):
        restore.add(topic, rows)
        restore.archived(topic, retention_ms="1000")
    proven(restore, "kept")
    time.sleep(1)
    restore.finish()
    time.sleep(1)
    restore.holds("kept", {0: rows})
    restore.run_id = "applied"
    proven(restore, "gone", apply_retention=True)
    time.sleep(1)
    restore.holds("gone", {0: rows})
    restore.finish()
    wait_until(lambda: oracle.starts_of(kafka.bootstrap(), "gone") == {0: 50}, "retention has taken the records")
    restore.holds("kept", {0: rows})


def state_of(bootstrap: str, topic: str) -> dict[bytes, bytes]:
    """What a reader of a compacted topic knows at its end."""
    found: dict[bytes, bytes] = {}
    for record in oracle.read_topic(bootstrap, topic)[0]:
        if record.key is not None and record.key != b"roll":
            found.pop(record.key, None)
            found |= {} if record.value is None else {record.key: record.value}
    return found


def wait_compacted(bootstrap: str, topic: str, gone: bytes) -> None:
    def cleaned() -> bool:
        time.sleep(0.3)
        oracle.produce(bootstrap, topic, [b"roll"], keys=[b"roll"])
        return gone not in [record.value for record in oracle.read_topic(bootstrap, topic)[0]]

    wait_until(cleaned, f"{topic} is compacted")


def test_a_compacted_topic_ends_in_the_state_of_the_source_and_deleted_keys_stay_deleted(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    kafka = kafka_factory(config={"log.cleaner.backoff.ms": 100})
    bootstrap = kafka.bootstrap()
    compacted = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "segment_bytes": "1048576"}
    oracle.make_topic(bootstrap, "t", delete_retention_ms="60000", **compacted)
    keys = [b"%d" % (n % 9) for n in range(60)]
    oracle.produce(bootstrap, "t", [b"v%d" % n for n in range(60)], keys=keys)
    oracle.produce(bootstrap, "t", [None, None], keys=[b"3", b"4"])
    oracle.produce(bootstrap, "t", [b"again"], keys=[b"4"])
    restore = archive_of(kafka, tmp_path, "t")
    # Only now, so that the archive holds everything: what lies in the newest segment is not compacted.
    restore.cluster.set_topic_config("t", {"segment.ms": "200"})
    wait_until(lambda: restore.cluster.topic_config("t").get("segment.ms") == "200", "the setting is known")
    snapshot_cluster(restore.store, restore.layout, restore.cluster, selection=None, now_ms=now_ms)
    wait_compacted(bootstrap, "t", b"v0")
    proven(restore, "t", prefix="back.")
    time.sleep(1)
    before = [record.value for record in restore.target("back.t")[0]]
    assert b"v0" in before, "nothing is compacted while restoring"
    restore.finish()
    wait_compacted(bootstrap, "back.t", b"v0")
    state = state_of(bootstrap, "back.t")
    assert state == state_of(bootstrap, "t")
    assert b"3" not in state and state[b"4"] == b"again" and len(state) == 8


def test_records_without_a_key_land_in_a_topic_that_is_compacted_at_the_end(
    restore: Restore, unique_name: Name
) -> None:
    topic, rows = unique_name("keyless"), make_rows(0, 10)
    assert any(row[2] is None for row in rows)
    restore.add(topic, rows)
    restore.archived(topic, cleanup_policy="compact")
    finished(restore, topic)
    restore.holds(topic, {0: rows})
    assert restore.cluster.topic_config(topic)["cleanup.policy"] == "compact"


def test_a_record_larger_than_the_brokers_limit_is_restored_and_the_limit_comes_back(
    restore: Restore, unique_name: Name
) -> None:
    topic, rows = unique_name("large"), make_rows(0, 3, size=3_000_000)
    restore.add(topic, rows)
    restore.archived(topic, max_message_bytes="900000")
    finished(restore, topic)
    restore.holds(topic, {0: rows})
    assert restore.cluster.topic_config(topic)["max.message.bytes"] == "900000"


def test_a_topic_that_was_there_gets_back_what_it_had_and_keeps_what_was_set_meanwhile(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("existing")
    restore.add(topic, make_rows(0, 5))
    restore.archived(topic, compression_type="gzip", segment_bytes="2097152")
    oracle.make_topic(restore.bootstrap, topic, cleanup_policy="compact", retention_ms="4444", segment_bytes="3145728")
    before = restore.cluster.topic_config(topic)
    proven(restore, topic)
    restore.cluster.set_topic_config(topic, {"segment.bytes": "4194304"})
    restore.finish()
    now = {"segment.bytes": "4194304"}
    assert restore.cluster.topic_config(topic) == before | OFF | now
    restore.run_id = "applied"
    oracle.delete_topic(restore.bootstrap, topic)
    oracle.make_topic(restore.bootstrap, topic, cleanup_policy="compact", retention_ms="4444", segment_bytes="3145728")
    finished(restore, topic, apply_retention=True)
    assert restore.cluster.topic_config(topic) == before


def test_settings_that_the_target_refuses_are_named_and_the_others_set(restore: Restore, unique_name: Name) -> None:
    topic, other = unique_name("odd"), unique_name("other")
    for name in (topic, other):
        restore.add(name, make_rows(0, 5))
    restore.archived(topic, no_such_setting="1", segment_ms="-7", flush_messages="9")
    restore.archived(other, flush_messages="8")
    found = finished(restore, topic, other, apply_retention=True)
    assert found[topic]["status"] == "partly"
    assert found[topic]["refused"] == {"no.such.setting": "INVALID_CONFIG", "segment.ms": "INVALID_CONFIG"}
    config = restore.cluster.topic_config(topic)
    assert config == {"flush.messages": "9", "segment.ms": SAFE_CONFIG["segment.ms"]}
    assert (found[other]["status"], restore.cluster.topic_config(other)) == ("set", {"flush.messages": "8"})


def test_a_topic_that_cannot_have_its_cleanup_policy_is_an_error_that_comes_last(
    restore: Restore, unique_name: Name
) -> None:
    bad, good = unique_name("bad"), unique_name("good")
    for name in (bad, good):
        restore.add(name, make_rows(0, 5))
    restore.archived(bad, cleanup_policy="nonsense", flush_messages="9")
    restore.archived(good, flush_messages="8")
    proven(restore, bad, good, apply_retention=True)
    with pytest.raises(MillpondError, match=rf"1 topics .*{bad}: cleanup.policy \(INVALID_CONFIG\)") as caught:
        restore.finish()
    assert caught.value.hint and restore.run.find("settings.json") is None
    assert restore.cluster.topic_config(good) == {"flush.messages": "8"}
    assert restore.cluster.topic_config(bad)["flush.messages"] == "9"


def test_topics_that_are_gone_or_replaced_are_told_and_left_alone(restore: Restore, unique_name: Name) -> None:
    names = gone, replaced, there = [unique_name(base) for base in ("gone", "replaced", "there")]
    for name in names:
        restore.add(name, make_rows(0, 5))
        restore.archived(name, flush_messages="9")
    proven(restore, *names, apply_retention=True)
    for name in (gone, replaced):
        oracle.delete_topic(restore.bootstrap, name)
    oracle.make_topic(restore.bootstrap, replaced)
    before = restore.cluster.topic_config(replaced)
    found = {topic["topic"]: topic["status"] for topic in restore.finish()["topics"]}
    assert found == {gone: "gone", replaced: "replaced", there: "set"}
    assert restore.cluster.topic_config(replaced) == before
    assert restore.cluster.topic_config(there) == {"flush.messages": "9"}


def test_a_run_is_not_finished_before_it_is_proven_unless_its_topics_are_gone(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("early")
    restore.add(topic, make_rows(0, 5))
    restore.plan(topic)
    restore.prepare()
    assert restore.work() == []
    with pytest.raises(RefusedForSafety, match="not proven to be whole; 1 topics stay in their safe state") as caught:
        restore.finish()
    assert "go on with --run-id r" in caught.value.hint
    assert restore.cluster.topic_config(topic) == SAFE_CONFIG
    assert unfinished_runs(restore.store, LAYOUT) == [UnfinishedRun("r", (topic,))]
    oracle.delete_topic(restore.bootstrap, topic)
    assert restore.finish()["topics"] == [{"topic": topic, "status": "gone"}]
    assert unfinished_runs(restore.store, LAYOUT) == []


def test_to_finish_twice_changes_nothing_the_second_time(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("twice")
    restore.add(topic, make_rows(0, 5))
    proven(restore, topic)
    first = restore.finish()
    restore.cluster.set_topic_config(topic, {"flush.messages": "9"})
    assert restore.finish() == first
    assert restore.cluster.topic_config(topic) == OFF | {"flush.messages": "9"}
    assert [prepared["topic"] for prepared in restore.prepare()] == [topic]
    assert restore.cluster.topic_config(topic) == OFF | {"flush.messages": "9"}


def test_a_finish_that_was_killed_before_it_said_so_is_done_again(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = unique_name("killed")
    restore.add(topic, make_rows(0, 5))
    restore.archived(topic, flush_messages="9")
    proven(restore, topic)
    with monkeypatch.context() as patch:
        patch.setattr(
            "millpond.restore.targets.finish._refuse_unset", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            restore.finish()
    assert restore.finish()["topics"][0]["status"] == "set"
    assert restore.cluster.topic_config(topic) == OFF | {"flush.messages": "9"}


def test_only_the_cluster_that_was_prepared_is_finished(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = unique_name("elsewhere")
    restore.add(topic, make_rows(0, 5))
    proven(restore, topic)
    monkeypatch.setattr(Cluster, "cluster_id", lambda _: "another")
    with pytest.raises(RefusedForSafety, match="was prepared on cluster"):
        restore.finish()
    assert restore.cluster.topic_config(topic) == SAFE_CONFIG


# -- with access control


def entry(user: str, topic: str, operation: AclOperation) -> AclBinding:
    allowed, literal = AclPermissionType.ALLOW, ResourcePatternType.LITERAL
    return AclBinding(ResourceType.TOPIC, topic, literal, f"User:{user}", "*", operation, allowed)


def allow(kafka: KafkaCluster, user: str, topic: str, *operations: AclOperation) -> None:
    client = AdminClient(kafka.client())
    for done in client.create_acls([entry(user, topic, one) for one in operations]).values():
        done.result(30)


def entries_of(kafka: KafkaCluster, topic: str) -> set[str]:
    anyone: Any = None
    asked = AclBindingFilter(
        ResourceType.TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        anyone,
        anyone,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    client = AdminClient(kafka.client())  # its futures end with it
    return {f"{one.principal} {one.operation.name}" for one in client.describe_acls(asked).result(30)}


def test_access_control_follows_a_topic_to_its_new_name_and_a_lost_right_is_named(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    bootstrap = kafka.bootstrap()
    oracle.make_topic(bootstrap, "t")
    oracle.produce(bootstrap, "t", [b"v"] * 5)
    allow(kafka, "bob", "t", AclOperation.READ, AclOperation.WRITE)
    restore = archive_of(kafka, tmp_path, "t")
    asked = parse_request({"topics": ["t"], "prefix": "back.", "acls": True})
    plan_restore(restore.store, restore.layout, asked, run_id="r", now_ms=now_ms())
    restore.prepare()
    assert restore.work() == []
    restore.reconcile()
    kafka.create_user("alice", PASSWORD)
    settings = kafka.client("SASL_SSL", user="alice", password=PASSWORD)
    address = ClusterAddress(kafka.bootstrap("SASL_SSL"), {name: str(text) for name, text in settings.items()})
    mine, restore.cluster = restore.cluster, Cluster(address)
    with pytest.raises(MillpondError, match=r"1 topics do not .*: back.t: it may not be described"):
        restore.finish()
    allow(kafka, "alice", "back.t", AclOperation.DESCRIBE)
    wait_until(lambda: "back.t" in restore.cluster.topic_names(), "the rights are known")
    with pytest.raises(MillpondError, match=r"back.t: cleanup.policy \(TOPIC_AUTHORIZATION_FAILED\)"):
        restore.finish()
    restore.cluster = mine
    done = restore.finish()
    assert [acl["resource_name"] for acl in done["acls"]["added"]] == ["back.t", "back.t"]
    wait_until(lambda: entries_of(kafka, "back.t") >= {"User:bob READ", "User:bob WRITE"}, "the rights are known")
