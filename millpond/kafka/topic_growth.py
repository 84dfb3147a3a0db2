"""New topics and more partitions, or only the question whether the brokers would; see `topic_changes`."""

from __future__ import annotations

from confluent_kafka.admin import NewPartitions, NewTopic

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.topic_changes import Denial, denial_of


def make_topic(
    cluster: Cluster, topic: str, partitions: int, config: dict[str, str], *, replication: int, only_ask: bool = False
) -> Denial | None:
    """Makes an empty topic. Returns why the brokers would not, if so."""
    new = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=config)
    with cluster.explaining(f"cannot create topic {topic}"):
        return denial_of(cluster.client.create_topics([new], validate_only=only_ask, request_timeout=TIMEOUT_S)[topic])


def add_partitions(cluster: Cluster, topic: str, partitions: int, *, only_ask: bool = False) -> Denial | None:
    """Gives the topic so many partitions in all; never fewer than it has. Returns why the brokers would not, if so."""
    more = NewPartitions(topic, partitions)
    with cluster.explaining(f"cannot add partitions to {topic}"):
        futures = cluster.client.create_partitions([more], validate_only=only_ask, request_timeout=TIMEOUT_S)
        return denial_of(futures[topic])
