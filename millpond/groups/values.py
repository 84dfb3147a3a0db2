"""Snapshots of consumer groups as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionOffset:
    """What a group had committed of one partition.

    Attributes:
        offset: The next one that the group would read.
        leader_epoch: Of the record before it, -1 if the consumer did not say.
        metadata: Text that the consumer added, or "".
        log_end: The partition's last stable offset, read a moment after the commit; -1 if unknown. 0: nothing was ever
            written, or not yet to its end.
        pending: A transaction that had not ended held another offset; this one is the last before it.
    """

    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    log_end: int
    pending: bool = False


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """A topic of a group.

    Attributes:
        topic_id: 22 URL-safe base64 characters, "" if the topic was gone or hidden from the user.
    """

    topic: str
    topic_id: str
    partitions: tuple[PartitionOffset, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A group at one moment.

    Attributes:
        type: classic, consumer (KIP-848), share, or "" where nobody tells. The offsets of share groups cannot be read.
        state: Kafka's name for it, or "".
        protocol: The partition assignor that the members agreed on, or "".
        members: How many there were.
    """

    group_id: str
    type: str
    state: str
    protocol: str
    members: int
    topics: tuple[TopicOffsets, ...]

    @property
    def partitions(self) -> int:
        return sum(len(topic.partitions) for topic in self.topics)


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that could not be read; everything else of the snapshot counts.

    Attributes:
        part: listing (some groups may be missing), description, offsets or log_end.
        code: Kafka's name of the error, or the client's, which begins with an underscore.
        group, topic, partition: What it was asked of; "" and -1 where that is no single one.
    """

    part: str
    code: str
    group: str = ""
    topic: str = ""
    partition: int = -1


@dataclass(frozen=True, slots=True)
class GroupSnapshot:
    """All groups at one moment.

    Attributes:
        at: Epoch ms, after the last offset was read: each of them was committed before.
        groups: By name.
    """

    at: int
    archive_id: str
    groups: tuple[Group, ...]
    failed: tuple[Failure, ...] = ()

    def by_code(self) -> Iterator[str]:
        """What failed, as counts of codes."""
        codes = [failure.code for failure in self.failed]
        return (f"{codes.count(code)} {code}" for code in sorted(set(codes)))
