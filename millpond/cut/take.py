"""Reads how far topics reach now. A partition that cannot be read is named; the others are kept."""

from __future__ import annotations

from collections.abc import Mapping

from millpond.archive.cuts import CutEnd, CutFailure, CutTopic
from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.answers import Refusal
from millpond.kafka.places import Place
from millpond.kafka.selection import Selection
from millpond.kafka.stable_ends import StableEnd, stable_ends

_PATIENCE_S = 15


def take_ends(cluster: Cluster, selection: Selection) -> tuple[tuple[CutTopic, ...], tuple[CutFailure, ...]]:
    """Topics with the ends of their partitions, and what could not be read.

    Raises:
        WrongUsage: No topic matches, or the brokers refuse the client.
        TryAgain: The brokers do not answer.
    """
    names = selection.match(cluster.topic_names())
    refused: set[str] = set()
    topics = cluster.describe(names, refused=refused)
    if not topics and not refused:
        raise WrongUsage(f"no topic matches {selection.told()}", hint="expressions match whole names")
    places = [(name, number) for name, topic in topics.items() for number in range(topic.partitions)]
    ends = stable_ends(cluster, places, within_s=_PATIENCE_S)
    failed = [CutFailure("topic", "TOPIC_AUTHORIZATION_FAILED", name) for name in sorted(refused)]
    failed += [CutFailure("end", end.code, *place) for place, end in ends.items() if isinstance(end, Refusal)]
    return tuple(_topic(topics[name], ends) for name in sorted(topics)), tuple(failed)


def _topic(topic: TopicDescription, ends: Mapping[Place, StableEnd | Refusal]) -> CutTopic:
    found = ((number, ends[topic.name, number]) for number in range(topic.partitions))
    kept = (CutEnd(number, end.offset, end.epoch) for number, end in found if isinstance(end, StableEnd))
    return CutTopic(topic.name, topic.topic_id, tuple(kept))
