"""The deployed system on the local AWS: what the demo tells, and what happens when things go wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from confluent_kafka import Producer

from local.aws import LocalAws
from local.demo import shop
from local.demo.deployment import Deployed
from local.demo.screen import Screen
from local.demo.story import Findings, play
from local.kafka import KafkaCluster
from local.kafka_settings import STEADY
from local.processes import wait_until
from local.topics import differences, read_topic
from millpond.archive.identity import read_identity
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo

CANARY = "canary-4711-identifier"


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Findings, Deployed, KafkaCluster]]:
    """The demo's story, told once with fewer records; everything stays up for the tests below."""
    with ExitStack() as up:
        kafka, aws = up.enter_context(KafkaCluster(config=STEADY)), up.enter_context(LocalAws())
        findings, deployed = play(Screen(), kafka, aws, 6000)
        yield findings, deployed, kafka


@pytest.fixture
def deployed(played: tuple[Findings, Deployed, KafkaCluster]) -> Deployed:
    return played[1]


def nothing(_: object) -> None:
    """For those who want no progress."""


def test_the_story_ends_with_everything_back_and_one_customer_gone(
    played: tuple[Findings, Deployed, KafkaCluster],
) -> None:
    findings, _, _ = played
    rows = {row[0]: row[1:] for row in findings.rows}
    lost = rows.pop("orders, after the accident")
    assert lost[0] == lost[1] and lost[2] == lost[3] and lost[4] == "equal"
    assert len(rows) == len(shop.TOPICS)
    for before, now, digest_before, digest_now, compared in rows.values():
        assert int(now) < int(before) and digest_before != digest_now and compared == "only they are gone"
    assert findings.document["redacted"]["status"] in ("COMPLETE", "COMPLETE_WITH_EXCEPTIONS")


def test_the_receipt_is_complete_and_names_nobody(deployed: Deployed) -> None:
    store, layout = deployed.open_archive()
    keys = [entry.key for entry in store.list(layout.under("erasures/receipts/")) if isinstance(entry, ObjectInfo)]
    with store.open(keys[0]) as stream:
        text = stream.read().decode()
    receipt = json.loads(text)
    assert receipt["status"] == "COMPLETE" and receipt["objects"]["dropped"] > 0, text
    assert shop.FORGOTTEN not in text


def test_no_stored_object_outside_topics_holds_an_identifier(deployed: Deployed) -> None:
    store, layout = deployed.open_archive()
    objects = [entry.key for entry in store.list(layout.prefix + "/") if isinstance(entry, ObjectInfo)]
    searched = [key for key in objects if not key.startswith(layout.topics)]
    assert searched
    for key in searched:
        with store.open(key) as stream:
            assert shop.FORGOTTEN.encode() not in stream.read(), key
    inbox = deployed.aws.client("s3").list_objects_v2(Bucket=deployed.storage["InboxBucketName"])
    assert inbox.get("KeyCount", 0) == 0


def test_a_restore_of_nothing_fails_with_a_reason_one_can_act_on(deployed: Deployed) -> None:
    with pytest.raises(MillpondError, match=r"no archived topic matches nonsense") as failure:
        deployed.execute("restore", "no-such-topic", {"topics": ["nonsense"]}, nothing)
    assert "FAILED" in str(failure.value) and "hint:" in str(failure.value)


def test_a_request_with_an_unknown_field_fails_before_anything_is_made(deployed: Deployed) -> None:
    with pytest.raises(MillpondError, match="topcs"):
        deployed.execute("restore", "typo", {"topcs": ["orders"]}, nothing)


def test_a_restore_over_foreign_records_is_refused(deployed: Deployed) -> None:
    before = read_topic(deployed.bootstrap, "customers")
    with pytest.raises(MillpondError, match="holds records that this run did not write"):
        deployed.execute("restore", "over-live", {"topics": ["customers"]}, nothing)
    assert not list(differences(before, read_topic(deployed.bootstrap, "customers")))


def test_a_malformed_erasure_request_fails_without_telling_the_identifier(deployed: Deployed) -> None:
    deployed.put_into_inbox("requests/bad.json", {"subjects": [{"type": "customer_id", "value": CANARY, "x": CANARY}]})
    with pytest.raises(MillpondError) as failure:
        deployed.execute("redact", "bad-request", {"request": "requests/bad.json"}, nothing)
    assert "FAILED" in str(failure.value) and CANARY not in str(failure.value)
    for log in deployed.aws.directory.rglob("*.log"):
        assert CANARY not in log.read_text(errors="replace"), log


def test_a_killed_consumer_is_replaced_and_nothing_is_lost(deployed: Deployed) -> None:
    producer = Producer({"bootstrap.servers": deployed.bootstrap})
    cluster, service = deployed.backup["ClusterName"], deployed.backup["ServiceName"]
    for number in range(2000):
        producer.produce("orders", b"{}", b"after-%d" % number)
    producer.flush()
    (task,) = deployed.aws.wait_for_tasks(cluster, service, 1)
    deployed.aws.kill_task(task["taskArn"])
    wait_until(
        lambda: [t for t in deployed.aws.wait_for_tasks(cluster, service, 1) if t["taskArn"] != task["taskArn"]],
        "the service replaces the task",
        timeout_s=60,
    )
    deployed.wait_covered(["orders"], nothing, timeout_s=120)
    life = Cluster(ClusterAddress(deployed.bootstrap)).describe(["orders"])["orders"].topic_id
    request = {"topics": ["orders"], "prefix": "after-kill.", "incarnation": {"orders": life}}
    deployed.execute("restore", "after-kill", request, nothing)
    source, target = read_topic(deployed.bootstrap, "orders"), read_topic(deployed.bootstrap, "after-kill.orders")
    kept = {
        n: [r for r in part if not shop.is_about(shop.FORGOTTEN, "orders", r.key, r.value)]
        for n, part in source.items()
    }
    assert not list(differences(kept, target))


def test_the_hourly_report_finds_nothing_unexplained(deployed: Deployed) -> None:
    schedules = deployed.aws.client("scheduler").list_schedules()["Schedules"]
    (arn,) = {arn for schedule in schedules if "ReportCoverage" in (arn := schedule["Target"]["Arn"])}
    answer = deployed.aws.client("lambda").invoke(FunctionName=arn, Payload=b"{}")
    report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    assert report["unexplained"] == 0 and report["partitions"] >= sum(shop.TOPICS.values())
    store, layout = deployed.open_archive()
    assert any(True for _ in store.list(layout.under("runs/coverage/")))
    assert read_identity(store, layout).created <= time.time_ns() // 1_000_000
