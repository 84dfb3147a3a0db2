"""What each part may do with Kafka: read its secrets and, where MSK asks IAM, the Kafka actions it needs.

MSK names topics and groups under the name and id of their cluster. Topics are chosen by regular expressions, which
IAM has none of, so the rights are on all topics.
"""

from __future__ import annotations

import re

import aws_cdk as cdk
from aws_cdk import aws_iam as iam

from infra import nag
from infra.config import Access

_LOOK = ["kafka-cluster:DescribeTopic", "kafka-cluster:DescribeTopicDynamicConfiguration"]
_METADATA = ["kafka-cluster:DescribeCluster", "kafka-cluster:DescribeClusterDynamicConfiguration"]
_SET_UP = ["kafka-cluster:CreateTopic", "kafka-cluster:AlterTopicDynamicConfiguration"]
_USE_GROUP = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
_OWN_GROUPS, _ALL = "millpond-*", "*"
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")


def grant_backup(role: iam.IRole, access: Access) -> None:
    """Read every topic, commit to the backup's own group, and keep snapshots of cluster and groups."""
    grant_snapshot(role, access)
    _allow(role, access, "topic", _ALL, ["kafka-cluster:ReadData"])
    _allow(role, access, "group", _OWN_GROUPS, ["kafka-cluster:AlterGroup"])


def grant_snapshot(role: iam.IRole, access: Access) -> None:
    """Look at the cluster, its topics and its groups."""
    _connect(role, access, _METADATA)
    _allow(role, access, "topic", _ALL, _LOOK)
    _allow(role, access, "group", _ALL, ["kafka-cluster:DescribeGroup"])


def grant_preflight(role: iam.IRole, access: Access) -> None:
    """Look at the target and its topics, and ask whether topics could be made and changed, without doing it."""
    _connect(role, access, _METADATA)
    _allow(role, access, "topic", _ALL, [*_LOOK, *_SET_UP])


def grant_prepare(role: iam.IRole, access: Access) -> None:
    """Make topics and set them up, without any record."""
    _connect(role, access)
    _allow(role, access, "topic", _ALL, [*_LOOK, *_SET_UP])


def grant_restore(role: iam.IRole, access: Access) -> None:
    """Write records and read them back; groups of restores' own keep two workers off one partition."""
    _connect(role, access, ["kafka-cluster:WriteDataIdempotently"])
    _allow(role, access, "topic", _ALL, [*_LOOK, "kafka-cluster:WriteData", "kafka-cluster:ReadData"])
    _allow(role, access, "group", _OWN_GROUPS, _USE_GROUP)


def grant_compare(role: iam.IRole, access: Access) -> None:
    """Read records. MSK ties reading to a group, which is joined by nobody."""
    _connect(role, access)
    _allow(role, access, "topic", _ALL, [*_LOOK, "kafka-cluster:ReadData"])
    _allow(role, access, "group", _OWN_GROUPS, _USE_GROUP)


def grant_groups(role: iam.IRole, access: Access) -> None:
    """Commit offsets of all groups. Kafka lets only those commit to a topic who may read it."""
    _connect(role, access)
    _allow(role, access, "topic", _ALL, [*_LOOK, "kafka-cluster:ReadData"])
    _allow(role, access, "group", _ALL, _USE_GROUP)


def grant_finish(role: iam.IRole, access: Access, *, acls: bool) -> None:
    """Set restored topics up; and, only where the deployment says so, add access control to the cluster."""
    _connect(role, access, ["kafka-cluster:DescribeCluster", "kafka-cluster:AlterCluster"] if acls else None)
    _allow(role, access, "topic", _ALL, [*_LOOK, "kafka-cluster:AlterTopicDynamicConfiguration"])


def _connect(role: iam.IRole, access: Access, more: list[str] | None = None) -> None:
    for name in access.secrets:
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[_secret_arn(role, name)])
        )
    if access.secrets and access.secrets_key_arn:
        role.add_to_principal_policy(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[access.secrets_key_arn]))
    if access.security == "iam":
        actions = ["kafka-cluster:Connect", *(more or [])]
        role.add_to_principal_policy(iam.PolicyStatement(actions=actions, resources=[access.cluster_arn]))


def _allow(role: iam.IRole, access: Access, kind: str, name: str, actions: list[str]) -> None:
    if access.security != "iam":
        return
    resource = f"{access.cluster_arn.replace(':cluster/', f':{kind}/')}/{name}"
    role.add_to_principal_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
    nag.accept_wildcard(role, resource, "Topics are chosen by regular expressions, and groups are named by archives.")


def _secret_arn(role: iam.IRole, name: str) -> str:
    """Whole ARNs end with six characters that Secrets Manager adds to the name."""
    if name.startswith("arn:"):
        return name if _SUFFIX.search(name) else f"{name}-??????"
    return cdk.Stack.of(role).format_arn(
        service="secretsmanager",
        resource="secret",
        resource_name=f"{name}-??????",
        arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
    )
