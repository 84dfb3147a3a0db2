"""Closed windows and the topic ids that confirm them.

A consumer is not told when a topic is deleted and made again: it may go on at its old position inside the new topic.
So a window is stored only after its topic was described, some seconds after its last record was read, with the same id.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

from millpond.backup.background import Question
from millpond.backup.partition import Closed, PartitionBackup
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster said.

    Attributes:
        asked_at: Monotonic seconds, before the question was sent.
        ids: Id of each topic that exists.
        ends: High watermark of partitions whose topic has another id than expected.
    """

    asked_at: float
    ids: dict[str, str]
    ends: dict[Place, int]


class Confirmation:
    """Marks closed windows as confirmed."""

    def __init__(self, cluster: Cluster, pool: Executor, after_s: float) -> None:
        self._cluster, self._after_s = cluster, after_s
        self._question: Question[Seen] = Question(pool)

    def tick(self, partitions: Iterable[PartitionBackup], now: float) -> list[PartitionBackup]:
        """Goes one step on; returns partitions whose records may belong to either life of their topic."""
        waiting = [partition for partition in partitions if any(not closed.confirmed for closed in partition.closed)]
        undecided: list[PartitionBackup] = []
        if (seen := self._question.answer(now)) is not None:
            undecided = [partition for partition in waiting if not self._apply(partition, seen)]
        ripe = {p.place: p.partition.incarnation.topic_id for p in waiting if self._ripe(p, now)}
        if ripe:
            self._question.ask(lambda: look(self._cluster, ripe), now)
        return undecided

    def _ripe(self, partition: PartitionBackup, now: float) -> bool:
        return any(not closed.confirmed and now - closed.closed_at >= self._after_s for closed in partition.closed)

    def _apply(self, partition: PartitionBackup, seen: Seen) -> bool:
        open_ones = [closed for closed in partition.closed if not closed.confirmed]
        for closed in open_ones:
            if closed.closed_at + self._after_s > seen.asked_at:
                break
            if not belongs(closed, open_ones[0].first, seen):
                return False
            closed.confirmed = True
        return True


def look(cluster: Cluster, expected: dict[Place, str]) -> Seen:
    """Asks for the ids, and for the ends where an id is another."""
    asked_at = time.monotonic()
    found = cluster.describe({topic for topic, _ in expected})
    ids = {name: topic.topic_id for name, topic in found.items()}
    changed = [place for place, topic_id in expected.items() if ids.get(place[0], topic_id) != topic_id]
    there = [place for place in changed if place[1] < found[place[0]].partitions]
    return Seen(asked_at, ids, cluster.ends(there))


def belongs(closed: Closed, first_unconfirmed: int, seen: Seen) -> bool:
    """Whether the records are surely those of the window's own incarnation.

    So they are where the topic has the same id or is gone, and where the new one is too short to have given them.
    """
    partition = closed.partition
    topic_id = seen.ids.get(partition.topic, partition.incarnation.topic_id)
    if topic_id == partition.incarnation.topic_id:
        return True
    return seen.ends.get((partition.topic, partition.partition), 0) <= first_unconfirmed
