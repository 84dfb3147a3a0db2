"""What a running backup says of what it does not read, and the snapshots that it keeps beside the records."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.backup.health import backup_health
from millpond.backup.metrics import METRICS
from millpond.backup.run import Watchers, run_backup
from millpond.backup.status import BackupStatus, Gone, PartitionState
from millpond.cli.main import main
from millpond.clock import now_ms
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.settings import ClusterAddress
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.integration.backup_runs import QUICK, Backup, short_steps
from tests.integration.kafka_requests import commit

Name = Callable[[str], str]
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
READ, DESCRIBE, CONFIGS = AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS


@contextmanager
def watched(backup: Backup, cluster: Cluster, **more: object) -> Iterator[list[BackupStatus]]:
    """The backup while it runs, and the last status that it told."""
    stop, last, failed = threading.Event(), [BackupStatus(0, 0, 0)], list[BaseException]()

    def observe(status: BackupStatus) -> None:
        last[0] = status

    def run() -> None:
        try:
            run_backup(backup.store, backup.layout, cluster, backup.options(**more), stop, Watchers(observe=observe))
        except BaseException as error:  # noqa: BLE001  # raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with short_steps():
            yield last
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive() and not failed, failed


def states(status: BackupStatus) -> dict[tuple[str, int], PartitionState]:
    return {(one.topic, one.partition): one.state for one in status.partitions}


def values(status: BackupStatus, name: str) -> dict[tuple[str, ...], float]:
    """Of one metric, now."""
    measure = next(measure for measure in METRICS if measure.metric.cloudwatch == name)
    return dict(measure.read(status, now_ms()).values)


def kinds(status: BackupStatus) -> set[object]:
    return {warning["kind"] for warning in backup_health(status, 0, now_ms()).warnings}


# -- what is not read


def test_partitions_that_are_lost_with_their_brokers_grow_older_and_come_back(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    """Nothing was said of them: no lag, a recovery point of 0, no partition that stopped."""
    kafka = kafka_factory()
    oracle.make_topic(kafka.bootstrap(), "orders", 2)
    oracle.produce(kafka.bootstrap(), "orders", [b"x"] * 50)
    backup = Backup(MemoryStore(), kafka.bootstrap(), tmp_path / "spool", ("orders",))
    orders = {("orders", 0), ("orders", 1)}
    with watched(backup, backup.cluster()) as last:
        backup.wait_covered("orders")
        wait_until(lambda: values(last[0], "Partitions") == {(): 2}, "both are held")
        kafka.kill(1)
        killed_ms = now_ms()
        lost = dict.fromkeys(orders, PartitionState.LOST)
        wait_until(lambda: states(last[0]) == lost, "both are lost")
        assert values(last[0], "Partitions") == {(): 0}
        assert kinds(last[0]) >= {"partition lost"}
        ages = values(last[0], "RecoveryPointAge")
        assert len(ages) == 2 and min(ages.values()) >= (now_ms() - killed_ms) / 1000 - 1.5
        wait_until(lambda: min(values(last[0], "RecoveryPointAge").values()) > min(ages.values()) + 1, "they grow")
        kafka.restart(1)
        kafka.wait_ready()
        reading = dict.fromkeys(orders, PartitionState.READING)
        wait_until(lambda: states(last[0]) == reading, "both are read again", timeout_s=60)
        oracle.produce(kafka.bootstrap(), "orders", [b"x"] * 50)
        backup.wait_covered("orders")
        wait_until(lambda: max(values(last[0], "RecoveryPointAge").values()) < 5, "nothing waits")


@pytest.fixture
def guarded(kafka_factory: Callable[..., KafkaCluster]) -> KafkaCluster:
    return kafka_factory(tls=True, acls=True)


def a_user(kafka: KafkaCluster, *rights: tuple[ResourceType, str, AclOperation]) -> Cluster:
    kafka.create_user("alice", "secret")
    bindings = [
        AclBinding(kind, name, ResourcePatternType.LITERAL, "User:alice", "*", right, AclPermissionType.ALLOW)
        for kind, name, right in rights
    ]
    kafka.allow(bindings)
    settings = {**QUICK, **kafka.client("SASL_SSL", user="alice", password="secret")}
    return Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), {name: str(text) for name, text in settings.items()}))


def take_rights(kafka: KafkaCluster, topic: str) -> None:
    gone = AclBindingFilter(
        TOPIC,
        topic,
        ResourcePatternType.LITERAL,
        "User:alice",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    client = AdminClient(kafka.client())
    for done in client.delete_acls([gone]).values():
        assert done.result()


def test_a_topic_whose_right_to_be_seen_is_taken_away_is_told_and_one_that_is_deleted_too(
    guarded: KafkaCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for topic in ("orders", "prices", "visits"):
        oracle.make_topic(guarded.bootstrap(), topic, 1)
    alice = a_user(guarded, *((TOPIC, topic, READ) for topic in ("orders", "prices", "visits")), (GROUP, "g", READ))
    backup = Backup(MemoryStore(), guarded.bootstrap(), tmp_path / "spool", (".*",), group_id="g")
    with watched(backup, alice) as last:
        wait_until(lambda: len(states(last[0])) == 3, "all are held")
        assert last[0].gone == ()
        take_rights(guarded, "prices")
        oracle.delete_topic(guarded.bootstrap(), "visits")
        why = {"prices": Gone.REFUSED, "visits": Gone.DELETED}
        wait_until(lambda: {one.topic: one.why for one in last[0].gone} == why, "both are gone")
        assert values(last[0], "RefusedTopics") == {(): 1} == values(last[0], "DeletedTopics")
        assert kinds(last[0]) >= {"topic refused", "topic deleted"}
        wait_until(lambda: set(states(last[0])) == {("orders", 0)}, "the other is held")
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("ERROR", "topic prices is no longer backed up: the user may not describe it") in said
    assert ("WARNING", "topic visits was deleted; the archive keeps it") in said


class Behind(Cluster):
    """Tells of one topic as it once was, like a broker that missed its deletion, and nothing of another."""

    def __init__(self, address: ClusterAddress, topic: str) -> None:
        super().__init__(address)
        self.was, self.told, self.hidden = super().describe([topic]), {topic}, set[str]()

    def topic_names(self) -> list[str]:
        return [*super().topic_names(), *self.told]

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        found = super().describe(topics, refused=refused) | {topic: self.was[topic] for topic in self.told}
        return {topic: one for topic, one in found.items() if topic not in self.hidden}


def test_a_partition_that_the_group_leaves_us_after_its_topic_was_deleted_is_not_told_as_read(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    """Where the subscription changes after the client missed the topic and before it asks for all of them, the
    assignor lets the member keep the partition. Nothing takes it away later, and it was told as read for ever."""
    orders, prices, visits = topics = [unique_name(name) for name in ("orders", "prices", "visits")]
    for topic in topics:
        oracle.make_topic(kafka.bootstrap(), topic)
        oracle.produce(kafka.bootstrap(), topic, [b"x"] * 10)
    backup = Backup(MemoryStore(), kafka.bootstrap(), tmp_path / "spool", tuple(topics))
    settings = {name: str(text) for name, text in QUICK.items()} | {"topic.metadata.refresh.interval.ms": "300000"}
    cluster = Behind(ClusterAddress(backup.bootstrap, settings), visits)
    with watched(backup, cluster) as last:
        for topic in topics:
            backup.wait_covered(topic)
        oracle.delete_topic(kafka.bootstrap(), visits)
        time.sleep(0.3)  # the client learns of it, by a fetch that fails
        cluster.hidden.add(prices)  # a rebalance without it, with the deleted topic in the subscription
        wait_until(lambda: (prices, 0) not in states(last[0]), "prices are given up")
        cluster.told.clear()
        wait_until(lambda: set(states(last[0])) == {(orders, 0)}, "the other is held")
        oracle.make_topic(kafka.bootstrap(), visits)
        oracle.produce(kafka.bootstrap(), visits, [b"y"] * 20)
        wait_until(lambda: (visits, 0) in states(last[0]), "it is held again")
        backup.wait_covered(visits)
        backup.holds(visits)


# -- snapshots


def test_a_running_backup_keeps_groups_each_time_and_the_cluster_when_it_changed(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    topic = unique_name("t")
    oracle.make_topic(kafka.bootstrap(), topic, 1)
    commit(kafka.bootstrap(), unique_name("g"), TopicPartition(topic, 0, 0))
    backup = Backup(MemoryStore(), kafka.bootstrap(), tmp_path / "spool", (topic,))
    with watched(backup, backup.cluster(), snapshot_every_s=1) as last:
        wait_until(lambda: len(backup.keys("groups/")) >= 3, "three snapshots of groups")
        assert len(backup.keys("cluster/")) == 1, "nothing has changed"
        assert set(values(last[0], "SnapshotAge")) == {("groups",), ("cluster",)}
        wait_until(lambda: max(values(last[0], "SnapshotAge").values()) < 5, "they are of the last rounds")
        oracle.make_topic(kafka.bootstrap(), unique_name("new"), 1)
        wait_until(lambda: len(backup.keys("cluster/")) == 2, "the change is kept")


def test_single_runs_write_the_cluster_once_and_nothing_where_snapshots_are_off(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    topic = unique_name("t")
    oracle.make_topic(kafka.bootstrap(), topic, 1)
    backup = Backup(MemoryStore(), kafka.bootstrap(), tmp_path / "spool", (topic,))
    for _ in range(3):
        backup.once(snapshot_every_s=0)
    assert backup.keys("cluster/") == [] == backup.keys("groups/")
    for _ in range(3):
        backup.once(snapshot_every_s=60)
    assert len(backup.keys("cluster/")) == 1 and len(backup.keys("groups/")) == 3


def test_the_owner_of_the_first_topic_takes_snapshots_even_where_that_topic_is_stopped(
    guarded: KafkaCluster, tmp_path: Path
) -> None:
    for topic in ("audit", "orders"):
        oracle.make_topic(guarded.bootstrap(), topic, 1)
    alice = a_user(guarded, (TOPIC, "audit", DESCRIBE), (TOPIC, "orders", READ), (GROUP, "g", READ))
    backup = Backup(MemoryStore(), guarded.bootstrap(), tmp_path / "spool", (".*",), group_id="g")
    with watched(backup, alice, snapshot_every_s=1) as last:
        stopped = ("audit", 0), PartitionState.STOPPED
        wait_until(lambda: stopped in states(last[0]).items(), "the first topic is stopped")
        before = len(backup.keys("groups/"))
        wait_until(lambda: len(backup.keys("groups/")) >= before + 2, "snapshots go on")
        assert values(last[0], "RecoveryPointAge")["audit", "0"] > 1, "it is not as if nothing waited"
        assert backup.keys("cluster/")


def test_a_single_run_whose_snapshot_fails_says_so_and_ends_with_0_as_all_records_are_there(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = unique_name("t")
    oracle.make_topic(kafka.bootstrap(), topic, 1)
    oracle.produce(kafka.bootstrap(), topic, [b"x"] * 10)
    archive = tmp_path / "archive"
    archive.mkdir()
    flags = ["--archive", f"file://{archive}", "--brokers", kafka.bootstrap(), "--topics", topic, "--max-age", "1"]
    assert main(["backup", *flags, "--once", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots_failed"] == {}
    (archive / "groups").rename(tmp_path / "elsewhere")
    (archive / "groups").write_text("in the place of the folder")
    oracle.produce(kafka.bootstrap(), topic, [b"x"] * 5)
    code = main(["backup", *flags, "--once", "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert code == 0 and found["partitions"] == [{"topic": topic, "partition": 0, "end": 15}]
    assert list(found["snapshots_failed"]) == ["groups"] and found["snapshots_failed"]["groups"]
    assert "the snapshot of groups failed: " in err
    assert list((archive / "cluster").rglob("*.json"))
    code = main(["backup", *flags, "--once"])
    assert code == 0 and "the snapshot of groups failed: " in capsys.readouterr().out
