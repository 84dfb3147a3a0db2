"""Which partitions the group gave this member: those that wait for a position, were stopped, or have no topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from millpond.archive.keys import PartitionId
from millpond.backup.positions import Start, StartFinder
from millpond.errors import MillpondError, TryAgain
from millpond.kafka.places import Place

_AT_ONCE = 2000
_SEARCH_EVERY_S = 1.0
_REFUSALS, _REMEMBER_REFUSALS_S = 3, 30.0


@dataclass(frozen=True, slots=True)
class Stuck:
    """A place whose position cannot be found, and why."""

    place: Place
    reason: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a partition is not read, and since when (monotonic seconds)."""

    reason: str
    since: float


class Assignment:
    """Bookkeeping of the consumer's thread.

    Attributes:
        without_start: Places that wait for a position.
        stopped: Places that are not read until they are tried again.
        without_topic: Places whose topic is gone. The group takes them, or not: librdkafka's assignor leaves a member
            what it owns of a topic that the metadata do not have, and a subscription without it changes nothing then.
        rebalances: How often the group gave or took something.
    """

    def __init__(self, settle_s: float, retry_stopped_s: float) -> None:
        self._settle_s, self._retry_stopped_s = settle_s, retry_stopped_s
        self.without_start: set[Place] = set()
        self.stopped: dict[Place, Stopped] = {}
        self.without_topic: set[Place] = set()
        self.rebalances = 0
        self._quiet_since = self._next_search = self._forget_refusals = 0.0
        self._refusals: Counter[tuple[PartitionId, int]] = Counter()

    def give(self, places: set[Place], now: float) -> None:
        """The group gave us these."""
        self.without_start |= places
        self._note_change(now, bool(places))

    def take(self, places: set[Place], now: float) -> None:
        """The group took these."""
        self._drop(places)
        self.without_topic -= places
        self._note_change(now, bool(places))

    def follow(self, topics: Container[str]) -> None:
        """These topics are there; what waits or was stopped of others rests until they are there again."""
        self.without_topic |= {place for place in self.without_start | self.stopped.keys() if place[0] not in topics}
        self._drop(self.without_topic)
        there = {place for place in self.without_topic if place[0] in topics}
        self.without_topic -= there
        self.without_start |= there

    def _drop(self, places: set[Place]) -> None:
        self.without_start -= places
        for place in places & self.stopped.keys():
            del self.stopped[place]

    def has(self, place: Place) -> bool:
        """Whether it is ours and is not read: it waits for a position, or was stopped."""
        return place in self.without_start or place in self.stopped

    def _note_change(self, now: float, counts: bool) -> None:
        self._quiet_since = now
        self.rebalances += counts

    def stop(self, place: Place, reason: str, now: float) -> None:
        """Not to be read any more, until it is tried again."""
        self.without_start.discard(place)
        self.stopped[place] = Stopped(reason, now)

    def try_stopped_again(self, now: float) -> None:
        """Lets those that were stopped long enough ago wait for a position again."""
        for place, stopped in list(self.stopped.items()):
            if now - stopped.since >= self._retry_stopped_s:
                del self.stopped[place]
                self.without_start.add(place)

    def next_search(self, busy: set[Place], now: float) -> list[Place]:
        """Places whose position may be looked for now: none while the group is restless."""
        if now < max(self._next_search, self._quiet_since + self._settle_s):
            return []
        return sorted(self.without_start - busy)[:_AT_ONCE]

    def searched(self, now: float) -> None:
        """A search has ended. What it did not find is gone, and the group will take it from us: no hurry."""
        if self.without_start:
            self._next_search = now + _SEARCH_EVERY_S

    def refused(self, partition: PartitionId, at: int, now: float) -> bool:
        """Kafka refused this position. True where it has done so too often to believe in another search."""
        if now >= self._forget_refusals:
            self._refusals.clear()
            self._forget_refusals = now + _REMEMBER_REFUSALS_S
        self._refusals[partition, at] += 1
        return self._refusals[partition, at] > _REFUSALS


def find_each(finder: StartFinder, wanted: Sequence[Place], now_ms: int) -> list[Start | Stuck]:
    """Positions of all places that exist; one that cannot be found does not keep the others from theirs.

    Raises:
        TryAgain: Kafka or the store does not answer.
    """
    try:
        return list(finder.find(wanted, now_ms))
    except TryAgain:
        raise
    except MillpondError as error:
        if len(wanted) == 1:
            return [Stuck(wanted[0], str(error.args[0]))]
        half = len(wanted) // 2
        return [*find_each(finder, wanted[:half], now_ms), *find_each(finder, wanted[half:], now_ms)]


def places_of(partitions: Iterable[PartitionId]) -> set[Place]:
    return {(partition.topic, partition.partition) for partition in partitions}
