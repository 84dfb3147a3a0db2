"""Snapshots of groups and of the cluster from a real broker, read back with plain fastavro and json."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import fastavro
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from functions.snapshot.handler import handler
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import free_ports, wait_until
from millpond.archive.identity import open_or_create
from millpond.archive.keys import Layout
from millpond.backup.snapshots import SnapshotWatch
from millpond.cli.main import main
from millpond.clock import now_ms
from millpond.groups.take import GroupChoice, take
from millpond.kafka import admin, groups, metadata
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo, ObjectStore, read
from millpond.storage.memory import MemoryStore
from millpond.storage.urls import open_store
from tests.integration.kafka_requests import commit, member, set_for_all_brokers, share_group, worker_group
from tests.oracle import topic_id_of

Name = Callable[[str], str]
LAYOUT = Layout("kafka")
SHARING = {"group.share.enable": "true", "group.coordinator.rebalance.protocols": "classic,consumer,share"}


@pytest.fixture(scope="module")
def cluster_of_groups() -> Iterator[KafkaCluster]:
    """A cluster with share groups on, in a rack."""
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster(config={**STEADY, **SHARING, "broker.rack": "rack-7"}) as kafka:
        yield kafka.wait_for_groups()


class Place:
    """An archive in a folder, and the verbs on it."""

    def __init__(self, url: str, kafka: KafkaCluster, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self.kafka, self._capsys = url, kafka, capsys
        self.store: ObjectStore = open_store(url, endpoint_url=None)[0]
        self.layout = Layout(open_store(url, endpoint_url=None)[1])
        cluster_id = self.cluster().cluster_id()
        self.archive_id = open_or_create(self.store, self.layout, cluster_id=cluster_id, now_ms=1).archive_id

    def cluster(self, **properties: Any) -> Cluster:
        return Cluster(ClusterAddress(self.kafka.bootstrap(), properties))

    def run(self, *words: str) -> int:
        self.code = main([*words, "--archive", self.url])
        self.out, self.err = self._capsys.readouterr()
        return self.code

    def json(self, *words: str) -> Any:
        self.run(*words, "--json")
        return json.loads(self.out)

    def ask(self, *words: str) -> Any:
        """A verb that talks to the cluster."""
        return self.json(*words, "--brokers", self.kafka.bootstrap())

    def objects(self, folder: str) -> list[str]:
        listed = self.store.list(self.layout.under(folder))
        return [entry.key for entry in listed if isinstance(entry, ObjectInfo)]

    def groups(self, key: str) -> dict[str, Any]:
        """A snapshot by group, as any Avro reader has it."""
        return {record["group_id"]: record for record in fastavro.reader(io.BytesIO(read(self.store, key)))}  # type: ignore[index,call-overload,misc]


@pytest.fixture
def place(tmp_path: Any, cluster_of_groups: KafkaCluster, capsys: pytest.CaptureFixture[str]) -> Place:
    (tmp_path / "archive").mkdir()
    return Place(f"file://{tmp_path}/archive", cluster_of_groups, capsys)


def make_topic(kafka: KafkaCluster, topic: str, partitions: int = 1, **config: str) -> None:
    own = {name.replace("_", "."): value for name, value in config.items()}
    new = NewTopic(topic, num_partitions=partitions, config=own)
    client = AdminClient(kafka.client())  # its futures end with it
    client.create_topics([new])[topic].result()
    wait_until(lambda: topic in Cluster(ClusterAddress(kafka.bootstrap())).topic_names(), f"{topic} is there")


def fill(kafka: KafkaCluster, topic: str, partition: int, count: int) -> None:
    producer = Producer(kafka.client())
    for _ in range(count):
        producer.produce(topic, b"x", partition=partition)
    producer.flush()


def offsets(group: dict[str, Any], topic: str) -> dict[int, tuple[int, int, str, int, bool]]:
    (found,) = [entry for entry in group["topics"] if entry["topic"] == topic]
    return {
        entry["partition"]: tuple(entry[name] for name in ("offset", "leader_epoch", "metadata", "log_end", "pending"))  # type: ignore[misc]
        for entry in found["partitions"]
    }


# -- groups


def test_groups_of_every_kind_are_kept_with_all_that_they_committed(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    kafka, bootstrap = cluster_of_groups, cluster_of_groups.bootstrap()
    topic, empty = unique_name("t"), unique_name("empty")
    make_topic(kafka, topic, 3)
    make_topic(kafka, empty, 2)
    for partition in (0, 1):
        fill(kafka, topic, partition, 10)
    simple, classic, modern, idle, shared, worker = map(unique_name, ("simple", "classic", "new", "idle", "sh", "wo"))
    text = "größe " * 500
    commit(bootstrap, simple, TopicPartition(topic, 0, 3, text), TopicPartition(empty, 1, 0))
    commit(bootstrap, f"millpond-{place.archive_id}", TopicPartition(topic, 0, 1))
    with ExitStack() as alive:
        one = alive.enter_context(member(bootstrap, classic, topic))
        one.commit(offsets=[TopicPartition(topic, 1, 7, "", 0)], asynchronous=False)
        two = alive.enter_context(member(bootstrap, modern, topic, group_protocol="consumer"))
        two.commit(offsets=[TopicPartition(topic, 0, 10)], asynchronous=False)
        alive.enter_context(member(bootstrap, idle, topic))
        alive.enter_context(share_group(bootstrap, shared, topic))
        alive.enter_context(worker_group(bootstrap, worker))
        before = now_ms()
        told = place.ask("groups", "snapshot")
    (key,) = place.objects("groups")
    found = place.groups(key)
    assert place.code == 0 and told["failed"] == [] and told["key"] == key and told["groups"] == len(found) == 6
    facts = {name: (g["type"], g["state"], g["protocol"], g["members"]) for name, g in found.items()}
    assert facts == {
        simple: ("classic", "Empty", "", 0),
        classic: ("classic", "Stable", "range", 1),
        modern: ("consumer", "Stable", "uniform", 1),
        idle: ("classic", "Stable", "range", 1),
        shared: ("share", "", "", 0),
        worker: ("classic", "CompletingRebalance", "", 1),
    }
    assert offsets(found[simple], topic) == {0: (3, -1, text, 10, False)}
    assert offsets(found[simple], empty) == {1: (0, -1, "", 0, False)}
    assert offsets(found[classic], topic) == {1: (7, 0, "", 10, False)}
    assert offsets(found[modern], topic)[0][0] == 10
    assert [found[name]["topics"] for name in (idle, shared, worker)] == [[], [], []]
    assert {entry["topic_id"] for entry in found[simple]["topics"]} == {
        topic_id_of(bootstrap, topic),
        topic_id_of(bootstrap, empty),
    }
    (at,) = {record["at"] for record in found.values()}
    assert before <= at <= now_ms() and key.endswith(f"/{at}.avro")


def test_an_offset_in_a_transaction_is_the_older_one_and_marked_until_it_is_stable(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    kafka, topic, group = cluster_of_groups, unique_name("t"), unique_name("tx")
    make_topic(kafka, topic, 2)
    fill(kafka, topic, 0, 10)
    commit(kafka.bootstrap(), group, TopicPartition(topic, 0, 1, "old"), TopicPartition(topic, 1, 0))
    producer = Producer({**kafka.client(), "transactional.id": unique_name("x")})
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"y", partition=0)
    consumer = Consumer({**kafka.client(), "group.id": group})
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 5)], consumer.consumer_group_metadata())
    choice = GroupChoice.of("a", [group])
    pending = take(place.cluster(), choice, archive_id="a", now_ms=now_ms, patience_s=0.3)
    assert [(p.offset, p.metadata, p.pending, p.log_end) for p in pending.groups[0].topics[0].partitions] == [
        (1, "old", True, 10),
        (0, "", False, 0),
    ]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, place.cluster(), choice, archive_id="a", now_ms=now_ms, patience_s=20)
        time.sleep(0.5)
        assert not waiting.done()
        producer.commit_transaction()
        stable = waiting.result(20)
    assert [(p.offset, p.pending) for p in stable.groups[0].topics[0].partitions] == [(5, False), (0, False)]
    consumer.close()


def test_commits_to_a_topic_that_is_gone_are_kept_without_an_id(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    """The broker forgets the commits with the topic; a live consumer may write them again."""
    topic, group = unique_name("t"), unique_name("g")
    make_topic(cluster_of_groups, topic)
    cluster = place.cluster()

    class Gone(Cluster):
        def describe(self, topics: Any, *, refused: set[str] | None = None) -> Any:
            return {}

    commit(cluster_of_groups.bootstrap(), group, TopicPartition(topic, 0, 4))
    gone = Gone(ClusterAddress(cluster_of_groups.bootstrap()))
    for asked, expected in ((cluster, topic_id_of(cluster_of_groups.bootstrap(), topic)), (gone, "")):
        snapshot = take(asked, GroupChoice.of("a", [group]), archive_id="a", now_ms=now_ms)
        assert [(t.topic_id, t.partitions[0].offset) for t in snapshot.groups[0].topics] == [(expected, 4)]


def test_history_is_kept_shown_by_time_and_never_emptied(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    topic, group = unique_name("t"), unique_name("g")
    make_topic(cluster_of_groups, topic)
    bootstrap = cluster_of_groups.bootstrap()
    fill(cluster_of_groups, topic, 0, 5)
    made = []
    for offset in (2, 4):
        commit(bootstrap, group, TopicPartition(topic, 0, offset))
        made.append(place.ask("groups", "snapshot", "--groups", f"{group},nothing.*"))
    client = AdminClient(cluster_of_groups.client())
    client.delete_consumer_groups([group])[group].result()
    refused = place.ask("groups", "snapshot", "--groups", f"{group},nothing.*")
    assert place.code == 4 and "not kept: no group was read, the snapshot before holds 1" in refused["error"]
    assert place.objects("groups") == [snapshot["key"] for snapshot in made]
    listed = place.json("groups", "list")["snapshots"]
    assert [(entry["at"], entry["groups"], entry["offsets"]) for entry in listed] == [
        (snapshot["at"], 1, 1) for snapshot in reversed(made)
    ]
    assert len(place.json("groups", "list", "--limit", "1")["snapshots"]) == 1
    for flags, offset in ((["--at", str(made[0]["at"])], 2), (["--at", str(made[1]["at"] + 1)], 4), ([], 4)):
        shown = place.json("groups", "show", *flags)
        assert shown["groups"][0]["topics"][0]["partitions"][0]["offset"] == offset
    assert place.run("groups", "show", "--offsets") == 0 and f"  {topic}-0: 4 of 5" in place.out
    assert f"{group} (classic, Empty, 0 members): 1 partitions, 1 behind" in place.out
    assert place.run("groups", "show", "--at", "2020-01-01T00:00:00Z") == 2 and "of that time" in place.err


def test_groups_are_chosen_by_name(place: Place, cluster_of_groups: KafkaCluster, unique_name: Name) -> None:
    topic, base = unique_name("t"), unique_name("g")
    make_topic(cluster_of_groups, topic)
    for name in (base, f"{base}-dlq", f"{base}-x"):
        commit(cluster_of_groups.bootstrap(), name, TopicPartition(topic, 0, 0))
    told = place.ask("groups", "snapshot", "--groups", f"{base}.*", "--exclude-groups", ".*-x")
    assert set(place.groups(told["key"])) == {base, f"{base}-dlq"}


def test_many_groups_are_asked_side_by_side_and_no_longer_than_allowed(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    topic, base = unique_name("t"), unique_name("g")
    make_topic(cluster_of_groups, topic)
    for number in range(40):
        commit(cluster_of_groups.bootstrap(), f"{base}-{number}", TopicPartition(topic, 0, number))
    choice = GroupChoice.of("a", [f"{base}.*"])
    snapshot = take(place.cluster(), choice, archive_id="a", now_ms=now_ms)
    assert {group.group_id: group.topics[0].partitions[0].offset for group in snapshot.groups} == {
        f"{base}-{number}": number for number in range(40)
    }
    late = take(place.cluster(), choice, archive_id="a", now_ms=now_ms, within_s=0)
    assert not late.groups and list(late.by_code()) == ["40 _TIMED_OUT"]


def test_the_snapshots_of_another_cluster_are_refused(
    place: Place, kafka: KafkaCluster, cluster_of_groups: KafkaCluster
) -> None:
    for words in (("groups", "snapshot"), ("cluster", "snapshot")):
        assert place.run(*words, "--brokers", kafka.bootstrap()) == 4 and "holds cluster" in place.err
    assert place.objects("groups") == place.objects("cluster") == []


def test_without_an_archive_there_is_a_hint(place: Place, tmp_path: Any) -> None:
    place.url = f"file://{tmp_path}"
    assert place.run("groups", "snapshot", "--brokers", place.kafka.bootstrap()) == 2
    assert "`millpond backup` makes one" in place.err


# -- the cluster


def test_a_cluster_is_kept_with_topics_settings_brokers_and_what_is_not_backed_up(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    kafka, covered, other = cluster_of_groups, unique_name("covered"), unique_name("other")
    make_topic(kafka, covered, 3, cleanup_policy="compact", retention_ms="-1")
    make_topic(kafka, other)
    commit(kafka.bootstrap(), unique_name("g"), TopicPartition(other, 0, 0))  # makes __consumer_offsets
    change = ConfigEntry("log.cleaner.threads", "2", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[change])
    client = AdminClient(kafka.client())
    client.incremental_alter_configs([resource])[resource].result()
    set_for_all_brokers(kafka.bootstrap(), "message.max.bytes", "2000000")
    flags = ("cluster", "snapshot", "--topics", f"{covered}.*")
    wait_until(lambda: "2000000" in str(metadata.broker_settings(place.cluster(), [1])), "the setting is known")
    told = place.ask(*flags)
    document = json.loads(read(place.store, told["key"]))
    topics = {topic["topic"]: topic for topic in document["topics"]}
    assert topics[covered] == {
        "topic": covered,
        "topic_id": topic_id_of(kafka.bootstrap(), covered),
        "partitions": 3,
        "replication": 1,
        "config": {"cleanup.policy": "compact", "retention.ms": "-1"},
        "selected": True,
    }
    assert topics[other]["selected"] is False and other in told["not_selected"]
    assert not any(name.startswith("__") for name in topics)
    (broker,) = document["brokers"]
    assert (broker["id"], broker["rack"], broker["dynamic"]) == (1, "rack-7", {"log.cleaner.threads": "2"})
    assert broker["static"]["broker.rack"] == "rack-7" and document["broker_defaults"]["message.max.bytes"] == "2000000"
    assert document["cluster_id"] == place.cluster().cluster_id() and document["scram_users"] == []
    assert (
        document["failed"] == [{"part": "acls", "code": "SECURITY_DISABLED"}] and "quotas" in document["not_readable"]
    )
    assert place.code == 0 and "acls" not in document

    again = place.ask(*flags)
    assert not again["written"] and again["key"] == told["key"] and len(place.objects("cluster")) == 1
    place.cluster().set_topic_config(other, {"retention.ms": "1000"})
    wait_until(lambda: place.ask(*flags)["written"], "the change is kept")
    assert len(place.objects("cluster")) == 2


def allow(kafka: KafkaCluster, user: str, *rights: tuple[ResourceType, str, AclOperation]) -> None:
    allowed, literal = AclPermissionType.ALLOW, ResourcePatternType.LITERAL
    entries = [AclBinding(kind, name, literal, f"User:{user}", "*", right, allowed) for kind, name, right in rights]
    client = AdminClient(kafka.client())
    for done in client.create_acls(entries).values():
        done.result()


def test_parts_that_the_user_may_not_read_are_named_and_the_rest_is_kept(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Any
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    for topic in ("seen", "closed", "hidden"):
        make_topic(kafka, topic)
    for group in ("mine", "theirs"):
        commit(kafka.bootstrap(), group, TopicPartition("seen", 0, 0))
    kafka.create_user("alice", "secret")
    archive = open_store(f"file://{tmp_path}", endpoint_url=None)[0]
    config = {name: str(text) for name, text in kafka.client("SASL_SSL", user="alice", password="secret").items()}
    alice = Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), config))
    topic, group, describe = ResourceType.TOPIC, ResourceType.GROUP, AclOperation.DESCRIBE
    allow(
        kafka,
        "alice",
        (topic, "seen", describe),
        (topic, "seen", AclOperation.DESCRIBE_CONFIGS),
        (topic, "closed", describe),
        (group, "mine", describe),
    )

    def documents() -> tuple[Any, dict[str, Any]]:
        found = take(alice, GroupChoice.of("a"), archive_id="a", now_ms=now_ms)
        return found, metadata_of(alice)

    wait_until(lambda: set(alice.topic_names()) == {"seen", "closed"}, "the rights are known")
    found, document = documents()
    assert [g.group_id for g in found.groups] == ["mine"]
    assert [(f.part, f.code) for f in found.failed] == [("listing", "CLUSTER_AUTHORIZATION_FAILED")]
    assert [t["topic"] for t in document["topics"]] == ["seen"]
    assert document["failed"] == [
        {"part": "topic", "code": "TOPIC_AUTHORIZATION_FAILED", "name": "closed"},
        {"part": "broker_config", "code": "CLUSTER_AUTHORIZATION_FAILED", "name": "1"},
        {"part": "acls", "code": "CLUSTER_AUTHORIZATION_FAILED"},
        {"part": "scram_users", "code": "CLUSTER_AUTHORIZATION_FAILED"},
    ]
    assert not {"acls", "scram_users", "broker_defaults"} & document.keys()
    assert document["brokers"] == [{"id": 1, "rack": None}]

    cluster = (ResourceType.BROKER, "kafka-cluster", describe)
    allow(kafka, "alice", cluster, (*cluster[:2], AclOperation.DESCRIBE_CONFIGS))
    wait_until(lambda: metadata.describe_cluster(alice).may_describe, "the rights are known")
    found, document = documents()
    assert [g.group_id for g in found.groups] == ["mine"]
    assert {(f.part, f.code, f.group) for f in found.failed} == {
        ("description", "GROUP_AUTHORIZATION_FAILED", "theirs"),
        ("offsets", "GROUP_AUTHORIZATION_FAILED", "theirs"),
    }
    assert document["failed"] == [{"part": "topic", "code": "TOPIC_AUTHORIZATION_FAILED", "name": "closed"}]
    assert document["scram_users"] == [{"user": "alice", "mechanism": "SCRAM-SHA-512", "iterations": 4096}]
    entries = {(acl["resource_type"], acl["resource_name"], acl["operation"]) for acl in document["acls"]}
    assert len(document["acls"]) == 6 and ("CLUSTER", "kafka-cluster", "DESCRIBE") in entries
    assert {acl["principal"] for acl in document["acls"]} == {"User:alice"}
    (broker,) = document["brokers"]
    assert broker["static"]["super.users"] is None, "brokers do not give away secrets"
    assert list(archive.list("")) == []


def metadata_of(cluster: Cluster) -> dict[str, Any]:
    from millpond.cluster.whole import take_whole

    return json.loads(json.dumps(take_whole(cluster, None, now_ms=1).document()))  # type: ignore[no-any-return]


# -- on a schedule, and beside a backup


def test_the_function_keeps_what_its_schedule_says(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, group = unique_name("t"), unique_name("g")
    make_topic(cluster_of_groups, topic)
    commit(cluster_of_groups.bootstrap(), group, TopicPartition(topic, 0, 0))
    told = {"ARCHIVE": place.url, "BROKERS": place.kafka.bootstrap(), "TOPICS": f"{topic},x", "GROUPS": f"{group}.*"}
    for name, content in told.items():
        monkeypatch.setenv(f"MILLPOND_{name}", content)
    context: Any = SimpleNamespace(aws_request_id="r-1")
    taken = handler({"take": ["groups"]}, context)
    assert list(taken) == ["groups"] and place.objects("cluster") == []
    assert set(place.groups(taken["groups"]["key"])) == {group}  # type: ignore[index]
    whole: Any = handler({}, context)
    assert whole["cluster"]["written"] and whole["cluster"]["failed"][0]["code"] == "SECURITY_DISABLED"
    assert len(place.objects("groups")) == 2 and len(place.objects("cluster")) == 1
    assert len(json.dumps(whole)) < 2000


def watch(cluster: Cluster, store: MemoryStore, pool: ThreadPoolExecutor, every_s: float = 30) -> SnapshotWatch:
    chosen = Selection.of([".*"])
    return SnapshotWatch(store, LAYOUT, cluster, pool, archive_id="a", selection=chosen, every_s=every_s)


def test_the_elected_worker_takes_both_at_the_start_and_again_when_it_is_time(
    place: Place, cluster_of_groups: KafkaCluster, unique_name: Name
) -> None:
    topic = unique_name("t")
    make_topic(cluster_of_groups, topic)
    commit(cluster_of_groups.bootstrap(), unique_name("g"), TopicPartition(topic, 0, 0))
    store = MemoryStore()

    def count(folder: str) -> int:
        return sum(1 for _ in store.list(LAYOUT.under(folder)))

    started_ms = now_ms()
    with ThreadPoolExecutor(2) as pool:
        other, never, mine = (watch(place.cluster(), store, pool, every) for every in (30, 0, 30))
        for _ in range(3):
            other.tick(1000, False)
            never.tick(1000, True)
        mine.tick(1000, True)
        wait_until(lambda: mine.tick(1000, True) or (count("groups/") == 1 and count("cluster/") == 1), "both are kept")
        wait_until(lambda: mine.tick(1031, True) or count("groups/") == 2, "the next is kept")
        wait_until(lambda: mine.tick(1060, True) or mine.newest_ms()["groups"] > started_ms, "it is told")
        assert mine.newest_ms()["cluster"] >= started_ms
        assert never.newest_ms() == {} == other.newest_ms(), "who takes none has no age of one"
    assert count("groups/") == 2 and count("cluster/") == 1, "nothing has changed in the cluster"


def test_brokers_that_do_not_answer_are_logged_and_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (admin, groups, metadata):
        monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    (port,) = free_ports(1)
    with ThreadPoolExecutor(2) as pool, caplog.at_level(logging.WARNING):
        mine = watch(Cluster(ClusterAddress(f"127.0.0.1:{port}")), MemoryStore(), pool)
        mine.tick(1000, True)
        first_ms = mine.newest_ms()
        wait_until(lambda: mine.tick(1000, True) or len(failures(caplog)) == 2, "both failed")
        mine.tick(1031, True)
        wait_until(lambda: mine.tick(1031, True) or len(failures(caplog)) == 4, "both failed again")
        assert mine.newest_ms() == first_ms, "its age counts from the first try"
        problems = mine.finish(threading.Event(), 5)
    assert set(problems) == {"groups", "cluster"} and all(problems.values())


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    return [text for level, text in said if level == "ERROR" and text.startswith("the snapshot of ")]


def test_a_snapshot_that_does_not_end_is_waited_for_only_so_long(place: Place) -> None:
    class Stuck(ThreadPoolExecutor):
        def submit(self, *_: Any, **__: Any) -> Any:
            return Future()

    with Stuck(1) as pool:
        mine = watch(place.cluster(), MemoryStore(), pool)
        mine.tick(1000, True)
        assert mine.finish(threading.Event(), 0.2) == dict.fromkeys(("groups", "cluster"), "it did not end in time")
