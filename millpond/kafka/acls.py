"""Access control entries as values, and the one change that is made to them: entries are added."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from itertools import islice

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from millpond.kafka.admin import TIMEOUT_S, Cluster
from millpond.kafka.answers import Refusal, answer_or_refusal

_AT_ONCE = 500
EVERYTHING = "*"
"""As a literal name it stands for all names."""


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One entry, in Kafka's words.

    Attributes:
        pattern_type: LITERAL or PREFIXED.
        permission: ALLOW or DENY.
    """

    resource_type: str
    resource_name: str
    pattern_type: str
    principal: str
    host: str
    operation: str
    permission: str

    @classmethod
    def of(cls, document: dict[str, str]) -> Acl:
        """`KeyError` or `TypeError` for what is no entry."""
        found = {field.name: document[field.name] for field in fields(cls)}
        if not all(isinstance(content, str) for content in found.values()):
            raise TypeError("an access control entry has a part that is no text")
        return cls(**found)

    def document(self) -> dict[str, str]:
        return asdict(self)

    @property
    def is_pattern(self) -> bool:
        """Whether it speaks of more than one name."""
        return self.pattern_type != "LITERAL" or self.resource_name == EVERYTHING

    def covers(self, name: str) -> bool:
        """Whether its pattern matches the name, if that is one of its kind of resource."""
        if self.pattern_type == "PREFIXED":
            return name.startswith(self.resource_name)
        return self.resource_name in (name, EVERYTHING)


def is_known(acl: Acl) -> bool:
    """Whether the client has words for all of the entry; it has none for users and delegation tokens."""
    return (
        acl.resource_type in ("CLUSTER", "TOPIC", "GROUP", "TRANSACTIONAL_ID")
        and acl.pattern_type in ("LITERAL", "PREFIXED")
        and acl.operation in AclOperation.__members__
        and acl.operation not in ("UNKNOWN", "ANY")
        and acl.permission in ("ALLOW", "DENY")
    )


def create_acls(cluster: Cluster, wanted: Iterable[Acl]) -> dict[Acl, Refusal]:
    """Adds known entries, in order; those that were refused. One that is there already stays as it is."""
    left = iter(wanted)
    refused: dict[Acl, Refusal] = {}
    while some := list(islice(left, _AT_ONCE)):
        bindings = {_binding(acl): acl for acl in some}
        futures = cluster.client.create_acls(list(bindings), request_timeout=TIMEOUT_S)
        answers = {bindings[binding]: answer_or_refusal(future) for binding, future in futures.items()}
        refused |= {acl: answer for acl, answer in answers.items() if isinstance(answer, Refusal)}
    return refused


def _binding(acl: Acl) -> AclBinding:
    # Kafka gives the cluster as a resource of access control the number that brokers have as a resource of settings.
    kind = ResourceType.BROKER if acl.resource_type == "CLUSTER" else ResourceType[acl.resource_type]
    return AclBinding(
        kind,
        acl.resource_name,
        ResourcePatternType[acl.pattern_type],
        acl.principal,
        acl.host,
        AclOperation[acl.operation],
        AclPermissionType[acl.permission],
    )
