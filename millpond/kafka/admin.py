"""The questions asked of a cluster and the few changes made to it."""

from __future__ import annotations

import base64
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
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
from millpond.kafka.coordinators import Asked, Coordinators
from millpond.kafka.failures import explained, explaining, offset_answer, passes_by_itself, patiently, tells_why
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


@dataclass(frozen=True, slots=True)
class LogEnd:
    """Where a partition's log ends.

    Attributes:
        offset: The high watermark.
        epoch: Leader epoch of the end, -1 if unknown. It rises with every election, also before anything is written.
    """

    offset: int
    epoch: int


class Cluster:
    """One cluster, asked through one client, and about groups through others.

    Every call may raise `TryAgain`, `WrongUsage` or `MillpondError`.
    """

    def __init__(self, address: ClusterAddress) -> None:
        self.address = address
        self._client = self._new_client()
        self._coordinators = Coordinators(self._new_client, TIMEOUT_S)
        self._refusal: KafkaError | None = None

    def _new_client(self) -> AdminClient:
        settings: dict[str, Any] = {**self.address.admin_settings(), "error_cb": self._on_error}
        return AdminClient(settings)

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

    @property
    def client(self) -> AdminClient:
        """For the questions of the modules beside this one; they ask inside `explaining`."""
        return self._client

    def coordinators(self) -> AbstractContextManager[Asked]:
        """For the questions about groups, which are asked inside `explaining`, too."""
        return self._coordinators.asked()

    def explaining(self, attempt: str) -> AbstractContextManager[None]:
        """Turns what the client raises inside the block into errors that name the attempt and say what to do next."""
        return self._explaining(attempt)

    def cluster_id(self) -> str:
        def ask() -> str:
            return str(self._client.describe_cluster(request_timeout=TIMEOUT_S).result().cluster_id)

        with self._explaining("cannot describe the cluster"):
            return patiently(ask, within_s=TIMEOUT_S)

    def topic_names(self) -> list[str]:
        def ask() -> list[str]:
            return sorted(self._client.list_topics(timeout=TIMEOUT_S).topics)

        with self._explaining("cannot list topics"):
            return patiently(ask, within_s=TIMEOUT_S)

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        """Those of the topics that exist, asked in one call.

        Args:
            refused: Collects those that the user may not describe; without it they are an error.
        """
        names = sorted(set(topics))
        if not names:
            return {}

        def ask() -> dict[str, Any]:
            futures = self._client.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
            if refused is not None:
                refused.update(name for name, future in futures.items() if _is_refused(future))
                futures = {name: future for name, future in futures.items() if name not in refused}
            return {name: _unless((KafkaError.UNKNOWN_TOPIC_OR_PART,), future) for name, future in futures.items()}

        with self._explaining("cannot describe topics"):
            found = patiently(ask, within_s=TIMEOUT_S)
        return {name: _description(answer) for name, answer in found.items() if answer is not None}

    # `of_some`: partitions without a leader, and those that are gone, are left out as long as any has one.

    def log_starts(self, places: Iterable[Place], *, of_some: bool = False) -> dict[Place, int]:
        """First offset that each partition still holds."""
        return self._offsets(places, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED, of_some=of_some)

    def ends(self, places: Iterable[Place], *, committed: bool = False, of_some: bool = False) -> dict[Place, int]:
        """Each partition's high watermark or, with `committed`, its last stable offset: how far read_committed goes."""
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(places, OffsetSpec.latest(), isolation, of_some=of_some)

    def _offsets(
        self, places: Iterable[Place], spec: OffsetSpec, isolation: IsolationLevel, *, of_some: bool
    ) -> dict[Place, int]:
        found = self._list_offsets(dict.fromkeys(places, spec), isolation, of_some=of_some)
        return {place: info.offset for place, info in found.items()}

    def _list_offsets(
        self, specs: Mapping[Place, OffsetSpec], isolation: IsolationLevel, *, of_some: bool = False
    ) -> dict[Place, Any]:
        asked = {TopicPartition(*place): spec for place, spec in specs.items()}
        if not asked:
            return {}

        def ask() -> dict[Place, Any]:
            futures = self._client.list_offsets(asked, isolation_level=isolation, request_timeout=TIMEOUT_S)
            there = {place: future for place, future in futures.items() if not (of_some and passes_by_itself(future))}
            return {(place.topic, place.partition): offset_answer(one) for place, one in (there or futures).items()}

        with self._explaining("cannot list offsets"):
            return patiently(ask, within_s=TIMEOUT_S)

    def log_ends(self, places: Iterable[Place]) -> dict[Place, LogEnd]:
        """High watermark and leader epoch of the ends of partitions that have a leader.

        Raises:
            TryAgain: None has.
        """
        latest, isolation = OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED
        found = self._list_offsets(dict.fromkeys(places, latest), isolation, of_some=True)
        epochs = {place: -1 if info.leader_epoch is None else info.leader_epoch for place, info in found.items()}
        return {place: LogEnd(info.offset, epochs[place]) for place, info in found.items()}

    def offsets_at(self, times: Mapping[Place, int]) -> dict[Place, int]:
        """The first offset of each partition with this timestamp (epoch ms) or a later one, -1 where there is none."""
        specs = {place: OffsetSpec.for_timestamp(at) for place, at in times.items()}
        found = self._list_offsets(specs, IsolationLevel.READ_UNCOMMITTED)
        return {place: info.offset for place, info in found.items()}

    def settings_of(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """All settings that count for each topic, inherited ones too. Topics that may not be described are left out."""
        resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in sorted(set(topics))]
        if not resources:
            return {}
        absent = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)
        with self._explaining("cannot read the settings of topics"):
            futures = self._client.describe_configs(resources, request_timeout=TIMEOUT_S)
            found = {resource.name: _unless(absent, future) for resource, future in futures.items()}
        return {
            topic: {name: entry.value for name, entry in entries.items() if entry.value is not None}
            for topic, entries in found.items()
            if entries is not None
        }

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
            answer = patiently(lambda: self._group_offsets(group_id), within_s=TIMEOUT_S)
        entries = answer.topic_partitions if answer else []
        return {
            (entry.topic, entry.partition): Commit(entry.offset, entry.metadata or "")
            for entry in entries
            if entry.offset >= 0
        }

    def _group_offsets(self, group_id: str) -> Any:
        gone = (KafkaError.GROUP_ID_NOT_FOUND,)
        with self.coordinators() as asked:
            if _unless(gone, asked.describe([group_id])[group_id]) is None:
                return None
            return _unless(gone, asked.offsets(group_id))


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


def _is_refused(future: Future[Any]) -> bool:
    error = future.exception()
    return isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def _unless(codes: Collection[int], future: Future[Any]) -> Any:
    """The future's result, or None where it failed with one of these codes."""
    try:
        return future.result()
    except KafkaException as failure:
        if failure.args[0].code() in codes:
            return None
        raise
