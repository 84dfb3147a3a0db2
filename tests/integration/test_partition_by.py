"""Windows in parts, from a real broker over real S3 calls and back; and somebody is forgotten in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from millpond.archive.catalog import read_partition
from millpond.archive.identity import read_identity
from millpond.archive.keys import Incarnation, PartitionId
from millpond.backup.partitioner import Partitioner
from millpond.backup.path_policies import PathPolicies
from millpond.erasure.request import parse_policy
from millpond.records import Row
from millpond.restore.writing import target
from millpond.restore.writing.source import Source, parts_of
from millpond.storage.s3 import S3Store
from millpond.verify.coverage import coverage_of
from tests import oracle
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import ARCHIVE_ID, make_window
from tests.unit.erasure.archive_builder import KEY_PLACE, SECRET, Pond, request, searched
from tests.unit.parts_builder import store_in_parts

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

CUSTOMERS = [f"customer-{number}" for number in range(50)]
ANNA = CUSTOMERS[7]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


def produced(bootstrap: str, topic: str, count: int) -> dict[int, list[Row]]:
    """Records of 50 customers over two days in two partitions, as a consumer reads them."""
    oracle.make_topic(bootstrap, topic, 2)
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for n in range(count):
        for number in range(2):
            producer.produce(
                topic,
                None if n % 11 == 0 else json.dumps({"order": n}).encode(),
                CUSTOMERS[n * 7 % 50].encode(),
                partition=number,
                timestamp=1767312000000 + n % 2 * 86_400_000 + n,
                headers=[("trace", b"%d" % n), ("trace", None)][: n % 3],
            )
    assert producer.flush(30) == 0
    return {number: [tuple(r) for r in records] for number, records in oracle.read_topic(bootstrap, topic).items()}  # type: ignore[misc]


def restored_digests(restore: Restore, line: dict[str, Any]) -> list[tuple[str, list[Row]]]:
    found = []
    for part in parts_of(line):
        with ExitStack() as stack:
            reader = Source(restore.store, LAYOUT, ARCHIVE_ID).open(part, stack)
            found.append((reader.digest, [row for rows in reader.batches() for row in rows]))
    return found


def test_fifty_customers_in_parts_come_back_as_from_one_object_and_one_of_them_is_forgotten(
    bootstrap: str, s3: Any, bucket: str, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("parts")
    source = produced(bootstrap, topic, 600)
    restore, plain = Restore(bootstrap, S3Store(bucket, client=s3)), Restore(bootstrap, run_id="plain")
    policy = {topic: searched(KEY_PLACE)}
    given = parse_policy(json.dumps({"topics": policy}))
    archive_id = read_identity(restore.store, LAYOUT).archive_id
    policies = PathPolicies(restore.store, LAYOUT, archive_id, secret=SECRET, given=[given])
    partitioner = Partitioner.of("key,timestamp.date").protected(policies)
    for number, rows in source.items():
        place = PartitionId(Incarnation(topic, oracle.topic_id_of(bootstrap, topic, 2)), number)
        for start in (0, 300):
            window = rows[start : start + 300]
            facts = make_window(window, partition=place, archive_id=archive_id).facts
            assert store_in_parts(restore.store, window, partitioner, layout=LAYOUT, facts=facts).endswith(".parts")
            plain.add(topic, window, number)
        listing = read_partition(restore.store, LAYOUT, place)
        assert (len(listing.windows), listing.position(log_start=0)) == (2, 600)
        assert len(listing.parts) > 50
        assert not any("customer-" in part.info.key.split("/parts/")[1].split("/")[0] for part in listing.parts)

    report = restore.all(topic, prefix="parts.")
    restore.holds(f"parts.{topic}", source)
    plain.all(topic, prefix="plain.")
    plain.holds(f"plain.{topic}", source)
    assert restore.target(f"parts.{topic}") == plain.target(f"plain.{topic}")
    assert all(part["digest_archive"] == part["digest_target"] for part in report["partitions"])
    for _, line in restore.run.lines():
        for digest, rows in restored_digests(restore, line):
            assert digest and rows[0][0] % 300 == 0 and len(rows) == 300

    pond = _pond(restore)
    asked = request(ANNA, topics=policy)
    plan = pond.plan(asked)
    assert plan["totals"]["skipped"] > 150
    assert pond.redact() == 0
    receipt = pond.reconcile()
    gone = sum(row[2] == ANNA.encode() for rows in source.values() for row in rows)
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", gone)
    versions = s3.list_object_versions(Bucket=bucket, Prefix="kafka/topics/")
    assert all(version["IsLatest"] for version in versions["Versions"]) and "DeleteMarkers" not in versions

    after = Restore(bootstrap, restore.store, run_id="after")
    after.all(topic, prefix="after.")
    after.holds(f"after.{topic}", {n: [r for r in rows if r[2] != ANNA.encode()] for n, rows in source.items()})
    found = coverage_of(restore.store, LAYOUT, now_ms=1)
    assert (found["unexplained"], found["missing_parts"], found["topics"][0]["parts"]["orphans"]) == (0, 0, 0)


def _pond(restore: Restore) -> Pond:
    """What is there already, under the identity that the restore made."""
    pond = Pond.__new__(Pond)
    pond.store, pond.layout, pond.secret, pond.archive_id = restore.store, LAYOUT, SECRET, ARCHIVE_ID
    return pond
