"""A cluster of three nodes seen from outside: who leads what, topics on chosen nodes, load that outlives brokers."""

from __future__ import annotations

import contextlib
import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic, PartitionMetadata

from local.kafka import KafkaCluster
from local.processes import wait_until
from tests import oracle
from tests.integration.kafka_requests import asked, compact

_ALTER_PARTITION_REASSIGNMENTS = 45
_QUICK = {**oracle.QUICK, "topic.metadata.refresh.interval.ms": 500, "log_level": 2}


class ThreeNodes:
    """Tells of one topic. Leaders and replicas are asked of whoever answers, so some nodes may be dead."""

    def __init__(self, kafka: KafkaCluster, topic: str) -> None:
        self.kafka, self.topic, self.bootstrap = kafka, topic, kafka.bootstrap()

    def make_topic(self, replicas: Sequence[list[int]], **config: str) -> str:
        """One partition for each list of nodes, the first of which is to lead. Returns the topic's id."""
        settings = oracle.ANY_TIME | {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(self.topic, num_partitions=len(replicas), replica_assignment=list(replicas), config=settings)
        admin = self._admin()  # its futures end with it
        admin.create_topics([new])[self.topic].result(30)
        return oracle.wait_ready(self.bootstrap, self.topic, len(replicas))

    def partition(self, number: int = 0) -> PartitionMetadata:
        return self._partitions()[number]

    def _partitions(self) -> dict[int, PartitionMetadata]:
        def ask() -> dict[int, PartitionMetadata]:
            found = self._admin().list_topics(timeout=10).topics.get(self.topic)
            if found is None or not found.partitions:  # of a node that has just come back
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            return found.partitions

        return oracle.in_the_end(ask)

    def wait_partition(self, what: str, holds: Callable[[PartitionMetadata], bool], number: int = 0) -> None:
        def look() -> bool:
            with contextlib.suppress(KafkaException):  # nobody answers for a moment
                return holds(self.partition(number))
            return False

        wait_until(look, f"{self.topic}-{number}: {what}", pause_s=0.1)

    def wait_in_sync(self) -> None:
        """Every replica of every partition is there again, so that the next node may go."""
        for number in self._partitions():
            self.wait_partition("all in sync", lambda p: p.leader > 0 and sorted(p.isrs) == sorted(p.replicas), number)

    def write(self, values: Sequence[str], *, acks: str = "all", partition: int = 0) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": acks, **_QUICK})
        refused: list[Any] = []
        for value in values:
            producer.produce(self.topic, value, partition=partition, on_delivery=lambda e, _: e and refused.append(e))
        assert producer.flush(60) == 0
        assert not refused, refused[0]

    def coordinator(self, group_id: str) -> int:
        """The node that keeps the group's commits; 0 while nobody knows."""
        admin = self._admin()
        with contextlib.suppress(KafkaException, TimeoutError):
            found = admin.describe_consumer_groups([group_id], request_timeout=5)[group_id].result(10)
            return int(found.coordinator.id) if found.coordinator else 0
        return 0

    def reassign(self, replicas: Sequence[list[int]]) -> None:
        """Moves the partitions to other nodes, and waits until they are there. The client's library cannot ask so."""
        partitions = b"".join(
            struct.pack(">ib", number, len(nodes) + 1) + b"".join(struct.pack(">i", node) for node in nodes) + b"\0"
            for number, nodes in enumerate(replicas)
        )
        topic = compact(self.topic) + bytes([len(replicas) + 1]) + partitions + b"\0"
        body = b"\0" + struct.pack(">i", 30_000) + bytes([2]) + topic + b"\0"
        first = self.bootstrap.split(",", maxsplit=1)[0]
        with asked(first, _ALTER_PARTITION_REASSIGNMENTS, 0, body) as answer:
            assert answer[9:11] == b"\0\0", f"the broker refuses: {answer!r}"
        for number, nodes in enumerate(replicas):
            self.wait_partition(f"on {nodes}", lambda p, n=nodes: sorted(p.replicas) == sorted(n), number)  # type: ignore[misc]

    @contextmanager
    def load(self, partitions: int) -> Iterator[None]:
        """Acknowledged records to each partition until the block ends: plain, committed and aborted ones."""
        stop, failed = threading.Event(), []

        def produce() -> None:
            try:
                _produce_until(stop, self.bootstrap, self.topic, partitions)
            except BaseException as error:  # noqa: BLE001  # raised again by the test
                failed.append(error)

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def _admin(self) -> AdminClient:
        """A new one: where a broker dies, one that knows it as the controller waits for it for minutes."""
        return AdminClient({"bootstrap.servers": self.bootstrap, **_QUICK})


def _produce_until(stop: threading.Event, bootstrap: str, topic: str, partitions: int) -> None:
    settings = {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, **_QUICK}
    plain = Producer({**settings, "enable.idempotence": True, "message.timeout.ms": 0})
    transactional, numbers = None, itertools.count()
    while not stop.is_set():
        batch = [(f"{next(numbers)}", number) for number in range(partitions) for _ in range(3)]
        for value, number in batch:
            plain.produce(topic, value, partition=number)
        plain.flush(1)
        try:
            transactional = transactional or _transactional(settings, topic)
            _transaction(transactional, topic, batch, commit=next(numbers) % 3 > 0)
        except KafkaException:  # its coordinator died: the next one of this id aborts what was left open
            transactional = None
        time.sleep(0.02)
    assert plain.flush(60) == 0
    _transactional(settings, topic)


def _transactional(settings: dict[str, Any], topic: str) -> Producer:
    """Nothing of an earlier producer's is open when this returns."""
    producer = Producer({**settings, "transactional.id": f"load-{topic}"})
    producer.init_transactions(60)
    return producer


def _transaction(producer: Producer, topic: str, batch: Sequence[tuple[str, int]], *, commit: bool) -> None:
    producer.begin_transaction()
    for value, number in batch:
        producer.produce(topic, f"t{value}", partition=number)
    if commit:
        producer.commit_transaction(10)
    else:
        producer.abort_transaction(10)
