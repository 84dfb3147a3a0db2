"""Offsets for groups that nobody is a member of: what such a group has now, and what it is given."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.answers import Refusal, answer_or_refusal
from millpond.kafka.groups import CommittedOffset, GroupOffsets, describe_groups, group_offsets
from millpond.kafka.places import Place, position

_PAUSE_S = 0.3
_ABSENT = "GROUP_ID_NOT_FOUND"
_PASSING = ("COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS")
_WITHOUT_MEMBERS = ("Empty", "Dead", "")

TAKEN = "UNKNOWN_MEMBER_ID"
"""What a broker answers to a commit of nobody's where the group has members."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A group as it is now.

    Attributes:
        state: Kafka's name for it, "" where there is no such group.
        members: How many there are.
        clients: See `GroupDescription`.
        offsets: What it has committed.
    """

    state: str
    members: int
    offsets: GroupOffsets
    clients: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether a commit would be refused."""
        return self.members > 0 or self.state not in _WITHOUT_MEMBERS


def standing_of(cluster: Cluster, group_id: str) -> Standing | Refusal:
    """The group, or the error in its place. A coordinator that is being found is waited for."""
    deadline = time.monotonic() + TIMEOUT_S
    while isinstance(found := _look(cluster, group_id), Refusal) and found.code in _PASSING:
        if time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_S)
    return found


def _look(cluster: Cluster, group_id: str) -> Standing | Refusal:
    told = describe_groups(cluster, [group_id])[group_id]
    if isinstance(told, Refusal):
        return Standing("", 0, GroupOffsets({})) if told.code == _ABSENT else told
    offsets = group_offsets(cluster, group_id, stable=True)
    if isinstance(offsets, Refusal):
        if offsets.code != _ABSENT:
            return offsets
        offsets = GroupOffsets({})
    return Standing("" if told.state == "Dead" else told.state, told.members, offsets, told.clients)


def commit_offsets(cluster: Cluster, group_id: str, commits: Mapping[Place, CommittedOffset]) -> dict[Place, str]:
    """Commits for a group without members; it is made if it is not there. Returns the codes of what was refused."""
    positions = [
        position(place, told.offset, epoch=told.epoch, metadata=told.metadata) for place, told in commits.items()
    ]
    with cluster.coordinators() as asked:
        answer = answer_or_refusal(asked.commit(group_id, positions))
    if isinstance(answer, Refusal):
        return dict.fromkeys(commits, answer.code)
    entries = answer.topic_partitions
    return {(entry.topic, entry.partition): entry.error.name() for entry in entries if entry.error is not None}
