"""A topic and a partition, and positions in them."""

from __future__ import annotations

from typing import TypeAlias

from confluent_kafka import TopicPartition

Place: TypeAlias = tuple[str, int]
"""A topic and a partition."""


def position(place: Place, offset: int, *, epoch: int = -1, metadata: str = "") -> TopicPartition:
    """A position for an assignment or a commit; with the leader epoch before it (-1: unknown), Kafka notices a cut."""
    if epoch < 0:
        return TopicPartition(*place, offset, metadata)
    return TopicPartition(*place, offset, metadata, epoch)
