"""What people restore for, from the loss to the consumer that goes on: command line alone, real brokers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from local.kafka import KafkaCluster
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.restore.writing import target
from tests import oracle
from tests.integration.group_runs import Groups, next_of_all
from tests.integration.kafka_requests import commit
from tests.integration.restore_runs import LAYOUT

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def shop(kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Groups:
    return Groups(kafka.bootstrap(), tmp_path, capsys)


def content(bootstrap: str, topic: str) -> dict[int, list[Any]]:
    """Everything of each record but its offset."""
    return {number: [tuple(r)[1:] for r in records] for number, records in oracle.read_topic(bootstrap, topic).items()}


def filled(shop: Groups, topic: str, group: str, **config: str) -> dict[Any, Any]:
    """Three partitions of odd records, one of them in transactions, a group in the middle; what it reads next."""
    oracle.make_topic(shop.bootstrap, topic, 3, **config)
    oracle.produce_odd_records(shop.bootstrap, topic, partitions=3, count=40, seed=7)
    oracle.produce_transaction(shop.bootstrap, topic, [b"kept"] * 5, partition=1)
    oracle.produce_transaction(shop.bootstrap, topic, [b"never"] * 5, partition=1, commit=False)
    ends = oracle.ends_of(shop.bootstrap, topic)
    commit(shop.bootstrap, group, *(TopicPartition(topic, n, end // 2, "m") for n, end in ends.items()))
    return next_of_all(shop.bootstrap, [group], [(topic, n) for n in ends])


def restored(shop: Groups, *words: str, bootstrap: str = "") -> Any:
    document = shop.json("restore", "--to-brokers", bootstrap or shop.bootstrap, *words)
    assert shop.code == 0, document
    return document


def test_a_deleted_topic_comes_back_and_its_consumers_go_on(shop: Groups, unique_name: Name) -> None:
    topic, group = unique_name("orders"), unique_name("billing")
    due = filled(shop, topic, group, retention_ms="-1", max_message_bytes="2000000")
    before = content(shop.bootstrap, topic)
    shop.backup(topic)
    shop.snapshot()
    cluster = Cluster(ClusterAddress(shop.bootstrap))
    config = cluster.topic_config(topic)
    oracle.delete_topic(shop.bootstrap, topic)

    words = ("--with-groups", "--groups", group, "--compare", "whole", "--apply-retention")
    report = restored(shop, "--topics", topic, *words)
    assert (report["status"], report["written"]) == ("done", sum(map(len, before.values())))
    assert content(shop.bootstrap, topic) == before
    assert next_of_all(shop.bootstrap, [group], list(due[group])) == due
    assert cluster.topic_config(topic) == config and config["max.message.bytes"] == "2000000"


def test_a_bad_deployment_is_undone_up_to_its_first_record(shop: Groups, unique_name: Name) -> None:
    topic, group = unique_name("orders"), unique_name("billing")
    oracle.make_topic(shop.bootstrap, topic)
    oracle.produce(shop.bootstrap, topic, [b"good-%d" % number for number in range(20)])
    commit(shop.bootstrap, group, TopicPartition(topic, 0, 12))
    shop.backup(topic)
    shop.snapshot()
    time.sleep(0.01)
    deployed = time.time_ns() // 1_000_000
    time.sleep(0.01)
    oracle.produce(shop.bootstrap, topic, [b"bad"] * 7)
    commit(shop.bootstrap, group, TopicPartition(topic, 0, 27))
    shop.backup(topic)
    shop.snapshot()

    told = ("--topics", topic, "--prefix", "clean.", "--cut", str(deployed))
    report = restored(shop, *told, "--with-groups", "--groups", group, "--group-prefix", "clean.")
    assert [record[2] for record in content(shop.bootstrap, f"clean.{topic}")[0]] == [
        b"good-%d" % number for number in range(20)
    ]
    assert oracle.commits(shop.bootstrap, f"clean.{group}") == {(f"clean.{topic}", 0): (12, "")}
    assert report["groups"]["snapshot_at"] <= deployed


def test_a_lost_cluster_is_built_anew_with_topics_settings_records_and_groups(
    shop: Groups, kafka_factory: Callable[..., KafkaCluster], unique_name: Name
) -> None:
    topics, group = [unique_name("orders"), unique_name("carts")], unique_name("billing")
    due: dict[Any, Any] = {}
    for topic in topics:
        due |= filled(shop, topic, group, cleanup_policy="delete", segment_bytes="1048576")[group]
    empty = unique_name("empty")
    oracle.make_topic(shop.bootstrap, empty, 5)
    shop.backup(*topics, empty)
    shop.snapshot(*topics, empty)
    lost = {topic: content(shop.bootstrap, topic) for topic in topics}

    new = kafka_factory().bootstrap()
    words = ("--all", "--with-groups", "--groups", group, "--compare", "whole", "--workers", "2")
    report = restored(shop, *words, bootstrap=new)
    assert report["status"] == "done" and {topic: content(new, topic) for topic in topics} == lost
    assert next_of_all(new, [group], list(due)) == {group: due}
    assert oracle.ends_of(new, empty) == dict.fromkeys(range(5), 0), "a topic without records is made, too"
    different = shop.json("cluster", "diff", "--brokers", new)["topics"]
    assert shop.code == 3 and different["missing"] != [], "the backup does not cover the others of this cluster"
    changed = {topic["topic"]: topic for topic in different["changed"] if topic["topic"] in topics}
    assert all(topic["settings"].keys() == {"retention.ms", "retention.bytes"} for topic in changed.values()), changed


def test_a_topic_that_never_held_a_record_comes_back_alone(shop: Groups, unique_name: Name) -> None:
    topic = unique_name("empty")
    oracle.make_topic(shop.bootstrap, topic, 3, max_message_bytes="2000000")
    shop.backup(topic)
    shop.snapshot(topic)
    oracle.delete_topic(shop.bootstrap, topic)
    report = restored(shop, "--topics", topic, "--compare", "whole")
    assert (report["status"], report["written"]) == ("done", 0)
    assert oracle.ends_of(shop.bootstrap, topic) == {0: 0, 1: 0, 2: 0}
    assert Cluster(ClusterAddress(shop.bootstrap)).topic_config(topic)["max.message.bytes"] == "2000000"


def test_a_test_environment_gets_a_window_of_time_under_other_names(
    shop: Groups, kafka_factory: Callable[..., KafkaCluster], unique_name: Name
) -> None:
    topic, group = unique_name("orders"), unique_name("billing")
    oracle.make_topic(shop.bootstrap, topic, retention_ms="-1")
    for batch in range(3):
        oracle.produce(shop.bootstrap, topic, [b"%d-%d" % (batch, number) for number in range(10)])
        time.sleep(0.01)
    commit(shop.bootstrap, group, TopicPartition(topic, 0, 3))
    shop.backup(topic)
    shop.snapshot()
    stamps = [record.timestamp for record in oracle.read_topic(shop.bootstrap, topic)[0]]
    first, last = stamps[10], stamps[19]
    new = kafka_factory().bootstrap()
    told = ("--topics", topic, "--prefix", "test.", "--since", str(first), "--until", str(last), "--replication", "1")
    restored(shop, *told, bootstrap=new)
    wanted = [r for r in content(shop.bootstrap, topic)[0] if first <= r[0] <= last]
    assert content(new, f"test.{topic}") == {0: wanted} and len(wanted) == 10


def test_running_it_again_adds_nothing_and_a_grown_archive_adds_what_is_new(shop: Groups, unique_name: Name) -> None:
    topic, group = unique_name("orders"), unique_name("billing")
    filled(shop, topic, group)
    shop.backup(topic)
    words = ("--topics", topic, "--prefix", "copy.")
    first = restored(shop, *words, "--run-id", "one")
    assert restored(shop, *words, "--run-id", "one") == first
    ends = oracle.ends_of(shop.bootstrap, topic)
    oracle.produce_odd_records(shop.bootstrap, topic, partitions=3, count=10, seed=9)
    shop.backup(topic)
    rest = ",".join(f"{topic}:{number}:{end}-" for number, end in ends.items())
    second = restored(shop, *words, "--run-id", "two", "--offsets", rest, "--allow-existing")
    assert 0 < second["written"] < first["written"]
    assert content(shop.bootstrap, f"copy.{topic}") == content(shop.bootstrap, topic)
    assert LAYOUT.run("restore", "two", "report.html") in shop.objects("runs/restore/two")
