"""`millpond check` on a real broker and the S3 API: each probe passes, and each warns or fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from millpond.clock import now_ms
from millpond.findings import Finding, State
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.preflight import reading as reading_probe
from millpond.preflight.reading import reading
from millpond.preflight.run import storage_findings
from millpond.storage.s3 import S3Store
from tests.faults.s3_proxy import Call, Fault, FaultyS3, Rule
from tests.integration.verb_runs import LAYOUT, Line, an_archive, etags
from tests.oracle import QUICK, make_topic, produce

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def on_this_aws(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.fixture
def store(bucket: str, s3: Any) -> S3Store:
    return S3Store(bucket, client=s3)


@pytest.fixture
def millpond(capsys: pytest.CaptureFixture[str], bucket: str) -> Line:
    return Line(capsys, f"s3://{bucket}/kafka")


@pytest.fixture
def topic(kafka: KafkaCluster, unique_name: Name) -> str:
    name = unique_name("t")
    make_topic(kafka.bootstrap(), name, 2)
    produce(kafka.bootstrap(), name, [b"value"] * 20)
    return name


def seen(bootstrap: str) -> tuple[set[str], set[str]]:
    """Topics and groups."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    topics = {name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")}
    return topics, {group.group_id for group in admin.list_consumer_groups().result(30).valid}


def test_all_is_well_and_nothing_is_left_behind_but_one_object(
    kafka: KafkaCluster, topic: str, store: S3Store, millpond: Line, tmp_path: Path
) -> None:
    an_archive(store, Cluster(ClusterAddress(kafka.bootstrap())).cluster_id())
    before, objects = seen(kafka.bootstrap()), etags(store)
    flags = ["--brokers", kafka.bootstrap(), "--topics", topic]
    for _ in range(2):
        found = millpond.check(*flags, "--spool", str(tmp_path / "s"), "--max-bytes", "9999")
        assert {probe: one["text"] for probe, one in found.items() if one["state"] != "OK"} == {}
    assert set(found) == {
        *("archive", "store put", "store get", "store conditional put", "versioning", "object lock", "lifecycle"),
        *("restores", "clock", "brokers", "cluster", "creation", "group", "topics", "rights", "topic ids", "retention"),
        *("erasure term", "tombstones", "transactions", "reading", "spool"),
    }
    assert millpond.code == 0
    assert seen(kafka.bootstrap()) == before
    assert etags(store).keys() - objects.keys() == {"kafka/runs/check/probe/probe.json"}
    assert not (tmp_path / "s").exists()


def test_a_folder_is_checked_too_and_has_no_bucket(
    kafka: KafkaCluster, topic: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = Line(capsys, f"file://{tmp_path}").check("--brokers", kafka.bootstrap(), "--topics", topic)
    assert found["store conditional put"]["state"] == "OK"
    assert "versioning" not in found and "clock" not in found


def test_restores_that_were_not_finished_are_told(
    kafka: KafkaCluster, topic: str, store: S3Store, millpond: Line
) -> None:
    an_archive(store, Cluster(ClusterAddress(kafka.bootstrap())).cluster_id())
    for run_id in ("done", "left"):
        for name in ("orders", "payments"):
            store.put_if_absent(f"kafka/runs/restore/{run_id}/prepared/{name}.json", b"{}")
        store.put_if_absent(f"kafka/runs/restore/{run_id}/plan.jsonl", b"{}")
    store.put_if_absent("kafka/runs/restore/done/settings.json", b"{}")
    store.put_if_absent("kafka/runs/restore/planned/plan.jsonl", b"{}")
    found = millpond.check("--brokers", kafka.bootstrap(), "--topics", topic)["restores"]
    assert found["state"] == "WARNING" and millpond.code == 0
    assert found["text"].startswith("not finished: left (2 topics);") and "--finish" in found["hint"]


def test_the_archive_of_another_cluster_fails(kafka: KafkaCluster, topic: str, store: S3Store, millpond: Line) -> None:
    an_archive(store, "another")
    found = millpond.check("--brokers", kafka.bootstrap(), "--topics", topic)
    assert (found["cluster"]["state"], millpond.code) == ("FAILED", 3)
    assert millpond("check", "--brokers", kafka.bootstrap(), "--topics", topic) == 3
    assert "FAILED   cluster: the archive holds cluster another" in millpond.out


def test_topics_that_are_not_there_fail_and_are_not_made(kafka: KafkaCluster, millpond: Line) -> None:
    before = seen(kafka.bootstrap())
    found = millpond.check("--brokers", kafka.bootstrap(), "--topics", "no-such-topic")
    assert (found["topics"]["state"], millpond.code) == ("FAILED", 3)
    assert seen(kafka.bootstrap()) == before


def test_settings_of_topics_are_judged(kafka: KafkaCluster, millpond: Line, unique_name: Name) -> None:
    names = [unique_name(base) for base in ("short", "ever", "comp")]
    make_topic(kafka.bootstrap(), names[0], retention_ms="3600000")
    make_topic(kafka.bootstrap(), names[1], retention_ms="-1")
    make_topic(kafka.bootstrap(), names[2], cleanup_policy="compact", delete_retention_ms="1000")
    flags = ["--brokers", kafka.bootstrap(), "--topics", ",".join(names)]
    found = millpond.check(*flags)
    for probe, name in (("retention", names[0]), ("erasure term", names[1]), ("tombstones", names[2])):
        assert found[probe]["state"] == "WARNING" and name in found[probe]["text"], probe
    assert millpond.code == 0
    found = millpond.check(*flags, "--longest-stop-hours", "0.0001", "--erasure-days", "0")
    assert (found["retention"]["state"], found["tombstones"]["state"]) == ("OK", "OK")
    assert "erasure term" not in found


def test_a_transaction_that_was_left_open_long_ago_is_a_warning(
    kafka: KafkaCluster, topic: str, millpond: Line
) -> None:
    producer = Producer(kafka.client(transactional_id=topic))
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(topic, b"v", partition=1, timestamp=now_ms() - 3_600_000)
    producer.flush()
    found = millpond.check("--brokers", kafka.bootstrap(), "--topics", topic)["transactions"]
    assert found["state"] == "WARNING" and f"{topic}-1 (1 records, for 60 minutes)" in found["text"], found["text"]
    producer.abort_transaction()


def test_brokers_that_do_not_answer_fail(millpond: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.kafka.admin.TIMEOUT_S", 1)
    found = millpond.check("--brokers", "127.0.0.1:1", "--topics", "t")
    assert (found["brokers"]["state"], millpond.code) == ("FAILED", 3)
    assert "topics" not in found and found["store put"]["state"] == "OK"


@pytest.mark.parametrize("flags", [["--topics", "["], ["--topics", "t", "--kafka", "no.such=1"], []], ids=str)
def test_wrong_settings_end_check_with_2(flags: list[str], millpond: Line) -> None:
    assert millpond("check", "--brokers", "127.0.0.1:1", *flags) == 2
    assert millpond.out == ""


def test_a_bucket_that_is_not_there_fails(kafka: KafkaCluster, topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = Line(capsys, "s3://no-such-bucket-here/kafka")
    found = line.check("--brokers", kafka.bootstrap(), "--topics", topic)
    assert (found["archive"]["state"], line.code) == ("FAILED", 3)
    assert "store put" not in found


@pytest.mark.parametrize("probe", ["creation", "spool"])
def test_what_this_machine_is_told_wrongly_is_found(
    probe: str, kafka: KafkaCluster, topic: str, millpond: Line, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    flags = {
        "creation": ["--kafka", "allow.auto.create.topics=true"],
        "spool": ["--spool", str(tmp_path / "file")],
    }
    found = millpond.check("--brokers", kafka.bootstrap(), "--topics", topic, *flags[probe])
    assert found[probe]["state"] != "OK"


# -- check: rights


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    """A cluster with rights, which makes topics for whoever names them."""
    with KafkaCluster(tls=True, acls=True, config={**STEADY, "auto.create.topics.enable": "true"}) as cluster:
        make_topic(cluster.bootstrap(), "orders")
        make_topic(cluster.bootstrap(), "payments")
        for topic in ("orders", "payments"):
            produce(cluster.bootstrap(), topic, [b"value"] * 5)
        yield cluster.wait_for_groups()


def a_user(cluster: KafkaCluster, name: str, *rights: tuple[ResourceType, str, AclOperation]) -> list[str]:
    """Flags of a user with these rights."""
    cluster.create_user(name, "p")
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    acls = [AclBinding(kind, on, literal, f"User:{name}", "*", what, allow) for kind, on, what in rights]
    cluster.allow(acls)
    settings = cluster.client("SASL_SSL", user=name, password="p")
    properties = {key: value for key, value in settings.items() if key != "bootstrap.servers"}
    flags = ["--brokers", str(settings["bootstrap.servers"])]
    return [*flags, *(part for key, value in properties.items() for part in ("--kafka", f"{key}={value}"))]


READ, DESCRIBE, CONFIGS = AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP


def test_the_rights_of_a_backup_are_enough(guarded: KafkaCluster, store: S3Store, millpond: Line) -> None:
    group = f"millpond-{an_archive(store, Cluster(ClusterAddress(guarded.bootstrap())).cluster_id())}"
    before = seen(guarded.bootstrap())
    flags = a_user(guarded, "whole", (TOPIC, "orders", READ), (TOPIC, "orders", CONFIGS), (GROUP, group, READ))
    found = millpond.check(*flags, "--topics", "orders")
    assert {probe: one["text"] for probe, one in found.items() if one["state"] != "OK"} == {}
    assert seen(guarded.bootstrap()) == before


def test_missing_rights_are_found_before_a_backup_is_run(guarded: KafkaCluster, millpond: Line) -> None:
    flags = a_user(guarded, "part", (TOPIC, "orders", DESCRIBE), (TOPIC, "payments", READ), (GROUP, "g", DESCRIBE))
    found = millpond.check(*flags, "--topics", "orders,payments", "--group-id", "g")
    assert (found["rights"]["state"], "orders" in found["rights"]["text"]) == ("FAILED", True)
    assert (found["group"]["state"], "Read" in found["group"]["text"]) == ("FAILED", True)
    assert found["reading"]["state"] == "OK"
    found = millpond.check(*flags, "--topics", "payments", "--group-id", "other")
    assert found["rights"]["state"] == "WARNING"
    assert found["group"]["state"] == "FAILED"


def test_a_user_who_sees_no_topic_is_told_so(guarded: KafkaCluster, millpond: Line) -> None:
    before = seen(guarded.bootstrap())
    found = millpond.check(*a_user(guarded, "none"), "--topics", "orders,brand-new")
    assert found["topics"]["state"] == "FAILED" and "may not describe" in found["topics"]["hint"]
    assert seen(guarded.bootstrap()) == before


def test_reading_itself_finds_what_brokers_do_not_tell(guarded: KafkaCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    a_user(guarded, "blind", (TOPIC, "orders", DESCRIBE), (TOPIC, "payments", READ))
    settings = guarded.client("SASL_SSL", user="blind", password="p")
    brokers = str(settings.pop("bootstrap.servers"))
    address = ClusterAddress(brokers, {key: str(value) for key, value in settings.items()})
    found = reading(address, "g", {("orders", 0): 0, ("payments", 0): 0})
    assert found.state is State.FAILED and "orders-0 (TOPIC_AUTHORIZATION_FAILED)" in found.text
    assert "payments" not in found.text
    monkeypatch.setattr(reading_probe, "_WITHIN_S", 0)
    found = reading(address, "g", {("payments", 0): 0})
    assert found.state is State.WARNING and "payments-0" in found.text


def test_a_wrong_password_fails_with_the_reason(
    guarded: KafkaCluster, millpond: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millpond.kafka.admin.TIMEOUT_S", 10)
    flags = [flag.replace("sasl.password=p", "sasl.password=wrong") for flag in a_user(guarded, "typo")]
    found = millpond.check(*flags, "--topics", "orders")
    assert found["brokers"]["state"] == "FAILED" and "credentials" in found["brokers"]["hint"]


# -- check: the bucket


def states(findings: list[Finding]) -> dict[str, State]:
    return {finding.probe: finding.state for finding in findings}


def bucket_states(bucket: str, url: str | None = None, *, ahead_s: float = 0) -> dict[str, State]:
    client = boto3.client("s3", endpoint_url=url)
    store = S3Store(bucket, client=client)
    found = storage_findings(store, LAYOUT, endpoint_url=url, now_ms=lambda: now_ms() + round(ahead_s * 1000))
    return states(found)


def test_a_bucket_without_versions_is_a_warning(s3: Any, unique_name: Name) -> None:
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name)
    assert bucket_states(name)["versioning"] is State.WARNING


def test_a_lifecycle_that_removes_windows_fails(s3: Any, bucket: str) -> None:
    rule = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "kafka/"}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert bucket_states(bucket)["lifecycle"] is State.FAILED
    other = rule | {"Filter": {"Prefix": "kafka/runs/"}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [other]})
    assert bucket_states(bucket)["lifecycle"] is State.OK


@pytest.mark.parametrize(("mode", "state"), [("COMPLIANCE", State.WARNING), ("GOVERNANCE", State.OK)])
def test_a_lock_that_forbids_erasure_is_a_warning(mode: str, state: State, s3: Any, unique_name: Name) -> None:
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": mode, "Days": 7}}}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
    assert bucket_states(name)["object lock"] is state


@pytest.mark.parametrize(("ahead_s", "state"), [(0, State.OK), (-120, State.WARNING), (3600, State.FAILED)])
def test_a_clock_that_is_wrong_is_found(ahead_s: float, state: State, bucket: str) -> None:
    assert bucket_states(bucket, ahead_s=ahead_s)["clock"] is state


def refusing(method: str, part: str) -> Rule:
    """403 for one kind of call: a word of the query, or of the path."""

    def rule(call: Call) -> Fault | None:
        hit = call.method == method and (part in call.query or part in call.path)
        return Fault(status=403, code="AccessDenied") if hit else None

    return rule


@pytest.mark.parametrize(
    ("method", "part", "probe", "state"),
    [
        ("PUT", "probe.json", "store put", State.FAILED),
        ("GET", "probe.json", "store get", State.FAILED),
        ("GET", "versioning", "versioning", State.WARNING),
        ("GET", "object-lock", "object lock", State.WARNING),
        ("GET", "lifecycle", "lifecycle", State.WARNING),
        ("GET", "list-type", "clock", State.WARNING),
    ],
)
def test_a_refused_call_is_found_and_does_not_end_the_check(
    method: str, part: str, probe: str, state: State, aws: LocalAws, bucket: str
) -> None:
    with FaultyS3(aws.url, refusing(method, part)) as proxy:
        found = bucket_states(bucket, proxy.url)
    assert found.pop(probe) is state
    others = {"restores": State.WARNING} if part == "list-type" else {}
    assert {name: one for name, one in found.items() if one is not State.OK} == others


def test_a_second_put_that_is_refused_for_another_reason_fails(aws: LocalAws, bucket: str) -> None:
    def rule(call: Call) -> Fault | None:
        return Fault(status=501, code="NotImplemented") if call.method == "PUT" and call.nth > 1 else None

    with FaultyS3(aws.url, rule) as proxy:
        assert bucket_states(bucket, proxy.url)["store conditional put"] is State.FAILED


@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed"])
def test_a_store_that_knows_no_such_question_is_a_warning(code: str, aws: LocalAws, bucket: str) -> None:
    def rule(call: Call) -> Fault | None:
        return Fault(status=405, code=code) if "object-lock" in call.query else None

    with FaultyS3(aws.url, rule) as proxy:
        assert bucket_states(bucket, proxy.url)["object lock"] is State.WARNING


def test_a_store_that_stops_answering_fails(aws: LocalAws, bucket: str) -> None:
    def rule(call: Call) -> Fault | None:
        return Fault(status=503, code="SlowDown") if "versioning" in call.query else None

    with FaultyS3(aws.url, rule) as proxy:
        assert bucket_states(bucket, proxy.url)["versioning"] is State.FAILED
