"""Consumer groups of every kind on a real broker, and requests that the client's library has no call for."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient

from local.processes import wait_until

_SHARE_GROUP_HEARTBEAT, _JOIN_GROUP, _INCREMENTAL_ALTER_CONFIGS = 76, 11, 44
_ALTER_CLIENT_QUOTAS, _PRODUCE = 49, 0
_BROKER, _SET = 4, 0


def commit(bootstrap: str, group: str, *positions: TopicPartition) -> None:
    """Commits as nobody's member: the group stays empty."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=list(positions), asynchronous=False)
    consumer.close()


@contextmanager
def member(bootstrap: str, group: str, topic: str, **settings: Any) -> Iterator[Consumer]:
    """An active member that owns all partitions of the topic; it commits nothing by itself."""
    more = {name.replace("_", "."): value for name, value in settings.items()}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, **more})
    consumer.subscribe([topic])
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def settled() -> bool:
        consumer.poll(0.1)
        return bool(consumer.assignment()) and _state(admin, group) == ConsumerGroupState.STABLE

    try:
        wait_until(settled, f"{group} has its partitions")
        yield consumer
    finally:
        consumer.close()


def _state(admin: AdminClient, group: str) -> ConsumerGroupState:
    state: ConsumerGroupState = admin.describe_consumer_groups([group])[group].result(60).state
    return state


@contextmanager
def share_group(bootstrap: str, group: str, topic: str) -> Iterator[None]:
    """A share group (KIP-932) with one member, which the client's library cannot be."""
    body = compact(group) + compact("A" * 22) + struct.pack(">i", 0) + b"\0" + b"\2" + compact(topic) + b"\0"
    with asked(bootstrap, _SHARE_GROUP_HEARTBEAT, 1, b"\0" + body) as answer:
        assert answer[9:11] == b"\0\0", f"the broker refuses share groups: {answer!r}"
        yield


@contextmanager
def worker_group(bootstrap: str, group: str) -> Iterator[None]:
    """A group of Connect workers: a classic group of another type of protocol, which has no offsets."""
    timeouts = struct.pack(">ii", 30_000, 30_000)
    protocols = struct.pack(">i", 1) + _text("sessioned") + struct.pack(">i", 1) + b"x"
    body = _text(group) + timeouts + _text("") + _text("connect") + protocols
    with asked(bootstrap, _JOIN_GROUP, 2, body) as answer:
        assert answer[8:10] == b"\0\0", f"the broker refuses the worker: {answer!r}"
        yield


def set_for_all_brokers(bootstrap: str, name: str, content: str) -> None:
    """A broker setting for the whole cluster, which lasts until it is set again."""
    change = struct.pack(">i", 1) + _text(name) + bytes([_SET]) + _text(content)
    body = struct.pack(">ib", 1, _BROKER) + _text("") + change + b"\0"
    with asked(bootstrap, _INCREMENTAL_ALTER_CONFIGS, 0, body) as answer:
        assert answer[12:14] == b"\0\0", f"the broker refuses the setting: {answer!r}"


def limit_client(bootstrap: str, quota: str, limit: float | None) -> None:
    """A default quota for all users, such as consumer_byte_rate in bytes a second; None takes it away."""
    entity = struct.pack(">i", 1) + _text("user") + struct.pack(">h", -1)
    change = struct.pack(">i", 1) + _text(quota) + struct.pack(">d?", limit or 0, limit is None)
    body = struct.pack(">i", 1) + entity + change + b"\0"
    with asked(bootstrap, _ALTER_CLIENT_QUOTAS, 0, body) as answer:
        assert answer[12:14] == b"\0\0", f"the broker refuses the quota: {answer!r}"


def produce_batch(bootstrap: str, topic: str, batch: bytes, *, partition: int = 0) -> None:
    """A record batch as it is, in Kafka's own format."""
    data = struct.pack(">i", 1) + _text(topic) + struct.pack(">iii", 1, partition, len(batch)) + batch
    with asked(bootstrap, _PRODUCE, 3, struct.pack(">hhi", -1, -1, 10_000) + data) as answer:
        error = answer[4 + 4 + len(_text(topic)) + 4 + 4 :][:2]
        assert error == b"\0\0", f"the broker refuses the batch: {answer!r}"


@contextmanager
def asked(bootstrap: str, api: int, version: int, rest: bytes) -> Iterator[bytes]:
    """The answer to one request in Kafka's protocol; the connection stays open for the block."""
    host, port = bootstrap.split(":")
    message = struct.pack(">hhi", api, version, 1) + _text("test") + rest
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(struct.pack(">i", len(message)) + message)
        with connection.makefile("rb") as stream:
            yield stream.read(struct.unpack(">i", stream.read(4))[0])


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def compact(text: str) -> bytes:
    return bytes([len(text) + 1]) + text.encode()
