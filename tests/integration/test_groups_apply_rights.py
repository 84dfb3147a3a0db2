"""Groups that the user may not write to are named with Kafka's code; the others get their offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from local.processes import wait_until
from millpond.groups.values import Group, PartitionOffset, TopicOffsets
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.restore.groups.apply import Manner, apply_offsets
from millpond.restore.groups.same import SameOffsets
from tests import oracle

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP
READ, DESCRIBE = AclOperation.READ, AclOperation.DESCRIBE
RIGHTS = ((TOPIC, "open", READ), (TOPIC, "seen", DESCRIBE), (GROUP, "mine", READ), (GROUP, "theirs", DESCRIBE))


def allow(kafka: KafkaCluster, user: str) -> None:
    allowed, literal = AclPermissionType.ALLOW, ResourcePatternType.LITERAL
    entries = [AclBinding(kind, name, literal, f"User:{user}", "*", right, allowed) for kind, name, right in RIGHTS]
    client = AdminClient(kafka.client())
    for done in client.create_acls(entries).values():
        done.result()


def a_group(name: str, ids: dict[str, str]) -> Group:
    topics = (TopicOffsets(topic, ids[topic], (PartitionOffset(0, 3, 0, "m", 5),)) for topic in ids)
    return Group(name, "classic", "Empty", "", 0, tuple(topics))


def test_what_the_user_may_not_write_is_named_and_the_rest_is_applied(
    kafka_factory: Callable[..., KafkaCluster],
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    bootstrap = kafka.bootstrap()
    ids = {topic: oracle.make_topic(bootstrap, topic) for topic in ("hidden", "open", "seen")}
    for topic in ids:
        oracle.produce(bootstrap, topic, [b"v"] * 5)
    kafka.create_user("alice", "secret")
    allow(kafka, "alice")
    config: dict[str, Any] = kafka.client("SASL_SSL", user="alice", password="secret")
    alice = Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), {name: str(text) for name, text in config.items()}))
    wait_until(lambda: set(alice.topic_names()) == {"open", "seen"}, "the rights are known")
    hidden: set[str] = set()
    decides = SameOffsets("a", alice.describe(ids, refused=hidden), hidden)
    groups = [a_group(name, ids) for name in ("mine", "theirs", "unknown")]
    found = apply_offsets(alice, decides, groups, Manner())
    told = {(one.group, entry.topic): (entry.status, entry.reason) for one in found for entry in one.entries}
    topic_refused, group_refused = ("failed", "TOPIC_AUTHORIZATION_FAILED"), ("failed", "GROUP_AUTHORIZATION_FAILED")
    assert told == {
        ("mine", "hidden"): topic_refused,
        ("mine", "open"): ("applied", ""),
        ("mine", "seen"): topic_refused,
        ("theirs", "hidden"): topic_refused,
        ("theirs", "open"): group_refused,
        ("theirs", "seen"): group_refused,
        ("unknown", "hidden"): topic_refused,
        ("unknown", "open"): group_refused,
        ("unknown", "seen"): group_refused,
    }
    assert {one.status for one in found} == {"failed"}
    held = {name: oracle.commits(bootstrap, name) for name in ("mine", "theirs", "unknown")}
    assert held == {"mine": {("open", 0): (3, "m")}, "theirs": {}, "unknown": {}}
