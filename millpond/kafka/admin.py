"""The questions asked of a cluster and the few changes made to it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from millpond.errors import MillpondError, TryAgain
from millpond.kafka.failures import explained, explaining, patiently, tells_why
from millpond.kafka.places import Place
from millpond.kafka.settings import ClusterAddress

TIMEOUT_S = 15
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the cluster has it now.

    Attributes:
        topic_id: 22 URL-safe base64 characters. Kafka's tools print ids so; its Python client uses '+' and '/'.
        partitions: How many.
        replication: Replicas of the first partition.
    """

    name: str
    topic_id: str
    partitions: int
    replication: int
    internal: bool


@dataclass(frozen=True, slots=True)
class Commit:
    """What a consumer group has committed of one partition."""

    offset: int
    metadata: str


class Cluster:
    """One cluster, asked through one client. Every call may raise `TryAgain`, `WrongUsage` or `MillpondError`."""

    def __init__(self, address: ClusterAddress) -> None:
        self.address = address
        settings: dict[str, Any] = {**address.admin_settings(), "error_cb": self._on_error}
        self._client = AdminClient(settings)
        self._refusal: KafkaError | None = None

    def _on_error(self, error: KafkaError) -> None:
        if tells_why(error):
            self._refusal = error

    @contextmanager
    def _explaining(self, attempt: str) -> Iterator[None]:
        """As `explaining`. Where brokers refuse all connections, calls just time out, and the client says why aside."""
        self._refusal = None
        try:
            with explaining(attempt, self.address.brokers):
                yield
        except TryAgain as failure:
            self._client.poll(0)
            if self._refusal is None:
                raise
            raise explained(self._refusal, attempt, self.address.brokers) from failure

    def cluster_id(self) -> str:
        with self._explaining("cannot describe the cluster"):
            found: str = self._client.describe_cluster(request_timeout=TIMEOUT_S).result().cluster_id
            return found

    def topic_names(self) -> list[str]:
        with self._explaining("cannot list topics"):
            return sorted(self._client.list_topics(timeout=TIMEOUT_S).topics)

    def describe(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of the topics that exist, asked in one call."""
        names = sorted(set(topics))
        if not names:
            return {}
        with self._explaining("cannot describe topics"):
            futures = self._client.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
            found = {name: _unless(KafkaError.UNKNOWN_TOPIC_OR_PART, future) for name, future in futures.items()}
        return {name: _description(answer) for name, answer in found.items() if answer is not None}

    def log_starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """First offset that each partition still holds."""
        return self._offsets(places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)

    def ends(self, places: Iterable[Place], *, committed: bool = False) -> dict[Place, int]:
        """Each partition's high watermark or, with `committed`, its last stable offset: how far read_committed goes."""
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(places, OffsetSpec.latest(), isolation)

    def _offsets(self, places: Iterable[Place], spec: OffsetSpec, isolation: IsolationLevel) -> dict[Place, int]:
        asked = {TopicPartition(topic, partition): spec for topic, partition in places}
        if not asked:
            return {}

        def ask() -> dict[Place, int]:
            futures = self._client.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT_S)
            return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}

        with self._explaining("cannot list offsets"):
            return patiently(ask, within_s=TIMEOUT_S)

    def topic_config(self, topic: str) -> dict[str, str]:
        """The settings made on the topic itself; not what it inherits."""
        with self._explaining(f"cannot read the settings of {topic}"):
            resource = ConfigResource(ResourceType.TOPIC, topic)
            (future,) = self._client.describe_configs([resource], request_timeout=TIMEOUT_S).values()
            entries: Mapping[str, Any] = future.result()
        own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return {name: entry.value for name, entry in entries.items() if entry.source == own and entry.value is not None}

    def create_topic(self, topic: str, partitions: int, config: Mapping[str, str], *, replication: int = -1) -> None:
        """Makes a topic; -1 replicas are the broker's default. `MillpondError` where it is there already."""
        with self._explaining(f"cannot create topic {topic}"):
            new = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=dict(config))
            self._client.create_topics([new], request_timeout=TIMEOUT_S)[topic].result()

    def wait_for(self, topic: str) -> TopicDescription:
        """A topic that was just made: brokers learn of it a little later."""
        deadline = time.monotonic() + TIMEOUT_S
        while topic not in (found := self.describe([topic])):
            if time.monotonic() > deadline:
                raise TryAgain(f"topic {topic} was made, but the brokers do not show it after {TIMEOUT_S} s")
            time.sleep(0.1)
        return found[topic]

    def set_topic_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Sets these and leaves the others as they are."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()
        ]
        with self._explaining(f"cannot change the settings of {topic}"):
            resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
            self._client.incremental_alter_configs([resource], request_timeout=TIMEOUT_S)[resource].result()

    def group_commits(self, group_id: str) -> dict[Place, Commit]:
        """Each offset that the group has committed; empty for a group that is not there."""
        with self._explaining(f"cannot read the offsets of group {group_id}"):
            request = [ConsumerGroupTopicPartitions(group_id)]
            future = self._client.list_consumer_group_offsets(request, request_timeout=TIMEOUT_S)[group_id]
            answer = _unless(KafkaError.GROUP_ID_NOT_FOUND, future)
        entries = answer.topic_partitions if answer else []
        return {
            (entry.topic, entry.partition): Commit(entry.offset, entry.metadata or "")
            for entry in entries
            if entry.offset >= 0
        }


def _description(answer: Any) -> TopicDescription:
    topic_id = url_safe(str(answer.topic_id))
    if topic_id == NO_ID:
        raise MillpondError(
            f"the brokers gave topic {answer.name} no id", hint="topic ids need Apache Kafka 2.8 or newer brokers"
        )
    partitions = answer.partitions
    return TopicDescription(
        answer.name, topic_id, len(partitions), len(partitions[0].replicas), bool(answer.is_internal)
    )


def url_safe(topic_id: str) -> str:
    """A topic id as Kafka's own tools print it: base64 with '-' and '_', no padding."""
    padded = topic_id + "=" * (-len(topic_id) % 4)
    return base64.urlsafe_b64encode(base64.b64decode(padded, altchars=b"+/")).decode().rstrip("=")


def _unless(code: int, future: Future[Any]) -> Any:
    """The future's result, or None where it failed with that code."""
    try:
        return future.result()
    except KafkaException as failure:
        if failure.args[0].code() == code:
            return None
        raise
