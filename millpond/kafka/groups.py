"""What a cluster tells of its consumer groups. Nothing is joined, committed or changed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.answers import Refusal, answer_or_refusal
from millpond.kafka.failures import explained
from millpond.kafka.places import Place

SHARE = "share"
_AT_ONCE = 100
_ANOTHER_KIND = "_INVALID_ARG"
"""What the client makes of its coordinator's description of a group of Connect workers and the like."""
_STATES = {
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.DEAD: "Dead",
    ConsumerGroupState.EMPTY: "Empty",
}


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group as its coordinator describes it.

    Attributes:
        type: classic, consumer (KIP-848), share, or "" where the broker does not tell.
        state: Kafka's name for it, "" where it does not tell.
        protocol: The partition assignor that the members agreed on, or "".
        members: How many there are now.
        clients: What they call themselves and where they are, such as `billing-1 (10.1.2.3)`, each once.
    """

    type: str
    state: str
    protocol: str = ""
    members: int = 0
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupList:
    """The groups that the user may see.

    Attributes:
        consumers: Those that the client takes for consumer groups.
        others: All others: groups of Connect workers and the like, share groups.
        failed: Codes of what some brokers answered instead of their part of the list.
    """

    consumers: dict[str, GroupDescription]
    others: dict[str, GroupDescription]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What a group has committed of one partition.

    Attributes:
        epoch: Leader epoch of the record before it, -1 if the consumer did not say.
        metadata: Text that the consumer added, or "".
    """

    offset: int
    epoch: int
    metadata: str


@dataclass(frozen=True, slots=True)
class GroupOffsets:
    """What a group has committed.

    Attributes:
        pending: Partitions for which a transaction that has not ended holds another offset.
        failed: Codes of partitions that were not answered.
    """

    committed: dict[Place, CommittedOffset]
    pending: frozenset[Place] = frozenset()
    failed: dict[Place, str] = field(default_factory=dict)


def list_groups(cluster: Cluster) -> GroupList:
    """All groups. Raises where no broker gave its part.

    The client's list of consumer groups leaves out whatever is no consumer group; the older call names all. It is asked
    first: a group that is made in between must not look like one of the others.
    """
    failed: list[str] = []
    everything = _all_groups(cluster, failed)
    with cluster.explaining("cannot list consumer groups"):
        answer = cluster.client.list_consumer_groups(request_timeout=TIMEOUT_S).result()
    consumers = {one.group_id: GroupDescription(_type(one.type), _state(one.state)) for one in answer.valid}
    if answer.errors and not consumers:
        raise explained(_cause(answer.errors[0]), "cannot list consumer groups", cluster.address.brokers)
    failed += [_cause(error).name() for error in answer.errors]
    others = {group.id: _other(group) for group in everything if group.id not in consumers}
    return GroupList(consumers, others, tuple(failed))


def _all_groups(cluster: Cluster, failed: list[str]) -> list[Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # nothing newer names groups of every kind
            return list(cluster.client.list_groups(timeout=TIMEOUT_S))
    except KafkaException as failure:
        failed.append(failure.args[0].name())
        return []


def _other(group: Any) -> GroupDescription:
    """What is no consumer group. Share groups have no type of protocol here, Connect workers and the like have one."""
    if not group.protocol_type:
        return GroupDescription(SHARE, "")
    return GroupDescription("classic", group.state, group.protocol or "", len(group.members))


def describe_groups(cluster: Cluster, group_ids: Iterable[str]) -> dict[str, GroupDescription | Refusal]:
    """Each group's description, or the error in its place."""
    left = iter(group_ids)
    found: dict[str, GroupDescription | Refusal] = {}
    while names := list(islice(left, _AT_ONCE)):
        with cluster.coordinators() as asked:
            futures = asked.describe(names)
        answers = {name: answer_or_refusal(future) for name, future in futures.items()}
        found |= {
            name: answer if isinstance(answer, Refusal) else _described(answer) for name, answer in answers.items()
        }
    return found


def _described(answer: Any) -> GroupDescription:
    clients = {f"{member.client_id} ({member.host.removeprefix('/')})" for member in answer.members}
    facts = _type(answer.type), _state(answer.state), answer.partition_assignor or ""
    return GroupDescription(*facts, len(answer.members), tuple(sorted(clients)))


def group_offsets(cluster: Cluster, group_id: str, *, stable: bool) -> GroupOffsets | Refusal:
    """What the group has committed; partitions without a commit are left out.

    Args:
        stable: Do not give the older offset where a transaction is about to replace it: name the partition instead.

    Returns:
        The error in its place, where the group's coordinator gives one.
    """
    with cluster.coordinators() as asked:
        found = answer_or_refusal(asked.describe([group_id])[group_id])
        if isinstance(found, Refusal) and found.code != _ANOTHER_KIND:
            return found
        answer = answer_or_refusal(asked.offsets(group_id, stable=stable))
    if isinstance(answer, Refusal):
        return answer
    entries = answer.topic_partitions
    errors = {(entry.topic, entry.partition): entry.error for entry in entries if entry.error is not None}
    unstable = {place for place, error in errors.items() if error.code() == KafkaError.UNSTABLE_OFFSET_COMMIT}
    return GroupOffsets(
        {(entry.topic, entry.partition): _committed(entry) for entry in entries if entry.offset >= 0},
        frozenset(unstable),
        {place: error.name() for place, error in errors.items() if place not in unstable},
    )


def _committed(entry: TopicPartition) -> CommittedOffset:
    epoch = -1 if entry.leader_epoch is None else entry.leader_epoch
    return CommittedOffset(entry.offset, epoch, entry.metadata or "")


def _cause(error: Any) -> KafkaError:
    """The client gives some errors bare and some inside an exception."""
    found: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
    return found


def _type(kind: ConsumerGroupType | None) -> str:
    return "" if kind in (None, ConsumerGroupType.UNKNOWN) else kind.name.lower()


def _state(state: ConsumerGroupState | None) -> str:
    return _STATES.get(state, "") if state is not None else ""
