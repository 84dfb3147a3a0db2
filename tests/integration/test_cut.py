"""Cuts of a real cluster: what is written under a name, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer, TopicPartition

from local.processes import wait_until
from millpond.archive.cuts import read_cut
from millpond.storage.contract import read
from tests import oracle
from tests.integration.group_runs import Groups, next_records, statuses
from tests.integration.kafka_requests import commit
from tests.integration.restore_runs import LAYOUT

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


@pytest.fixture
def groups(kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Groups:
    return Groups(kafka.bootstrap(), tmp_path, capsys)


@pytest.fixture
def topic(groups: Groups, unique_name: Name) -> str:
    """Three archived partitions: plain, ended by a transaction, empty."""
    topic = unique_name("t")
    oracle.make_topic(groups.bootstrap, topic, 3)
    oracle.produce(groups.bootstrap, topic, [b"v%d" % number for number in range(10)])
    oracle.produce_transaction(groups.bootstrap, topic, [b"a", b"b"], partition=1)
    groups.backup(topic)
    return topic


def cut(groups: Groups, name: str, *words: str) -> Any:
    return groups.json("cut", name, "--brokers", groups.bootstrap, *words)


def written(groups: Groups, name: str) -> Any:
    return json.loads(read(groups.store, LAYOUT.under("cuts", f"{name}.json")))


def test_a_cut_names_the_ends_of_topics_and_the_offsets_of_groups(
    groups: Groups, topic: str, unique_name: Name
) -> None:
    group = unique_name("g")
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 4, "m"))
    told = cut(groups, "before", "--topics", topic)
    assert groups.code == 0 and (told["topics"], told["partitions"], told["failed"]) == (1, 3, [])
    document = written(groups, "before")
    (found,) = document["topics"]
    ends = {end["partition"]: (end["offset"], end["leader_epoch"]) for end in found["partitions"]}
    assert {number: offset for number, (offset, _) in ends.items()} == oracle.ends_of(groups.bootstrap, topic)
    assert ends == {0: (10, 0), 1: (3, 0), 2: (0, 0)}
    assert found["topic_id"] == oracle.topic_id_of(groups.bootstrap, topic, 3)
    assert (document["name"], document["failed"]) == ("before", [])
    assert LAYOUT.under(document["groups"]) in groups.objects("groups/")
    identity = json.loads(read(groups.store, LAYOUT.identity))
    assert (document["archive_id"], document["cluster_id"]) == (identity["archive_id"], identity["cluster_id"])
    found_again = read_cut(groups.store, LAYOUT, "before").ends()
    assert {end.partition: end.offset for end in found_again.values()} == {0: 10, 1: 3, 2: 0}


def test_a_transaction_that_has_not_ended_is_outside_of_the_cut(groups: Groups, topic: str, unique_name: Name) -> None:
    producer = Producer({"bootstrap.servers": groups.bootstrap, "transactional.id": unique_name("x")})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush()
    cut(groups, "open", "--topics", topic)
    producer.commit_transaction()
    wait_until(lambda: oracle.ends_of(groups.bootstrap, topic)[0] == 12, "its end is in the log")
    cut(groups, "closed", "--topics", topic)
    first = [written(groups, name)["topics"][0]["partitions"][0]["offset"] for name in ("open", "closed")]
    assert first == [10, 12]


def test_a_name_is_given_once(groups: Groups, topic: str) -> None:
    cut(groups, "once", "--topics", topic)
    before = groups.objects()
    oracle.produce(groups.bootstrap, topic, [b"more"])
    for words in ((), ("--dry-run",)):
        told = cut(groups, "once", "--topics", topic, *words)
        assert groups.code == 4 and "there is a cut once already" in told["error"]
    assert groups.objects() == before, "not even a snapshot of groups was written"


def test_a_dry_run_reads_everything_and_writes_nothing(groups: Groups, topic: str) -> None:
    before = groups.objects()
    told = cut(groups, "dry", "--topics", topic, "--dry-run")
    assert groups.code == 0 and (told["key"], told["groups_key"], told["partitions"]) == (None, None, 3)
    assert groups.objects() == before


def test_cuts_are_listed_and_a_damaged_one_does_not_hide_the_others(groups: Groups, topic: str) -> None:
    for name in ("b", "a.2-x_"):
        cut(groups, name, "--topics", topic)
    groups.store.put_if_absent(LAYOUT.under("cuts", "broken.json"), b'{"name": "broken"}')
    groups.store.put_if_absent(LAYOUT.under("cuts", "foreign.txt"), b"")
    listed = groups.json("cut", "--list")["cuts"]
    assert [(found["name"], found["damaged"], found["partitions"]) for found in listed] == [
        ("a.2-x_", False, 3),
        ("b", False, 3),
        ("broken", True, None),
    ]
    assert groups.run("cut", "--list") == 0 and "broken  DAMAGED" in groups.out


def test_what_may_not_be_is_refused_before_anything_is_asked(groups: Groups, topic: str) -> None:
    nobody = ("--brokers", "127.0.0.1:9")
    for name in ("../x", ".hidden", "a b", "x" * 81):
        assert groups.run("cut", name, *nobody) == 2, name
    assert groups.run("cut", *nobody) == 2 and "the cut has no name" in groups.err
    assert groups.run("cut", "x") == 2 and "--brokers is missing" in groups.err
    cut(groups, "x", "--topics", "nothing-like-it")
    assert groups.code == 2 and groups.objects("cuts/") == {}


def test_another_cluster_than_that_of_the_archive_is_refused(
    groups: Groups, topic: str, kafka_factory: Callable[..., KafkaCluster]
) -> None:
    told = groups.json("cut", "x", "--brokers", kafka_factory().bootstrap())
    assert groups.code == 4 and "the archive holds cluster" in told["error"] and groups.objects("cuts/") == {}


def test_groups_go_back_to_where_they_stood_at_a_cut(groups: Groups, topic: str, unique_name: Name) -> None:
    group = unique_name("g")
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 4), TopicPartition(topic, 1, 1))
    cut(groups, "then", "--topics", topic)
    places = [(topic, 0), (topic, 1)]
    due = list(next_records(groups.bootstrap, group, places).values())
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 9), TopicPartition(topic, 1, 3))
    groups.snapshot()
    groups.restore().all(topic, prefix="back.")
    found = groups.apply("--run-id", "r", "--at-cut", "then", "--groups", group, "--prefix", "p.")
    assert groups.code == 0 and set(statuses(found, group).values()) == {("applied", "")}
    back = [(f"back.{name}", number) for name, number in places]
    assert list(next_records(groups.bootstrap, f"p.{group}", back).values()) == due
