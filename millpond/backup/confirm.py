"""Closed windows and the topic ids that confirm them.

A consumer is not told when a topic is deleted and made again: it may go on at its old position inside the new topic.
So a window is stored only after its topic was described, some seconds after its last record was read, with the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

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
        silent: Those of them that have no leader to tell.
        refused: Topics that the user may not describe: nothing is known of them.
    """

    asked_at: float
    ids: dict[str, str]
    ends: dict[Place, int]
    refused: set[str] = field(default_factory=set)
    silent: set[Place] = field(default_factory=set)


class Confirmation:
    """Marks closed windows as confirmed."""

    def __init__(self, cluster: Cluster, pool: Executor, after_s: float, *, patient: bool = True) -> None:
        self._cluster, self._after_s = cluster, after_s
        self._question: Question[Seen] = Question(pool, patient=patient)

    def tick(self, partitions: Iterable[PartitionBackup], now: float) -> list[PartitionBackup]:
        """Goes one step on; returns partitions whose unconfirmed records may be of either life of their topic."""
        waiting = [p for p in partitions if not p.judged and any(not closed.confirmed for closed in p.closed)]
        undecided: list[PartitionBackup] = []
        if (seen := self._question.answer(now)) is not None:
            undecided = [partition for partition in waiting if not self._apply(partition, seen)]
        ripe = {p.place: p.partition.incarnation.topic_id for p in waiting if any(self._ripe(p, now))}
        if ripe:
            # As of now: what ripens until a thread sends the question is not asked for, and must not be answered.
            self._question.ask(lambda: look(self._cluster, ripe, now), now)
        return undecided

    def _ripe(self, partition: PartitionBackup, at: float) -> Iterator[Closed]:
        """Windows that a question sent at that time can confirm."""
        return (c for c in partition.closed if not c.confirmed and at - c.closed_at >= self._after_s)

    def _apply(self, partition: PartitionBackup, seen: Seen) -> bool:
        if partition.place[0] in seen.refused or partition.place in seen.silent:
            return True
        for closed in self._ripe(partition, seen.asked_at):
            if not belongs(partition, seen):
                return False
            closed.confirmed = True
        return True


def look(cluster: Cluster, expected: dict[Place, str], now: float) -> Seen:
    """Asks for the ids, and for the ends where an id is another."""
    refused: set[str] = set()
    found = cluster.describe({topic for topic, _ in expected}, refused=refused)
    ids = {name: topic.topic_id for name, topic in found.items()}
    changed = [place for place, topic_id in expected.items() if ids.get(place[0], topic_id) != topic_id]
    there = [place for place in changed if place[1] < found[place[0]].partitions]
    ends = cluster.ends(there, of_some=True)
    return Seen(now, ids, ends, refused, set(there) - ends.keys())


def belongs(partition: PartitionBackup, seen: Seen) -> bool:
    """Whether what is not confirmed yet is surely of the partition's own incarnation.

    So it is where the topic has the same id or is gone, and where the new one is too short to have given it.
    """
    own_id = partition.partition.incarnation.topic_id
    if seen.ids.get(partition.place[0], own_id) == own_id:
        return True
    return seen.ends.get(partition.place, 0) <= partition.unconfirmed_from
