"""When a single run is over: everything that was there at its start is in the store, whoever put it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from millpond.archive.catalog import read_partition
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.backup.background import Background, Question
from millpond.backup.consumer import BackupConsumer
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LOOK_EVERY_S = 5.0
_CHECK_EVERY_S = 0.1
_LISTINGS_AT_ONCE = 32


def targets_of(cluster: Cluster, topics: dict[str, TopicDescription]) -> dict[PartitionId, int]:
    """How far each partition can be read now, behind control records and before open transactions."""
    places = [(topic.name, number) for topic in topics.values() for number in range(topic.partitions)]
    ends = cluster.ends(places, committed=True)
    return {
        PartitionId(Incarnation(name, topics[name].topic_id), number): ends[name, number] for name, number in places
    }


@dataclass(frozen=True, slots=True)
class _Look:
    """Partitions that others have covered to where we wait for, and those whose topics are gone."""

    covered: list[PartitionId]
    gone: list[PartitionId]


class Waiting:
    """Which of the targets are not reached yet."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        cluster: Cluster,
        targets: dict[PartitionId, int],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store, self._layout, self._cluster, self._progress = store, layout, cluster, progress
        self._left = dict(targets)
        self._gone: list[PartitionId] = []
        self._total, self._next_look = sum(targets.values()), time.monotonic() + _LOOK_EVERY_S
        self._next_check = 0.0
        self._pool = Background(1, "waiting")
        self._question: Question[_Look] = Question(self._pool)

    def over(self, consumer: BackupConsumer) -> bool:
        """Whether nothing is left to wait for. Raises `MillpondError` once only stopped partitions are."""
        now = time.monotonic()
        if now < self._next_check and self._left:
            return False
        self._next_check = now + _CHECK_EVERY_S
        for partition, end in list(self._left.items()):
            mine = consumer.active.get((partition.topic, partition.partition))
            if mine is not None and mine.partition == partition:
                if mine.stored >= end:
                    del self._left[partition]
                elif mine.position >= end:
                    mine.close(now)
        if (look := self._question.answer(now)) is not None:
            self._settle(look, consumer)
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            left = dict(self._left)
            others = [p for p in left if (p.topic, p.partition) not in consumer.active]
            self._question.ask(lambda: self._look(left, others), now)
        self._progress(self._total - sum(self._left.values()), self._total)
        _raise_for_stopped(consumer.failed, self._left)
        return not self._left

    def _look(self, left: dict[PartitionId, int], others: list[PartitionId]) -> _Look:
        """Other members of the group may own partitions that we wait for. The end of a topic that was deleted is never
        reached."""
        with Background(_LISTINGS_AT_ONCE, "listing") as pool:
            reached = list(pool.map(lambda partition: self._is_covered(partition, left[partition]), others))
        refused: set[str] = set()
        found = self._cluster.describe({partition.topic for partition in left}, refused=refused)
        lives = {Incarnation(topic.name, topic.topic_id) for topic in found.values()}
        gone = [p for p in left if p.topic not in refused and p.incarnation not in lives]
        return _Look([p for p, is_reached in zip(others, reached, strict=True) if is_reached], gone)

    def _is_covered(self, partition: PartitionId, end: int) -> bool:
        covered = read_partition(self._store, self._layout, partition).covered() if end else ()
        return end == 0 or bool(covered and covered[-1].last >= end - 1)

    def _settle(self, look: _Look, consumer: BackupConsumer) -> None:
        for partition in look.covered:
            self._left.pop(partition, None)
        for partition in look.gone:
            if partition in self._left and not consumer.holds(partition):
                del self._left[partition]
                self._gone.append(partition)

    def close(self) -> None:
        self._pool.shutdown()

    def raise_for_gone(self) -> None:
        """`MillpondError` where topics were deleted before they were read to their ends."""
        if self._gone:
            names = ", ".join(map(str, self._gone))
            raise MillpondError(
                f"{len(self._gone)} partitions were not read to their ends, because their topics were deleted: {names}",
                hint="what was read of them is stored; start it again for topics that were made again",
            )


def _raise_for_stopped(stopped: dict[Place, str], left: dict[PartitionId, int]) -> None:
    waited = [(partition.topic, partition.partition) for partition in left]
    if waited and all(place in stopped for place in waited):
        reasons = "; ".join(f"{topic}-{number}: {stopped[topic, number]}" for topic, number in waited)
        raise MillpondError(f"{len(waited)} partitions were stopped: {reasons}", hint="the others are stored")
