"""A topic as the archive holds it, and which of its lives a restore takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from millpond.archive.catalog import Foreign, PartitionListing, read_topic
from millpond.archive.keys import EventKey, Incarnation
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.restore.planning.pieces import Piece, Pinning


@dataclass(slots=True)
class Life:
    """One life of a topic.

    Attributes:
        partitions: How many the archive knows of, whether they are asked for or not.
        pieces: Of the partitions that are asked for, in order.
        written: Whether the archive holds anything of it.
    """

    incarnation: Incarnation
    partitions: int = 0
    pieces: list[Piece] = field(default_factory=list)
    events: list[EventKey] = field(default_factory=list)
    written: bool = True

    @property
    def has_records(self) -> bool:
        """Whether windows of it are due."""
        return any(piece.objects for piece in self.pieces)

    @property
    def objects(self) -> int:
        return sum(piece.objects for piece in self.pieces)

    @property
    def offsets(self) -> int:
        return sum(piece.offsets for piece in self.pieces)

    @property
    def size_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)

    def told(self) -> str:
        """For people who have to choose one."""
        offsets = sum(span.size for piece in self.pieces for span in piece.spans)
        newest = max((piece.newest_ms for piece in self.pieces), default=-1)
        return f"{self.incarnation.topic_id} with {offsets} offsets up to time {newest} ms"


@dataclass(slots=True)
class ArchivedTopic:
    """A topic with all its lives.

    Attributes:
        foreign: Keys in its folder that are nothing of ours.
    """

    topic: str
    lives: dict[Incarnation, Life] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)


def read_lives(pinning: Pinning, topic: str, named: str | None) -> ArchivedTopic:
    """Lists the topic's folder once, partition by partition. Of lives other than the named one nothing is pinned."""
    found = ArchivedTopic(topic)
    for item in read_topic(pinning.store, pinning.layout, topic):
        if isinstance(item, Foreign):
            found.foreign.append(item.key)
        elif isinstance(item, PartitionListing):
            life = found.lives.setdefault(item.partition.incarnation, Life(item.partition.incarnation))
            life.partitions = max(life.partitions, item.partition.partition + 1)
            if named in (None, life.incarnation.topic_id) and pinning.asked.takes(item.partition):
                life.pieces.append(pinning.piece(item))
        elif item.incarnation in found.lives:
            found.lives[item.incarnation].events.append(item)
    for life in found.lives.values():
        life.pieces.sort(key=lambda piece: piece.partition)
    return found


def decide(topic: ArchivedTopic, named: str | None, decided_by_cut: Iterable[Incarnation] | None) -> Life | None:
    """The life to restore; None where there is none that the cut knows.

    Args:
        named: The topic id in the request.
        decided_by_cut: Lives that the named cut holds, if one was asked for.

    Raises:
        WrongUsage: The named life is not there.
        RefusedForSafety: Several lives have records that are due, and nothing decides.
    """
    lives = {life.incarnation: life for life in topic.lives.values()}
    if decided_by_cut is not None:
        lives = {incarnation: lives[incarnation] for incarnation in decided_by_cut if incarnation in lives}
        if not lives:
            return None
    named_ones = [life for life in lives.values() if named in (None, life.incarnation.topic_id)]
    candidates = [life for life in named_ones if life.has_records] or named_ones
    if not candidates:
        raise WrongUsage(
            f"topic {topic.topic} has no incarnation {named} in the archive",
            hint=f"it has {', '.join(life.incarnation.topic_id for life in lives.values())}",
        )
    if len(candidates) > 1:
        raise RefusedForSafety(
            f"topic {topic.topic} was deleted and made again; the archive holds {len(candidates)} lives of it: "
            + "; ".join(life.told() for life in candidates),
            hint=f'say which: --incarnation {topic.topic}=ID, or "incarnation" in the request',
        )
    return candidates[0]
