"""The user of a restore lacks rights on the target: it is told before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from local.processes import wait_until
from millpond.errors import MillpondError, WrongUsage
from millpond.findings import State
from millpond.groups.keep import keep
from millpond.groups.values import Group, GroupSnapshot
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.restore.writing import target
from tests import oracle
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import ARCHIVE_ID, make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
PASSWORD = "canary-of-the-password"
ALL = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS, AclOperation.ALTER_CONFIGS)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)


def allow(
    kafka: KafkaCluster, user: str, name: str, *operations: AclOperation, kind: ResourceType = ResourceType.TOPIC
) -> None:
    where = (kind, name, ResourcePatternType.LITERAL, f"User:{user}", "*")
    entries = [AclBinding(*where, operation, AclPermissionType.ALLOW) for operation in operations]
    kafka.allow(entries)


def restore_as(kafka: KafkaCluster, user: str) -> Restore:
    """A new user's, who may do nothing yet."""
    kafka.create_user(user, PASSWORD)
    restore = Restore(kafka.bootstrap())
    settings = kafka.client("SASL_SSL", user=user, password=PASSWORD)
    address = ClusterAddress(kafka.bootstrap("SASL_SSL"), {name: str(text) for name, text in settings.items()})
    restore.cluster = Cluster(address)
    return restore


def test_missing_rights_are_told_before_anything_is_written(
    kafka_factory: Callable[..., KafkaCluster], unique_name: Name
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    for topic in ("open", "unwritable", "fixed", "blind", "unseen"):
        oracle.make_topic(kafka.bootstrap(), topic)
    alice = restore_as(kafka, "alice")
    allow(kafka, "alice", "open", *ALL)
    allow(kafka, "alice", "unwritable", AclOperation.READ, AclOperation.DESCRIBE_CONFIGS, AclOperation.ALTER_CONFIGS)
    allow(kafka, "alice", "fixed", AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS)
    allow(kafka, "alice", "blind", AclOperation.READ, AclOperation.WRITE)
    allow(kafka, "alice", "unmade", *ALL)
    allow(kafka, "alice", "made", AclOperation.CREATE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    wait_until(lambda: set(alice.cluster.topic_names()) == {"open", "unwritable", "fixed", "blind"}, "rights are known")

    def refused(topic: str) -> str:
        alice.run_id = topic
        alice.add(topic, make_rows(0, 5))
        alice.plan(topic)
        with pytest.raises(MillpondError) as caught:
            alice.preflight()
        assert caught.value.exit_code == 2 and caught.value.hint and PASSWORD not in str(caught.value)
        with pytest.raises(MillpondError):
            alice.prepare()
        return str(caught.value.args[0])

    assert "the user lacks rights on unwritable (Write)" in refused("unwritable")
    assert "the user lacks rights on fixed (AlterConfigs)" in refused("fixed")
    assert "DescribeConfigs is missing on blind" in refused("blind")
    assert "Describe is missing on unseen" in refused("unseen")
    assert "unmade: " in (told := refused("unmade")) and "AUTHORIZATION_FAILED" in told
    assert set(Cluster(ClusterAddress(kafka.bootstrap())).topic_names()) & {"unmade"} == set()

    alice.run_id = "made"
    alice.add("made", make_rows(0, 5))
    alice.plan("made")
    assert alice.preflight()["rights"].text.endswith("on 1 topics they are seen once these are made")
    with pytest.raises(WrongUsage, match=r"lacks rights on made: Write, Read, AlterConfigs"):
        alice.prepare()
    allow(kafka, "alice", "made", *ALL)

    def prepared() -> Any:
        try:
            return alice.prepare()
        except WrongUsage:
            return None

    (made,) = wait_until(prepared, "the granted rights are known")
    assert made["made"] is True and alice.run.find("prepared", "made.json") == json.loads(json.dumps(made))

    alice.run_id = "open"
    alice.add("open", make_rows(0, 5))
    alice.plan("open")
    found = alice.preflight()
    assert {name: one.text for name, one in found.items() if one.state is State.FAILED} == {}
    assert found["exclusion"].state is State.WARNING
    assert found["exclusion"].text.endswith("Read is missing on the groups millpond-restore-open")
    alice.prepare()
    assert alice.work() == []


def test_rights_on_groups_and_on_the_cluster_are_looked_at_where_they_are_needed(
    kafka_factory: Callable[..., KafkaCluster],
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    oracle.make_topic(kafka.bootstrap(), "orders")
    bob = restore_as(kafka, "bob")
    allow(kafka, "bob", "orders", *ALL)
    allow(kafka, "bob", "new.billing", AclOperation.READ, kind=ResourceType.GROUP)
    bob.add("orders", make_rows(0, 5))
    known = (Group(name, "classic", "Empty", "", 0, ()) for name in ("billing", "shipping", "other"))
    assert keep(bob.store, LAYOUT, GroupSnapshot(1, ARCHIVE_ID, tuple(known))).key
    wait_until(lambda: bob.cluster.topic_names() == ["orders"], "rights are known")
    asked = {"include": ["billing", "shipping"], "prefix": "new."}

    def failed() -> dict[str, str]:
        with pytest.raises(WrongUsage) as caught:
            bob.preflight()
        return {"text": str(caught.value.args[0]), "hint": caught.value.hint}

    bob.plan("orders", groups=asked, acls=True)
    told = failed()
    assert "Read is missing on 1 of the groups that get offsets: new.shipping" in told["text"]
    assert "Alter is missing on the cluster" in told["text"] and "--acls" in told["hint"]
    assert "other" not in told["text"]

    for group in ("new.shipping", "millpond-restore-orders"):
        allow(kafka, "bob", group, AclOperation.READ, kind=ResourceType.GROUP)
    wait_until(lambda: "shipping" not in failed()["text"], "the granted right is known")
    allow(kafka, "bob", "kafka-cluster", AclOperation.ALTER, kind=ResourceType.BROKER)

    def well() -> Any:
        try:
            found = bob.preflight()
        except WrongUsage:
            return None
        return found if found["exclusion"].state is State.OK else None

    found = wait_until(well, "all granted rights are known")
    assert found["group rights"].text == "the user may set the offsets of 2 groups"
    assert found["cluster rights"].state is State.OK

    bob.run_id = "without"
    bob.plan("orders")
    assert not {"group rights", "cluster rights"} & bob.preflight().keys()
