"""A cluster beside its snapshot, and made anew from it, on real brokers with and without access control."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewPartitions,
    ResourcePatternType,
    ResourceType,
)

from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import wait_until
from millpond.archive.identity import open_or_create
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.cli.main import main
from millpond.cluster.acls import WantedAcls, add_acls
from millpond.cluster.apply import Change, Step, take_steps
from millpond.cluster.keep import keep
from millpond.cluster.whole import take_whole
from millpond.kafka import metadata
from millpond.kafka.acls import Acl, create_acls
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import read
from millpond.storage.urls import open_store
from tests import oracle
from tests.integration.kafka_requests import set_for_all_brokers
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import make_rows

Name = Callable[[str], str]
SETTINGS = {"cleanup.policy": "compact", "retention.ms": "86400000", "min.insync.replicas": "1"}


def acl(
    name: str, kind: str = "TOPIC", *, pattern: str = "LITERAL", operation: str = "READ", permission: str = "ALLOW"
) -> Acl:
    return Acl(kind, name, pattern, "User:Zoë Ö.", "10.1.2.3" if permission == "DENY" else "*", operation, permission)


ACLS = [
    acl("orders"),
    acl("orders", operation="WRITE", permission="DENY"),
    acl("ord", pattern="PREFIXED", operation="DESCRIBE"),
    acl("*", operation="ALL", permission="DENY"),
    acl("billing", "GROUP"),
    acl("kafka-cluster", "CLUSTER", operation="IDEMPOTENT_WRITE"),
    acl("tx-", "TRANSACTIONAL_ID", pattern="PREFIXED", operation="WRITE"),
    acl("not-there-any-more", operation="ALTER_CONFIGS"),
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    """The source: three topics, an entry of every kind."""
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster(acls=True, config=STEADY) as kafka:
        cluster = Cluster(ClusterAddress(kafka.bootstrap()))
        cluster.create_topic("orders", 3, SETTINGS)
        cluster.create_topic("events", 1, {})
        cluster.create_topic("audit.log", 2, {"max.message.bytes": "2000000"})
        assert create_acls(cluster, ACLS) == {}
        wait_until(lambda: len(acls_of(kafka)) == len(ACLS), "the entries are known")
        yield kafka


def entries(kind: ResourceType = ResourceType.ANY, name: Any = None) -> AclBindingFilter:
    """A filter for entries of this name, or for all."""
    anything: Any = None  # the client's types do not know that it matches everything
    pattern = ResourcePatternType.ANY
    return AclBindingFilter(kind, name, pattern, anything, anything, AclOperation.ANY, AclPermissionType.ANY)


def acls_of(kafka: KafkaCluster) -> list[tuple[str, ...]]:
    """All entries, asked with the client alone."""
    client = AdminClient(kafka.client())  # its futures end with it
    words = ("restype", "name", "resource_pattern_type", "principal", "host", "operation", "permission_type")
    found = client.describe_acls(entries()).result()
    return sorted(tuple(str(getattr(one, word)) for word in words) for one in found)


def delete_acls(kafka: KafkaCluster, chosen: AclBindingFilter) -> None:
    client = AdminClient(kafka.client())
    client.delete_acls([chosen])[chosen].result()


class Place:
    """An archive in a folder, and the verbs on it."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url, self._capsys = url, capsys
        self.store, prefix = open_store(url, endpoint_url=None)
        self.layout = Layout(prefix)

    def run(self, *words: str) -> int:
        self.code = main(["cluster", *words, "--archive", self.url])
        self.out, self.err = self._capsys.readouterr()
        return self.code

    def json(self, *words: str) -> Any:
        self.run(*words, "--json")
        return json.loads(self.out)

    def snapshot(self, kafka: KafkaCluster, *flags: str) -> Any:
        cluster_id = Cluster(ClusterAddress(kafka.bootstrap())).cluster_id()
        open_or_create(self.store, self.layout, cluster_id=cluster_id, now_ms=1)
        return self.json("snapshot", "--brokers", kafka.bootstrap(), *flags)

    def diff(self, kafka: KafkaCluster, *flags: str) -> Any:
        return self.json("diff", "--brokers", kafka.bootstrap(), *flags)

    def apply(self, kafka: KafkaCluster, *flags: str) -> Any:
        return self.json("apply", "--to-brokers", kafka.bootstrap(), *flags)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    (tmp_path / "archive").mkdir()
    return Place(f"file://{tmp_path}/archive", capsys)


def test_a_cluster_does_not_differ_from_its_own_snapshot(place: Place, guarded: KafkaCluster) -> None:
    told = place.snapshot(guarded)
    assert told["acls"] == len(ACLS)
    found = place.diff(guarded)
    assert place.code == 0 and found["differences"] == 0 and found["unread"] == []
    assert found["snapshot"]["key"] == told["key"] and found["cluster_id"] == found["snapshot"]["cluster_id"]
    assert place.run("diff", "--brokers", guarded.bootstrap()) == 0
    assert place.out.strip().endswith("beside the same cluster: no differences")


def test_every_kind_of_difference_shows(place: Place, kafka_factory: Callable[..., KafkaCluster]) -> None:
    kafka = kafka_factory(acls=True)
    cluster, client = Cluster(ClusterAddress(kafka.bootstrap())), AdminClient(kafka.client())
    for topic, partitions in (("gone", 2), ("grown", 1), ("set", 1), ("same", 1)):
        cluster.create_topic(topic, partitions, {"retention.ms": "5000"} if topic == "set" else {})
    create_acls(cluster, [acl("old"), acl("same")])
    wait_until(lambda: len(acls_of(kafka)) == 2 and "same" in cluster.topic_names(), "all is known")
    told = place.snapshot(kafka, "--topics", "grown|set")

    client.delete_topics(["gone"])["gone"].result()
    client.create_partitions([NewPartitions("grown", 4)])["grown"].result()
    cluster.create_topic("new", 1, {})
    cluster.set_topic_config("set", {"retention.ms": "6000", "segment.ms": "70000"})
    set_for_all_brokers(kafka.bootstrap(), "message.max.bytes", "2000000")
    delete_acls(kafka, entries(ResourceType.TOPIC, "old"))
    create_acls(cluster, [acl("new", "GROUP", permission="DENY")])

    wait_until(lambda: place.diff(kafka)["differences"] == 7, "all changes are known")
    found = place.diff(kafka)
    assert place.code == 3
    topics = found["topics"]
    (gone,), (new,) = topics["missing"], topics["extra"]
    assert (gone["topic"], gone["partitions"], new["topic"]) == ("gone", 2, "new")
    assert topics["changed"] == [
        {"topic": "grown", "partitions": {"archived": 1, "live": 4}},
        {
            "topic": "set",
            "settings": {"retention.ms": {"archived": "5000", "live": "6000"}, "segment.ms": {"live": "70000"}},
        },
    ]
    assert found["acls"]["missing"] == [acl("old").document()]
    assert found["acls"]["extra"] == [acl("new", "GROUP", permission="DENY").document()]
    assert found["brokers"] == {"all": {"message.max.bytes": {"live": "2000000"}}}
    assert found["not_selected"] == ["same"], "as the snapshot says; what is new is extra"
    assert place.diff(kafka, "--topics", "grown|new")["not_selected"] == ["same", "set"]

    assert place.run("diff", "--brokers", kafka.bootstrap()) == 3
    for line in (
        "missing topic gone: 2 partitions, 1 replicas",
        "topic grown: partitions 1 in the archive, 4 here",
        "topic set: segment.ms not set in the archive, 70000 here",
        "missing access control: ALLOW User:Zoë Ö. from *: READ on TOPIC LITERAL old",
        "all brokers: message.max.bytes not set in the archive, 2000000 here",
        "not covered by the backup: same",
    ):
        assert f"  {line}\n" in place.out, place.out
    assert place.run("diff", "--brokers", kafka.bootstrap(), "--at", str(told["at"] - 1)) == 2
    assert "no snapshot of the whole cluster of that time" in place.err


def test_a_cluster_is_made_anew_from_its_snapshot(
    place: Place, guarded: KafkaCluster, kafka_factory: Callable[..., KafkaCluster]
) -> None:
    place.snapshot(guarded)
    target = kafka_factory(acls=True)
    cluster = Cluster(ClusterAddress(target.bootstrap()))

    shown = place.apply(target, "--acls")
    assert place.code == 0 and shown["dry_run"] and len(shown["done"]) == 3 and len(shown["acls"]["added"]) == len(ACLS)
    assert cluster.topic_names() == [] and acls_of(target) == [], "nothing was changed"

    done = place.apply(target, "--acls", "--confirm")
    assert place.code == 0 and done["done"] == shown["done"] and done["failed"] == done["left"] == []
    assert done["acls"]["added"] == shown["acls"]["added"] and done["acls"]["left_out"] == []
    wait_until(lambda: len(acls_of(target)) == len(ACLS), "the entries are known")
    assert acls_of(target) == acls_of(guarded)
    wait_until(lambda: place.diff(target)["differences"] == 0, "the cluster is as the snapshot says")
    assert place.code == 0
    found = cluster.describe(["orders", "events", "audit.log"])
    assert {name: topic.partitions for name, topic in found.items()} == {"orders": 3, "events": 1, "audit.log": 2}
    assert cluster.topic_config("orders") == SETTINGS and cluster.topic_config("events") == {}

    again = place.apply(target, "--acls", "--confirm")
    assert place.code == 0 and again["done"] == again["acls"]["added"] == []
    assert len(again["acls"]["there"]) == len(ACLS)


def test_under_a_prefix_entries_follow_their_topics(
    place: Place, guarded: KafkaCluster, kafka_factory: Callable[..., KafkaCluster]
) -> None:
    place.snapshot(guarded)
    target = kafka_factory(acls=True)
    done = place.apply(target, "--acls", "--confirm", "--prefix", "r.", "--topics", "orders")
    assert place.code == 0 and [step["topic"] for step in done["done"]] == ["r.orders"]
    added = {(one["resource_type"], one["resource_name"], one["permission"]) for one in done["acls"]["added"]}
    assert added == {("TOPIC", "r.orders", "ALLOW"), ("TOPIC", "r.orders", "DENY"), ("GROUP", "billing", "ALLOW")}
    left = {(one["resource_name"], one["reason"]) for one in done["acls"]["left_out"]}
    assert left == {
        ("ord", "pattern_of_renamed_topics"),
        ("not-there-any-more", "not_restored"),
        ("kafka-cluster", "not_of_a_topic"),
        ("tx-", "not_of_a_topic"),
    }
    wait_until(lambda: len(acls_of(target)) == len(done["acls"]["added"]) == 4, "exactly these are there")


def test_what_is_there_is_changed_only_as_asked_and_never_deleted(
    place: Place, guarded: KafkaCluster, kafka_factory: Callable[..., KafkaCluster]
) -> None:
    place.snapshot(guarded)
    target = kafka_factory()
    cluster = Cluster(ClusterAddress(target.bootstrap()))
    cluster.create_topic("orders", 1, {"segment.ms": "70000"})
    cluster.create_topic("events", 4, {})
    cluster.create_topic("audit.log", 2, {})
    cluster.create_topic("extra", 1, {})
    wait_until(lambda: "extra" in cluster.topic_names(), "all are there")
    oracle.produce(target.bootstrap(), "orders", [b"v"] * 3, keys=[b"k"] * 3)

    place.apply(target, "--confirm")
    assert cluster.topic_config("audit.log") == {} and cluster.describe(["orders"])["orders"].partitions == 1

    done = place.apply(target, "--confirm", "--configs", "--add-partitions")
    assert place.code == 0
    assert done["done"] == [
        {"change": "settings", "topic": "audit.log", "settings": {"max.message.bytes": "2000000"}},
        {"change": "partitions", "topic": "orders", "partitions": 3},
        {"change": "settings", "topic": "orders", "settings": {"min.insync.replicas": "1"}},
    ]
    left = {(entry["topic"], entry["reason"]) for entry in done["left"]}
    assert left == {
        ("events", "has_more_partitions"),
        ("orders", "needs_apply_retention"),
        ("orders", "settings_are_not_removed"),
    }
    wait_until(lambda: cluster.describe(["orders"])["orders"].partitions == 3, "the partitions are there")
    kept = {"segment.ms": "70000", "min.insync.replicas": "1"}
    wait_until(lambda: cluster.topic_config("orders") == kept, "only what was asked for is set")

    place.apply(target, "--confirm", "--configs", "--apply-retention")
    wait_until(lambda: cluster.topic_config("orders") == SETTINGS | {"segment.ms": "70000"}, "all are set")
    assert set(cluster.topic_names()) == {"orders", "events", "audit.log", "extra"}
    assert cluster.describe(["events"])["events"].partitions == 4
    assert sum(oracle.ends_of(target.bootstrap(), "orders").values()) == 3


def test_a_topic_of_an_unfinished_restore_is_not_touched(
    place: Place, guarded: KafkaCluster, kafka: KafkaCluster, unique_name: Name
) -> None:
    place.snapshot(guarded)
    cluster, prefix = Cluster(ClusterAddress(kafka.bootstrap())), unique_name("r") + "."
    name, safe = f"{prefix}orders", {"retention.ms": "-1", "cleanup.policy": "delete"}
    cluster.create_topic(name, 1, safe)
    topic_id = cluster.wait_for(name).topic_id
    run = Run(place.store, place.layout, "restore", "drill")
    document = {"topic": name, "topic_id": topic_id, "cluster_id": cluster.cluster_id()}
    run.write_once(document, "prepared", f"{name}.json")
    everything = ("--prefix", prefix, "--topics", "orders", "--configs", "--apply-retention", "--add-partitions")

    (changed,) = place.diff(kafka, "--prefix", prefix)["topics"]["changed"]
    assert changed["restoring"] == "drill"
    done = place.apply(kafka, *everything, "--confirm")
    assert place.code == 0 and done["done"] == []
    assert done["left"] == [{"topic": name, "reason": "in_an_unfinished_restore"}]
    assert cluster.topic_config(name) == safe

    run.write_once({}, "settings.json")
    place.apply(kafka, *everything, "--confirm")
    wait_until(lambda: cluster.topic_config(name) == SETTINGS, "a finished one may be changed")


def test_without_access_control_on_the_cluster_that_is_told_and_topics_are_made(
    place: Place, guarded: KafkaCluster, kafka: KafkaCluster, unique_name: Name
) -> None:
    place.snapshot(guarded)
    prefix = unique_name("p") + "."
    done = place.apply(kafka, "--acls", "--confirm", "--prefix", prefix)
    assert place.code == 1 and len(done["done"]) == 3
    assert done["acls"]["code"] == "SECURITY_DISABLED" and done["acls"]["added"] == []
    assert place.run("apply", "--to-brokers", kafka.bootstrap(), "--acls", "--prefix", prefix) == 1
    assert "  FAILED: access control: SECURITY_DISABLED\n" in place.out and place.err == ""


def test_a_setting_that_brokers_do_not_know_holds_up_nothing_else(
    place: Place, guarded: KafkaCluster, kafka: KafkaCluster, unique_name: Name
) -> None:
    key, prefix = place.snapshot(guarded)["key"], unique_name("s") + "."
    document = json.loads(read(place.store, key))
    for topic in document["topics"]:
        topic["config"]["unknown.setting"] = "1"
    document["at"] += 1
    place.store.put_if_absent(place.layout.cluster(document["at"]), json.dumps(document).encode())
    flags = ("--prefix", prefix, "--topics", "orders")
    cluster, refused = Cluster(ClusterAddress(kafka.bootstrap())), []
    for confirm in ((), ("--confirm",)):
        done = place.apply(kafka, *flags, *confirm)
        assert place.code == 1 and [step["change"] for step in done["done"]] == ["make"]
        refused.append([(one["settings"], one["code"]) for one in done["failed"]])
    assert refused[0] == refused[1] == [({"unknown.setting": "1"}, "INVALID_CONFIG")]
    wait_until(lambda: f"{prefix}orders" in cluster.topic_names(), "it is made")
    wait_until(lambda: cluster.topic_config(f"{prefix}orders") == SETTINGS, "with the settings that are known")


def test_a_topic_that_is_refused_for_more_than_its_settings_is_not_told_as_made(
    kafka: KafkaCluster, unique_name: Name
) -> None:
    """One broker cannot give two replicas, with whatever settings."""
    cluster = Cluster(ClusterAddress(kafka.bootstrap()))
    step = Step(Change.MAKE, unique_name("t"), 1, 2, {"retention.ms": "60000", "not.a.setting": "1"})
    for dry_run in (True, False):
        taken = take_steps(cluster, [step], dry_run=dry_run)
        assert (taken.done, [told for told, _ in taken.refused]) == ((), [step])
    assert cluster.describe([step.topic]) == {}


def test_an_entry_that_is_refused_is_named_and_the_others_are_added(guarded: KafkaCluster) -> None:
    bad, good = acl("other-name", "CLUSTER"), acl("just-added", "GROUP")
    cluster = Cluster(ClusterAddress(guarded.bootstrap()))
    found = add_acls(cluster, WantedAcls((bad, good), snapshot="key"))
    try:
        assert found["failed"] == [bad.document() | {"code": "INVALID_REQUEST"}]
        assert found["added"] == [good.document()] and found["code"] is None
        wait_until(lambda: len(acls_of(guarded)) == len(ACLS) + 1, "it is there")
    finally:
        delete_acls(guarded, entries(ResourceType.GROUP, "just-added"))
        wait_until(lambda: len(acls_of(guarded)) == len(ACLS), "as it was")


def test_a_user_without_rights_is_told_and_adds_nothing(kafka_factory: Callable[..., KafkaCluster]) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    kafka.create_user("alice", "secret")
    config = {name: str(text) for name, text in kafka.client("SASL_SSL", user="alice", password="secret").items()}
    alice = Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), config))
    wanted = WantedAcls((acl("orders"),), snapshot="key")
    assert add_acls(alice, wanted)["code"] == "CLUSTER_AUTHORIZATION_FAILED"
    describe = Acl("CLUSTER", "kafka-cluster", "LITERAL", "User:alice", "*", "DESCRIBE", "ALLOW")
    assert create_acls(Cluster(ClusterAddress(kafka.bootstrap())), [describe]) == {}
    wait_until(lambda: metadata.describe_cluster(alice).may_describe, "the right is known")
    found = add_acls(alice, wanted)
    assert [one["code"] for one in found["failed"]] == ["CLUSTER_AUTHORIZATION_FAILED"] and found["added"] == []
    assert len(acls_of(kafka)) == 1


def test_a_restore_of_all_topics_ends_with_the_same_access_control(
    guarded: KafkaCluster, kafka_factory: Callable[..., KafkaCluster]
) -> None:
    target = kafka_factory(acls=True)
    restore = Restore(target.bootstrap())
    keep(restore.store, LAYOUT, take_whole(Cluster(ClusterAddress(guarded.bootstrap())), None, now_ms=1))
    rows = make_rows(0, 5)
    restore.add("orders", rows)
    restore.all(all=True, acls=True)
    assert acls_of(target) == [], "not before all records are proven"
    done = restore.finish()
    assert len(done["acls"]["added"]) == len(ACLS) and done["acls"]["failed"] == done["acls"]["left_out"] == []
    wait_until(lambda: acls_of(target) == acls_of(guarded), "both have the same entries")
    restore.holds("orders", {0: rows})


def test_an_archive_without_a_snapshot_says_how_to_get_one(place: Place, kafka: KafkaCluster) -> None:
    for words in (("diff", "--brokers"), ("apply", "--to-brokers")):
        assert place.run(*words, kafka.bootstrap()) == 2 and "`millpond cluster snapshot` takes one" in place.err
