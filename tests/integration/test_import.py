"""Backups of other tools, from S3 into an archive on S3, and from there to a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from millpond.restore.writing import target
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.integration.verb_runs import LAYOUT, Line, etags
from tests.unit.imports.foreign import keep_file, keep_key, row
from tests.unit.imports.test_import_golden import KEEP, OSO, as_map, expected

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def on_this_aws(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def store(bucket: str, s3: Any) -> S3Store:
    return S3Store(bucket, client=s3)


@pytest.fixture
def millpond(capsys: pytest.CaptureFixture[str], bucket: str) -> Line:
    return Line(capsys, f"s3://{bucket}/kafka")


def uploaded(s3: Any, bucket: str, folder: Path) -> str:
    """The URL of a copy of the folder in the bucket, beside the archive."""
    for path in folder.rglob("*"):
        if path.is_file():
            s3.put_object(Bucket=bucket, Key=f"source/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())
    return f"s3://{bucket}/source"


BACKUPS = [
    ("kafka-data-keep", KEEP / "bucket", KEEP / "expected.json", False),
    ("kafka-data-keep", KEEP / "bucket-multi", KEEP / "expected-multi.json", False),
    ("kafka-backup", OSO / "bucket" / "oso" / "golden-001", OSO / "expected.json", True),
    ("kafka-backup", OSO / "bucket" / "oso" / "golden-002-headers-lz4", OSO / "expected.json", True),
]


@pytest.mark.parametrize(("name", "folder", "wanted", "in_order"), BACKUPS, ids=lambda one: getattr(one, "name", None))
def test_an_imported_backup_is_restored_to_a_broker_as_it_was(
    kafka: KafkaCluster,
    s3: Any,
    bucket: str,
    store: S3Store,
    millpond: Line,
    unique_name: Name,
    name: str,
    folder: Path,
    wanted: Path,
    in_order: bool,
) -> None:
    source = uploaded(s3, bucket, folder)
    report = millpond.json("import", name, source)
    assert (millpond.code, report["problems"]) == (0, [])
    before = etags(store)
    assert millpond("import", name, source) == 0
    assert etags(store) == before
    right = expected(wanted)
    assert report["records"] == sum(map(len, right.values()))
    prefix = unique_name("r") + "."
    assert millpond("restore", "--all", "--to-brokers", kafka.bootstrap(), "--prefix", prefix) == 0, millpond.err
    for topic in {topic for topic, _ in right}:
        found = oracle.read_topic(kafka.bootstrap(), prefix + topic)
        theirs = {(topic, number): list(map(tuple, records)) for number, records in found.items()}
        ours = {place: rows for place, rows in right.items() if place[0] == topic}
        assert without_offsets(as_map(theirs, in_order=in_order)) == without_offsets(as_map(ours, in_order=in_order))


def without_offsets(rows: dict[Any, list[Any]]) -> dict[Any, list[Any]]:
    return {place: [found[1:] for found in of] for place, of in rows.items()}


def test_an_imported_archive_is_seen_through(s3: Any, bucket: str, store: S3Store, millpond: Line) -> None:
    source = uploaded(s3, bucket, OSO / "bucket-gap")
    assert millpond("import", "kafka-backup", source) == 0
    assert "1300 records in 2 windows written" in millpond.out and "ignored: e1/offsets.db" in millpond.out
    (topic,) = millpond.json("info", "--count")["topics"]
    assert (topic["records"], topic["unexplained_ranges"]) == (1300, 0)
    assert topic["gaps"]["retention"]["offsets"] == 300
    assert [event["kind"] for event in topic["events"]] == ["imported"]
    assert millpond("cat", "--topic", "e.ret", "--partition", "0", "--offsets", "998-1301") == 0
    assert [json.loads(line)["offset"] for line in millpond.out.splitlines()] == [998, 999, 1300, 1301]
    assert oracle.incarnations(store, LAYOUT, "e.ret") == [topic["topic_id"]]
    read = oracle.read_archive_records(store, LAYOUT, "e.ret", topic["topic_id"])
    assert [record.offset for record in read[0]] == [*range(1000), *range(1300, 1600)]


def test_groups_are_listed_as_those_of_a_backup(s3: Any, bucket: str, millpond: Line) -> None:
    millpond("import", "kafka-data-keep", uploaded(s3, bucket, KEEP / "bucket"))
    shown = millpond.json("groups show")
    assert "g.group-mid" in json.dumps(shown)


def test_a_damaged_file_is_named_with_exit_code_3_and_the_rest_comes(
    s3: Any, bucket: str, millpond: Line, store: S3Store
) -> None:
    source = uploaded(s3, bucket, KEEP / "bucket")
    key = "source/kafka-topics-backup/g.mixed/1/g.mixed-1-0000000000000000000.avro"
    content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.put_object(Bucket=bucket, Key=key, Body=content[:-5] + b"\0" + content[-4:])
    assert millpond("import", "kafka-data-keep", source) == 3
    assert "PROBLEM: cannot read kafka-topics-backup/g.mixed/1/g.mixed-1-0000000000000000000.avro" in millpond.out
    assert "partition 1: " in millpond.out and "STOPPED" in millpond.out
    assert sum(topic["records"] for topic in millpond.json("info", "--count")["topics"]) == 304 - 35


def test_a_killed_import_goes_on_where_it_stopped(s3: Any, bucket: str, millpond: Line, store: S3Store) -> None:
    for partition in range(4):
        for first in range(0, 3000, 500):
            rows = [row(offset, b"%d" % offset * 50) for offset in range(first, first + 500)]
            content = keep_file(rows, partition=partition)
            s3.put_object(Bucket=bucket, Key=f"source/{keep_key(first, partition=partition)}", Body=content)
    flags = ["import", "kafka-data-keep", f"s3://{bucket}/source", "--archive", f"s3://{bucket}/kafka"]
    command = [sys.executable, "-m", "millpond.cli.main", *flags, "--window-bytes", "20000"]
    process = subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL)
    while len(etags(store)) < 24 + 15:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = millpond.json("import", "kafka-data-keep", f"s3://{bucket}/source", "--window-bytes", "20000")
    assert report["held"] > 0 and report["records"] > 0 and report["held"] + report["records"] == 12000
    topic_id = report["topics"][0]["topic_id"]
    found = oracle.read_archive_records(store, LAYOUT, "orders", topic_id)
    assert {number: [record.offset for record in records] for number, records in found.items()} == {
        number: list(range(3000)) for number in range(4)
    }
    assert millpond.json("info")["unexplained"] == 0


def test_wrong_words_are_refused_before_anything_is_read(millpond: Line, store: S3Store, tmp_path: Path) -> None:
    assert millpond("import", "tarball", str(tmp_path)) == 2
    assert millpond("import", "kafka-backup", str(tmp_path / "none")) == 2
    assert millpond("import", "kafka-backup", "https://example.org/x") == 2
    assert millpond("import", "kafka-data-keep", str(tmp_path), "--drop-aborted") == 2
    assert millpond("import", "kafka-data-keep", str(tmp_path)) == 2
    assert etags(store) == {}
