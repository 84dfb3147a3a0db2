"""What becomes of the offsets of a snapshot, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from millpond.kafka.places import Place


class Status(StrEnum):
    """What became of one offset."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    WAITING = "waiting"
    ACTIVE = "active"
    SKIPPED = "skipped"
    FAILED = "failed"


class GroupStatus(StrEnum):
    """What became of a group: the worst of its offsets."""

    FAILED = "failed"
    ACTIVE = "active"
    WAITING = "waiting"
    DONE = "done"
    NOTHING = "nothing"


_WORST_FIRST = {
    Status.FAILED: GroupStatus.FAILED,
    Status.ACTIVE: GroupStatus.ACTIVE,
    Status.WAITING: GroupStatus.WAITING,
}


HIDDEN = "TOPIC_AUTHORIZATION_FAILED"
"""The user may not describe the target topic."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one offset belongs on the target.

    Attributes:
        status: APPLIED (it is to be), WAITING, SKIPPED or FAILED.
        place: Target topic and partition; None where there is none.
        offset: The target's, -1 where there is none.
        epoch: Leader epoch to commit with, -1 for none.
        reason: A code that says why it is not to be applied, or that no restored record is ahead of it.
    """

    status: Status
    place: Place | None = None
    offset: int = -1
    epoch: int = -1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one offset of a group.

    Attributes:
        topic, topic_id, partition, offset: As the snapshot has them.
        target: The target topic, or "".
        target_offset: The offset that belongs there, -1 where there is none or not yet.
        reason: A code, where it was not applied; where it was, whether no restored record is ahead of it.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    status: Status
    target: str = ""
    target_offset: int = -1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GroupResult:
    """What became of a group.

    Attributes:
        group: Its name in the snapshot.
        target: Its name on the target.
        state: Kafka's name for its state there before anything was committed; "" where it was not there.
        members: How many it had.
        clients: What they call themselves and where they are.
    """

    group: str
    target: str
    state: str
    members: int
    entries: tuple[Entry, ...]
    clients: tuple[str, ...] = ()

    @property
    def status(self) -> GroupStatus:
        there = {entry.status for entry in self.entries}
        worst = (told for status, told in _WORST_FIRST.items() if status in there)
        return next(worst, GroupStatus.DONE if there else GroupStatus.NOTHING)


def count(results: Iterable[GroupResult]) -> dict[str, int]:
    """How many offsets have each status."""
    found = [entry.status for result in results for entry in result.entries]
    return {status.value: found.count(status) for status in Status}
