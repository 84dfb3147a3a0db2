"""Snapshots and entries to compare."""

from __future__ import annotations

from typing import Any

from millpond.cluster.snapshot import TopicSnapshot
from millpond.cluster.whole import Missing, WholeSnapshot
from millpond.kafka.acls import Acl


def topic(name: str, partitions: int = 3, replication: int = 1, **config: str) -> TopicSnapshot:
    own = {setting.replace("_", "."): text for setting, text in config.items()}
    return TopicSnapshot(name, f"{name:A<22}"[:22], partitions, replication, own)


def acl(
    name: str = "orders",
    kind: str = "TOPIC",
    *,
    pattern: str = "LITERAL",
    principal: str = "User:a",
    operation: str = "READ",
    permission: str = "ALLOW",
) -> Acl:
    return Acl(kind, name, pattern, principal, "*", operation, permission)


def whole(*topics: TopicSnapshot, acls: tuple[Acl, ...] | None = (), **more: Any) -> WholeSnapshot:
    parts: dict[str, Any] = {
        "at": 1_767_225_660_000,
        "cluster_id": "c",
        "topics": topics,
        "brokers": ({"id": 1, "rack": None, "dynamic": {}, "static": {}},),
        "broker_defaults": {},
        "versions": (),
        "acls": None if acls is None else tuple(one.document() for one in acls),
        "scram_users": (),
    }
    return WholeSnapshot(**parts | more)


def unread(part: str, name: str = "", code: str = "X") -> Missing:
    return Missing(part, code, name)
