"""What a cluster tells of itself: own settings of its topics, brokers and their settings, access control, users."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ConfigResource,
    ConfigSource,
    ResourcePatternType,
    ResourceType,
)

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.answers import Refusal, answer_or_refusal

_AT_ONCE = 500
_VERSION = "inter.broker.protocol.version"
_AUTHORIZER = "authorizer.class.name"

NOT_ALLOWED = "CLUSTER_AUTHORIZATION_FAILED"
NO_AUTHORIZER = "SECURITY_DISABLED"
_ANY: Any = None  # matches every name; the client's types do not know it
EVERY_ACL = AclBindingFilter(
    ResourceType.ANY, _ANY, ResourcePatternType.ANY, _ANY, _ANY, AclOperation.ANY, AclPermissionType.ANY
)


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """What any user is told, and whether this one may be told more.

    Attributes:
        racks: Of each broker by its id; None where a broker has none.
        may_describe, may_alter: Whether the user has the right Describe, or Alter, on the cluster.
    """

    cluster_id: str
    racks: dict[int, str | None]
    may_describe: bool
    may_alter: bool


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What is set on one broker and not left at its default; None in place of secrets.

    Attributes:
        dynamic: On this broker while it runs.
        dynamic_defaults: For all brokers while they run.
        static: In the broker's file.
        version: Its inter.broker.protocol.version, "" where it has none: brokers with KRaft since 4.0 do not tell.
        authorizer: Whether it checks rights at all.
    """

    dynamic: dict[str, str | None]
    dynamic_defaults: dict[str, str | None]
    static: dict[str, str | None]
    version: str
    authorizer: bool


@dataclass(frozen=True, slots=True)
class ScramUser:
    """A user with a password. Salt and hash cannot be read, so the user cannot be restored from this."""

    user: str
    mechanism: str
    iterations: int


def describe_cluster(cluster: Cluster) -> ClusterDescription:
    """Id, brokers, and the user's rights."""
    with cluster.explaining("cannot describe the cluster"):
        future = cluster.client.describe_cluster(include_authorized_operations=True, request_timeout=TIMEOUT_S)
        answer = future.result()
    allowed = answer.authorized_operations or ()
    racks = {node.id: node.rack for node in answer.nodes}
    may_describe, may_alter = AclOperation.DESCRIBE in allowed, AclOperation.ALTER in allowed
    return ClusterDescription(answer.cluster_id, racks, may_describe, may_alter)


def own_topic_configs(cluster: Cluster, topics: Iterable[str]) -> dict[str, dict[str, str] | Refusal]:
    """The settings made on each topic itself, or the error in their place."""
    left = iter(topics)
    found: dict[str, dict[str, str] | Refusal] = {}
    while names := list(islice(left, _AT_ONCE)):
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        futures = cluster.client.describe_configs(resources, request_timeout=TIMEOUT_S)
        answers = {resource.name: answer_or_refusal(future) for resource, future in futures.items()}
        found |= {name: answer if isinstance(answer, Refusal) else _own(answer) for name, answer in answers.items()}
    return found


def _own(entries: Mapping[str, Any]) -> dict[str, str]:
    own = _set_by(entries, ConfigSource.DYNAMIC_TOPIC_CONFIG)
    return {name: content for name, content in own.items() if content is not None}


def broker_settings(cluster: Cluster, broker_ids: Iterable[int]) -> dict[int, BrokerSettings | Refusal]:
    """What is set on each broker, or the error in its place."""
    futures: dict[int, Any] = {}
    for broker_id in broker_ids:  # the client takes one broker a call; they answer side by side
        resource = ConfigResource(ResourceType.BROKER, str(broker_id))
        (futures[broker_id],) = cluster.client.describe_configs([resource], request_timeout=TIMEOUT_S).values()
    answers = {broker_id: answer_or_refusal(future) for broker_id, future in futures.items()}
    return {
        broker_id: answer if isinstance(answer, Refusal) else _broker(answer) for broker_id, answer in answers.items()
    }


def _broker(entries: Mapping[str, Any]) -> BrokerSettings:
    version, authorizer = entries.get(_VERSION), entries.get(_AUTHORIZER)
    return BrokerSettings(
        _set_by(entries, ConfigSource.DYNAMIC_BROKER_CONFIG),
        _set_by(entries, ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG),
        _set_by(entries, ConfigSource.STATIC_BROKER_CONFIG),
        (version.value or "") if version else "",
        authorizer is None or bool(authorizer.value),
    )


def acls(cluster: Cluster) -> list[dict[str, str]] | Refusal:
    """All access control entries, in Kafka's words, sorted, or the error in their place.

    The client gives an empty list where the broker refuses (confluent-kafka 2.16): look at the rights and at the
    broker's authorizer before an empty list is believed.
    """
    found = answer_or_refusal(cluster.client.describe_acls(EVERY_ACL, request_timeout=TIMEOUT_S))
    return found if isinstance(found, Refusal) else sorted(map(_acl, found), key=lambda acl: tuple(acl.values()))


def known_acls(
    cluster: Cluster, told: ClusterDescription, readable: Collection[BrokerSettings]
) -> list[dict[str, str]] | Refusal:
    """`acls`, where its empty list means that there are none; else why they cannot be known.

    Args:
        readable: The settings of those brokers that gave them.
    """
    if not told.may_describe:
        return Refusal(NOT_ALLOWED)
    if readable and not any(broker.authorizer for broker in readable):
        return Refusal(NO_AUTHORIZER)
    return acls(cluster)


def _acl(acl: Any) -> dict[str, str]:
    # Kafka gives the cluster as a resource of access control the number that brokers have as a resource of settings.
    kind = "CLUSTER" if acl.restype is ResourceType.BROKER else acl.restype.name
    return {
        "resource_type": kind,
        "resource_name": acl.name,
        "pattern_type": acl.resource_pattern_type.name,
        "principal": acl.principal,
        "host": acl.host,
        "operation": acl.operation.name,
        "permission": acl.permission_type.name,
    }


def scram_users(cluster: Cluster) -> list[ScramUser] | Refusal:
    """All users with SCRAM credentials, sorted, or the error in their place.

    Ask only if the user may describe the cluster (`describe_cluster`): where a broker refuses, the client ends the
    whole process (confluent-kafka 2.16.1, munmap_chunk).
    """
    future: Any = cluster.client.describe_user_scram_credentials(request_timeout=TIMEOUT_S)
    found = answer_or_refusal(future)
    if isinstance(found, Refusal):
        return found
    users = (
        ScramUser(name, info.mechanism.name.replace("_", "-"), info.iterations)
        for name, described in found.items()
        for info in described.scram_credential_infos
    )
    return sorted(users, key=lambda user: (user.user, user.mechanism))


def _set_by(entries: Mapping[str, Any], source: ConfigSource) -> dict[str, str | None]:
    return {name: entry.value for name, entry in sorted(entries.items()) if entry.source == source.value}
