"""Which part of an archive is looked at: topics, lives of topics, partitions, offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from millpond.archive.catalog import list_incarnations, list_topics
from millpond.archive.coverage import Span
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore

LAST_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for; what is empty or None asks for everything.

    Attributes:
        incarnation: A topic id.
        offsets: Objects that speak for any of these.
    """

    topics: Selection | None = None
    incarnation: str = ""
    partitions: frozenset[int] = frozenset()
    offsets: Span | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether only objects of some partitions are asked for, so that events and foreign objects are not."""
        return bool(self.partitions) or self.offsets is not None

    def takes(self, first: int, last: int) -> bool:
        return self.offsets is None or (first <= self.offsets.last and last >= self.offsets.first)

    def lives(self, store: ObjectStore, layout: Layout) -> Iterator[Incarnation]:
        """The chosen incarnations, topics in the order of their names. `WrongUsage` where there is none."""
        archived = list_topics(store, layout)
        chosen = sorted(archived if self.topics is None else self.topics.match(archived))
        found = 0
        for topic in chosen:
            for life in sorted(list_incarnations(store, layout, topic)):
                if self.incarnation in ("", life.topic_id):
                    found += 1
                    yield life
        if not found and (self.incarnation or self.topics is not None):
            raise WrongUsage(
                f"nothing in the archive matches: it has {len(archived)} topics",
                hint="expressions match whole names; `millpond info` lists topics and their ids",
            )


def partition_named(
    store: ObjectStore, layout: Layout, topic: str, partition: int, incarnation: str = ""
) -> PartitionId:
    """The one partition of that name.

    Raises:
        WrongUsage: The archive has no such topic or no such life of it.
        RefusedForSafety: The topic has several lives and none is named.
    """
    lives = sorted(list_incarnations(store, layout, topic))
    chosen = [life for life in lives if incarnation in ("", life.topic_id)]
    ids = ", ".join(life.topic_id for life in lives)
    if not chosen:
        known = f"its ids are {ids}" if lives else "`millpond info` lists what is there"
        what = f"incarnation {incarnation} of topic {topic}" if incarnation and lives else f"topic {topic}"
        raise WrongUsage(f"the archive has no {what}", hint=known)
    if len(chosen) > 1:
        raise RefusedForSafety(
            f"topic {topic} was deleted and made again: the archive holds {len(chosen)} lives of it",
            hint=f"say which with --incarnation: {ids}",
        )
    return PartitionId(chosen[0], partition)
