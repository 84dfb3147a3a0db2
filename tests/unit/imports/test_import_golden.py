"""Backups that the tools themselves made come back as the records that were in Kafka, as far as their formats can."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from millpond.groups.keep import newest
from millpond.records import Row
from tests.unit.imports.foreign import DATA, LAYOUT, Import, Rows

KEEP, OSO = DATA / "kafka-data-keep", DATA / "oso"
BACKUPS = ["golden-001", "golden-002-headers-lz4", "golden-003-none"]


def expected(path: Path, *, committed: bool = False) -> Rows:
    """Records by partition, with headers as they were in Kafka."""
    found: Rows = defaultdict(list)
    for record in json.loads(path.read_text())["records"]:
        if record.get("committed", True) or not committed:
            headers = tuple((name.encode(), decoded(value)) for name, value in record["headers"])
            row = (record["offset"], record["timestamp"], decoded(record["key"]), decoded(record["value"]), headers)
            found[record["topic"], record["partition"]].append(row)
    return {place: sorted(rows) for place, rows in found.items()}


def decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def as_map(rows: Rows, *, in_order: bool) -> dict[Any, list[Any]]:
    """Headers as both formats can hold them: the last of a name, at the place of the first; null is empty."""

    def kept(row: Row) -> Any:
        headers = {name: value or b"" for name, value in row[4]}
        return *row[:4], list(headers.items()) if in_order else sorted(headers.items())

    return {place: [kept(row) for row in found] for place, found in rows.items()}


def test_kafka_data_keep_yields_every_record() -> None:
    into = Import()
    report = into(KEEP / "bucket", "kafka-data-keep")
    wanted = as_map(expected(KEEP / "expected.json"), in_order=False)
    assert as_map(into.rows(), in_order=False) == wanted
    assert (report["records"], report["windows"], report["problems"]) == (304, 12, [])
    assert sum(map(len, wanted.values())) == 304


def test_files_that_overlap_yield_each_record_once() -> None:
    into = Import()
    assert into(KEEP / "bucket-multi", "kafka-data-keep")["records"] == 110
    assert into.rows() == expected(KEEP / "expected-multi.json")
    assert into.markers("g.multi", 0) == []


@pytest.mark.parametrize("name", BACKUPS)
def test_kafka_backup_yields_every_record_and_no_control_record(name: str) -> None:
    into = Import()
    report = into(OSO / "bucket" / "oso" / name, "kafka-backup")
    assert as_map(into.rows(), in_order=True) == as_map(expected(OSO / "expected.json"), in_order=True)
    left_out = [partition["left_out"] for topic in report["topics"] for partition in topic["partitions"]]
    assert sum(found.get("abort", 0) + found.get("commit", 0) for found in left_out) == 13
    assert (report["records"], report["problems"]) == (304, [])


@pytest.mark.parametrize("name", BACKUPS)
def test_aborted_records_are_left_out_where_the_operator_asks_for_it(name: str) -> None:
    into = Import()
    report = into(OSO / "bucket" / "oso" / name, "kafka-backup", drop_aborted=True)
    wanted = expected(OSO / "expected.json", committed=True)
    assert as_map(into.rows(), in_order=True) == as_map(wanted, in_order=True)
    assert report["records"] == 304 - 24


def test_ends_of_transactions_at_the_end_of_a_partition_are_covered() -> None:
    into = Import()
    into(OSO / "bucket" / "oso" / "golden-001", "kafka-backup")
    listings = into.listings()
    ends = {place: listing.position(log_start=0) for place, listing in listings.items()}
    known = json.loads((OSO / "expected.json").read_text())["end_offsets"]
    assert ends == {(topic, int(number)): end for topic, found in known.items() for number, end in found.items()}
    assert not any(listing.unexplained() for listing in listings.values())


def test_a_gap_that_the_manifest_explains_is_a_retention_marker() -> None:
    into = Import()
    report = into(OSO / "bucket-gap", "kafka-backup")
    assert into.markers("e.ret") == [(1000, 1299, "retention")]
    rows = into.rows()["e.ret", 0]
    assert [row[0] for row in rows] == [*range(1000), *range(1300, 1600)]
    assert all(row[3] == b"v-%d" % row[0] for row in rows)
    assert report["ignored"] == ["e1/offsets.db"]


def test_consumer_groups_of_kafka_data_keep_become_a_snapshot() -> None:
    into = Import()
    report = into(KEEP / "bucket", "kafka-data-keep")
    ids = {topic["topic"]: topic["topic_id"] for topic in report["topics"]}
    snapshot = newest(into.store, LAYOUT)
    assert snapshot is not None
    wanted = json.loads((KEEP / "expected-consumer-groups.json").read_text())
    for group, told in zip(snapshot.groups, sorted(wanted, key=lambda group: group["group_id"]), strict=True):
        assert group.group_id == told["group_id"]
        assert {
            (topic.topic, topic.topic_id, one.partition, one.offset, one.leader_epoch, one.metadata)
            for topic in group.topics
            for one in topic.partitions
        } == {
            (
                topic["topic"],
                ids[topic["topic"]],
                one["partition"],
                one["offset"],
                -1 if one["leader_epoch"] is None else one["leader_epoch"],
                one["metadata"] or "",
            )
            for topic in told["topics"]
            for one in topic["partitions"]
        }


def test_consumer_groups_of_kafka_backup_become_a_snapshot_of_their_time() -> None:
    into, folder = Import(), OSO / "bucket" / "oso" / "golden-001"
    into(folder, "kafka-backup")
    snapshot = newest(into.store, LAYOUT)
    told = json.loads((folder / "consumer-groups-snapshot.json").read_text())
    assert snapshot is not None and snapshot.at == told["snapshot_time"]
    found = {
        group.group_id: {t.topic: {str(p.partition): p.offset for p in t.partitions} for t in group.topics}
        for group in snapshot.groups
    }
    assert found == {group["group_id"]: group["offsets"] for group in told["groups"]}


def test_the_event_of_a_topic_says_what_its_format_lost() -> None:
    into = Import()
    into(OSO / "bucket-gap", "kafka-backup")
    (key,) = [key for key in into.stored() if key.endswith("-imported.json")]
    with into.store.open(key) as stream:
        event = json.loads(stream.read())
    assert (event["kind"], event["format"], event["source"]) == ("imported", "kafka-backup", "e1")
    assert {"aborted_records", "duplicate_headers", "null_header_values", "timestamp_type"} <= set(event["lost"])
