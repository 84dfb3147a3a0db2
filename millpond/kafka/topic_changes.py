"""Topics made and settings changed, or brokers only asked whether they would: they check rights and rules alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from millpond.kafka.admin import TIMEOUT_S, Cluster

NO_RIGHT = ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")


@dataclass(frozen=True, slots=True)
class Denial:
    """A broker's no.

    Attributes:
        code: Kafka's name of the error.
        text: Its own words; they may hold values of settings.
    """

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.text} ({self.code})"


def creation_denied(
    cluster: Cluster, topic: str, partitions: int, config: Mapping[str, str], *, replication: int = -1
) -> Denial | None:
    """Why the topic could not be made; nothing is made. Raises `TryAgain` where the brokers do not answer."""
    new = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=dict(config))
    with cluster.explaining(f"cannot ask whether topic {topic} may be made"):
        futures = cluster.client.create_topics([new], validate_only=True, request_timeout=TIMEOUT_S)
        return denial_of(futures[topic])


def change_settings(
    cluster: Cluster, topic: str, config: Mapping[str, str], *, remove: Collection[str] = (), only_ask: bool = False
) -> Denial | None:
    """Sets these, takes away the topic's own `remove`, and leaves the others; all of it or nothing.

    Returns:
        Why the brokers would not, if so. `TryAgain` is raised where they do not answer.
    """
    change, delete = AlterConfigOpType.SET, AlterConfigOpType.DELETE
    entries = [ConfigEntry(name, text, incremental_operation=change) for name, text in config.items()]
    entries += [ConfigEntry(name, None, incremental_operation=delete) for name in remove]
    if not entries:
        return None
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    with cluster.explaining(f"cannot change the settings of {topic}"):
        futures = cluster.client.incremental_alter_configs(
            [resource], validate_only=only_ask, request_timeout=TIMEOUT_S
        )
        return denial_of(futures[resource])


def denial_of(future: Future[Any]) -> Denial | None:
    """The broker's no, or None for a yes; what passes by itself is raised as it is."""
    try:
        future.result()
    except KafkaException as failure:
        error = failure.args[0]
        if error.code() < 0 or error.retriable():  # the client's own errors, and what passes: no broker said no
            raise
        return Denial(error.name(), error.str())
    return None
