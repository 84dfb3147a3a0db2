"""Who belongs to a consumer group now."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.failures import patiently

_NONE = {KafkaError.GROUP_ID_NOT_FOUND}
_REFUSED = {KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One member.

    Attributes:
        member_id: What the coordinator calls it.
        instance_id: Of a static member, else "".
        client_id: What it calls itself.
    """

    member_id: str
    instance_id: str
    client_id: str


def members_of(cluster: Cluster, group_id: str) -> list[GroupMember] | None:
    """All members, those that are still joining too; None where the user may not know."""

    def ask() -> list[GroupMember]:
        with cluster.coordinators() as asked:
            answer = asked.describe([group_id])[group_id].result()
        return [GroupMember(one.member_id, one.group_instance_id or "", one.client_id) for one in answer.members]

    with cluster.explaining(f"cannot describe group {group_id}"):
        try:
            return patiently(ask, within_s=TIMEOUT_S)
        except KafkaException as failure:
            if failure.args[0].code() in _NONE:
                return []
            if failure.args[0].code() in _REFUSED:
                return None
            raise
