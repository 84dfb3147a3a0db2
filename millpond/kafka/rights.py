"""What this user may do, as the brokers themselves say it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation

from millpond.kafka.admin import NO_ID, TIMEOUT_S, Cluster, url_safe
from millpond.kafka.answers import Refusal, answer_or_refusal
from millpond.kafka.failures import patiently

_AT_ONCE = 500
_NO_GROUP_RIGHT = "GROUP_AUTHORIZATION_FAILED"
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED}


@dataclass(frozen=True, slots=True)
class TopicRights:
    """A topic as this user sees it.

    Attributes:
        topic_id: "" where the brokers give none.
        operations: What the user may do with it; None where the brokers do not tell.
    """

    topic_id: str
    partitions: int
    operations: frozenset[AclOperation] | None

    def allows(self, wanted: AclOperation) -> bool | None:
        return None if self.operations is None else wanted in self.operations


def topic_rights(cluster: Cluster, names: Collection[str]) -> dict[str, TopicRights]:
    """Those of the topics that this user may describe."""
    if not names:
        return {}

    def ask() -> dict[str, Any]:
        futures = cluster.client.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=TIMEOUT_S
        )
        return {name: _unless_gone(future) for name, future in futures.items()}

    with cluster.explaining("cannot describe topics"):
        answers = patiently(ask, within_s=TIMEOUT_S)
    return {name: _rights(answer) for name, answer in answers.items() if answer is not None}


def readable_groups(cluster: Cluster, group_ids: Iterable[str]) -> dict[str, bool | None]:
    """Whether the user may join each group and commit; None where the brokers do not tell. Nothing is joined."""
    left = iter(group_ids)
    found: dict[str, bool | None] = {}
    while names := list(islice(left, _AT_ONCE)):
        with cluster.coordinators() as asked:
            futures = asked.describe(names, rights=True)
        found |= {name: _may_read(answer_or_refusal(future)) for name, future in futures.items()}
    return found


def _may_read(answer: Any) -> bool | None:
    if isinstance(answer, Refusal):
        return False if answer.code == _NO_GROUP_RIGHT else None
    operations = answer.authorized_operations
    return AclOperation.READ in operations if operations else None


def may_read_group(cluster: Cluster, group_id: str) -> bool | None:
    """Whether the user may join the group and commit; None where the brokers do not tell. Nothing is joined."""

    def ask() -> Any:
        with cluster.coordinators() as asked:
            return asked.describe([group_id], rights=True)[group_id].result()

    with cluster.explaining(f"cannot describe the group {group_id}"):
        return _may_read(patiently(ask, within_s=TIMEOUT_S))  # a cluster that no group ever used has no coordinator yet


def _unless_gone(future: Future[Any]) -> Any:
    try:
        return future.result()
    except KafkaException as failure:
        if failure.args[0].code() in _GONE:
            return None
        raise


def _rights(answer: Any) -> TopicRights:
    topic_id, operations = url_safe(str(answer.topic_id)), answer.authorized_operations
    return TopicRights(
        topic_id="" if topic_id == NO_ID else topic_id,
        partitions=len(answer.partitions),
        operations=frozenset(operations) if operations else None,
    )
