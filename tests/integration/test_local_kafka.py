"""What we rely on in the local Kafka: that it is real, that it can be killed, and that it can be locked."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from local.kafka import KafkaCluster
from local.kafka_settings import OFFSETS_PARTITIONS, PLAINTEXT
from local.processes import HOST, wait_until
from millpond.errors import MillpondError, WrongUsage


def create_topic(kafka: KafkaCluster, topic: str, partitions: int = 1) -> AdminClient:
    admin = AdminClient(kafka.client())
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(30)
    # The controller answers before every broker knows the topic.
    wait_until(lambda: topic in admin.list_topics(timeout=30).topics, f"topic {topic} is known")
    return admin


def produce(settings: dict[str, object], topic: str, values: list[bytes]) -> None:
    failures: list[KafkaError] = []
    producer = Producer({**settings, "acks": "all", "message.timeout.ms": 30_000})
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0
    if failures:
        raise KafkaException(failures[0])


def consume(settings: dict[str, object], topic: str, count: int) -> list[Message]:
    consumer = Consumer({**settings, "group.id": f"{topic}-group", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[Message] = []

    def enough() -> bool:
        for message in consumer.consume(count - len(found), timeout=0.5):
            if message.error():
                raise KafkaException(message.error())
            found.append(message)
        return len(found) >= count

    try:
        wait_until(enough, f"{count} records of {topic} are read")
    finally:
        consumer.close()
    return found


def topic_id(admin: AdminClient, topic: str) -> str:
    return str(admin.describe_topics(TopicCollection([topic]))[topic].result(30).topic_id)


def test_what_is_produced_is_consumed(kafka: KafkaCluster, unique_name: Callable[[str], str]) -> None:
    topic = unique_name("round-trip")
    create_topic(kafka, topic)
    produce(kafka.client(), topic, [b"one", b"", b"three"])
    assert [(m.offset(), m.value()) for m in consume(kafka.client(), topic, 3)] == [
        (0, b"one"),
        (1, b""),
        (2, b"three"),
    ]


def test_a_topic_made_again_has_another_id(kafka: KafkaCluster, unique_name: Callable[[str], str]) -> None:
    topic = unique_name("again")
    admin = create_topic(kafka, topic)
    before = topic_id(admin, topic)
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=30).topics, "the topic is gone")
    create_topic(kafka, topic)
    assert topic_id(admin, topic) != before


def test_a_killed_broker_comes_back_with_its_records(
    kafka_factory: Callable[..., KafkaCluster], unique_name: Callable[[str], str]
) -> None:
    kafka = kafka_factory()
    topic = unique_name("kill")
    create_topic(kafka, topic)
    produce(kafka.client(), topic, [b"before"])
    kafka.kill(1)
    assert not kafka.nodes[0].running
    kafka.start_node(1)
    produce(kafka.client(), topic, [b"after"])
    assert [m.value() for m in consume(kafka.client(), topic, 2)] == [b"before", b"after"]


def test_three_nodes_survive_the_death_of_a_leader(kafka3: KafkaCluster, unique_name: Callable[[str], str]) -> None:
    topic = unique_name("leader")
    admin = create_topic(kafka3, topic)
    produce(kafka3.client(), topic, [b"before"])

    def leader() -> int:
        with suppress(KafkaException):  # nobody answers for a moment
            found = admin.list_topics(topic, timeout=10).topics[topic].partitions
            return int(found[0].leader) if found else -1
        return -1

    dead = wait_until(lambda: max(leader(), 0), "a node leads")
    kafka3.kill(dead)
    wait_until(lambda: leader() not in (dead, -1), "another node leads")
    produce(kafka3.client(), topic, [b"after"])
    assert [m.value() for m in consume(kafka3.client(), topic, 2)] == [b"before", b"after"]
    kafka3.start_node(dead)
    wait_until(lambda: len(admin.list_topics(timeout=30).brokers) == 3, "all three are there again")


def test_scram_mutual_tls_and_acls_let_in_only_whom_they_should(
    kafka_factory: Callable[..., KafkaCluster], unique_name: Callable[[str], str]
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    topic = unique_name("secure")
    admin = create_topic(kafka, topic)
    kafka.create_user("alice", "secret")
    allow(admin, ResourceType.TOPIC, topic, "User:alice", AclOperation.WRITE)
    allow(admin, ResourceType.TOPIC, topic, "User:reader", AclOperation.READ)
    allow(admin, ResourceType.GROUP, f"{topic}-group", "User:reader", AclOperation.READ)

    alice = kafka.client("SASL_SSL", user="alice", password="secret")
    produce(alice, topic, [b"by alice"])
    assert [m.value() for m in consume(kafka.client("SSL", name="reader"), topic, 1)] == [b"by alice"]
    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        produce(kafka.client("SSL", name="reader"), topic, [b"by the reader"])
    assert first_error(kafka.client("SASL_SSL", user="alice", password="wrong")) == KafkaError._AUTHENTICATION


def first_error(settings: dict[str, object]) -> int:
    """The code of the first error that a client of these settings meets."""
    errors: list[KafkaError] = []
    producer = Producer({**settings, "error_cb": errors.append, "log_level": 0})

    def seen() -> list[KafkaError]:
        producer.poll(0.1)
        return errors

    return int(wait_until(seen, "the client meets an error")[0].code())


def allow(admin: AdminClient, kind: ResourceType, name: str, principal: str, operation: AclOperation) -> None:
    binding = AclBinding(kind, name, ResourcePatternType.LITERAL, principal, "*", operation, AclPermissionType.ALLOW)
    for done in admin.create_acls([binding]).values():
        done.result(30)


def test_a_cluster_that_was_asked_for_groups_takes_commits_at_once(
    kafka_factory: Callable[..., KafkaCluster], unique_name: Callable[[str], str]
) -> None:
    kafka, topic = kafka_factory().wait_for_groups(), unique_name("t")
    create_topic(kafka, topic)
    for group in map(str, range(OFFSETS_PARTITIONS)):  # one of each coordinator
        place = TopicPartition(topic, 0, 1)
        consumer = Consumer({**kafka.client(), "group.id": group})
        consumer.commit(offsets=[place], asynchronous=False)
        assert consumer.committed([place], timeout=30)[0].offset == 1
        consumer.close()


def test_a_directory_given_is_kept_and_used_again(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_factory: Callable[..., KafkaCluster],
    unique_name: Callable[[str], str],
) -> None:
    directory, topic = tmp_path_factory.mktemp("kafka"), unique_name("kept")
    first = kafka_factory(directory=directory)
    create_topic(first, topic)
    produce(first.client(), topic, [b"kept"])
    first.stop()
    assert [m.value() for m in consume(kafka_factory(directory=directory).client(), topic, 1)] == [b"kept"]


def test_a_broker_that_cannot_start_says_why() -> None:
    cluster = KafkaCluster()
    taken = socket.create_server((HOST, cluster.nodes[0].address.ports[PLAINTEXT]))
    with taken, pytest.raises(MillpondError, match="Address already in use"):
        cluster.start()
    cluster.stop()


def test_a_cluster_of_two_is_refused() -> None:
    with pytest.raises(WrongUsage, match="1 or 3 nodes, not 2"):
        KafkaCluster(2)
