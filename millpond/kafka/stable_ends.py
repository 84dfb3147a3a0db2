"""How far read_committed goes in many partitions, of which some may not answer while the others count."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import OffsetSpec

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.answers import Refusal, answer_or_refusal
from millpond.kafka.failures import is_unanswered, passes_by_itself
from millpond.kafka.places import Place

_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class StableEnd:
    """A partition's last stable offset.

    Attributes:
        epoch: The leader's epoch when it was asked, -1 if unknown: no record before the offset has a higher one.
    """

    offset: int
    epoch: int


def stable_ends(cluster: Cluster, places: Iterable[Place], *, within_s: float = 0) -> dict[Place, StableEnd | Refusal]:
    """The last stable offset of each partition, or the error in its place.

    Args:
        within_s: How long partitions are asked again that have no leader just now.
    """
    deadline = time.monotonic() + within_s
    left, found = list(places), dict[Place, StableEnd | Refusal]()
    while left:
        answers = _ask(cluster, left)
        found |= {place: _end(future) for place, future in answers.items()}
        left = [place for place, future in answers.items() if passes_by_itself(future)]
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE_S if left else 0)
    return found


def _ask(cluster: Cluster, places: list[Place]) -> dict[Place, Future[Any]]:
    asked = {TopicPartition(*place): OffsetSpec.latest() for place in places}
    committed = IsolationLevel.READ_COMMITTED
    with cluster.explaining("cannot list offsets"):
        futures = cluster.client.list_offsets(asked, isolation_level=committed, request_timeout=TIMEOUT_S)
    found = {(place.topic, place.partition): future for place, future in futures.items()}
    for future in found.values():
        future.exception()  # waits for the answer
    return found


def _end(future: Future[Any]) -> StableEnd | Refusal:
    answer = answer_or_refusal(future)
    if isinstance(answer, Refusal):
        return answer
    if is_unanswered(answer):
        return Refusal("LEADER_NOT_AVAILABLE")
    return StableEnd(answer.offset, -1 if answer.leader_epoch is None else answer.leader_epoch)
