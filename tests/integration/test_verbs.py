"""The verbs that look, through the command line, on a real broker and the S3 API."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from millpond.cli.main import main
from millpond.storage.s3 import S3Store
from tests.integration.verb_runs import LAYOUT, Line, an_archive, etags
from tests.oracle import make_topic, produce, read_topic
from tests.unit.builders import ORDERS_3, a_partition, make_rows, put_gap, put_rows

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


def filled(store: S3Store, windows: int = 3) -> str:
    archive_id = an_archive(store)
    for first in range(0, 10 * windows, 10):
        put_rows(store, make_rows(first, 10), layout=LAYOUT, archive_id=archive_id)
    return archive_id


# -- info, ls, cat


def test_an_archive_of_a_real_topic_is_seen_through(
    kafka: KafkaCluster, store: S3Store, millpond: Line, unique_name: Name, tmp_path: Path
) -> None:
    topic = unique_name("t")
    make_topic(kafka.bootstrap(), topic, 2)
    for partition in range(2):
        produce(kafka.bootstrap(), topic, [b"%d" % number for number in range(100)], partition=partition)
    flags = ["--brokers", kafka.bootstrap(), "--topics", topic, "--spool", str(tmp_path), "--once"]
    assert millpond("backup", *flags) == 0
    before = etags(store)
    report = millpond.json("info", "--count")
    assert (millpond.code, report["records"], report["topics"][0]["topic"]) == (0, 200, topic)
    assert report["cluster_snapshots"]["count"] >= 1
    objects = millpond.json("ls", "--long")["objects"]
    assert sum(entry["records"] for entry in objects) == 200
    for number, records in read_topic(kafka.bootstrap(), topic).items():
        found = millpond.json("cat", "--topic", topic, "--partition", str(number))["records"]
        assert [(one["offset"], one["timestamp"]) for one in found] == [record[:2] for record in records]
    assert etags(store) == before


def test_what_is_missing_ends_info_with_3(store: S3Store, millpond: Line) -> None:
    archive_id = filled(store)
    assert millpond("info") == 0
    assert "MISSING" not in millpond.out
    put_rows(store, make_rows(50, 10), layout=LAYOUT, archive_id=archive_id)
    assert millpond("info") == 3
    assert "MISSING without a reason: partition 3 offsets 30 to 49" in millpond.out
    put_gap(store, 30, 49, layout=LAYOUT)
    assert millpond("info") == 0
    assert "20 offsets retention (1 markers)" in millpond.out


def test_a_missing_event_ends_info_with_3(store: S3Store, millpond: Line) -> None:
    filled(store)
    store.put_if_absent(LAYOUT.event(ORDERS_3.incarnation, 1767225600123, "missing"), b'{"partition": 3}')
    assert millpond("info") == 3
    assert "OBJECTS ARE MISSING: missing at 2026-01-01T00:00:00Z: partition 3" in millpond.out


def test_info_tells_partitions_and_counts_when_asked(store: S3Store, millpond: Line) -> None:
    filled(store)
    assert millpond("info", "--partitions", "--count") == 0
    assert "partition 3: offsets 0 to 29, 30 in windows, 30 records, 3 objects" in millpond.out
    assert millpond("info", "--topics", "nope.*") == 0
    assert "orders" not in millpond.out


def test_info_of_an_archive_without_records_says_so(store: S3Store, millpond: Line) -> None:
    an_archive(store)
    assert millpond("info") == 0
    assert "nothing archived yet" in millpond.out


@pytest.mark.parametrize("verb", [["info"], ["cat", "--topic", "orders", "--partition", "3"]])
def test_a_prefix_without_an_archive_is_wrong_usage(verb: list[str], millpond: Line) -> None:
    assert millpond(*verb) == 2
    assert "hint: " in millpond.err and millpond.out == ""


def test_info_names_the_last_restore_and_its_state(store: S3Store, millpond: Line) -> None:
    filled(store)
    plan = {"kind": "restore", "lines": 1, "request": {}}
    store.put_if_absent(LAYOUT.run("restore", "try-1", "plan.jsonl"), json.dumps(plan).encode() + b"\n{}\n")
    millpond("info")
    assert "last restore run: try-1" in millpond.out and "unfinished, 0 of 1 lines done" in millpond.out


def test_ls_names_objects_that_other_verbs_take(store: S3Store, millpond: Line) -> None:
    filled(store)
    assert millpond("ls", "--offsets", "12-13") == 0
    (line,) = millpond.out.splitlines()
    assert line.startswith("live ") and " 10-19 epoch 7 " in line
    assert millpond("cat", "--object", line.split()[1]) == 0
    assert [json.loads(record)["offset"] for record in millpond.out.splitlines()] == list(range(10, 20))


def test_ls_tells_each_kind_of_object_on_its_own_line(store: S3Store, millpond: Line) -> None:
    filled(store, windows=1)
    put_gap(store, 10, 19, layout=LAYOUT)
    store.put_if_absent(LAYOUT.event(ORDERS_3.incarnation, 1767225600123, "recreated"), b"{}")
    store.put_if_absent(f"{LAYOUT.folder(ORDERS_3)}odd\nname", b"")
    assert millpond("ls", "--long") == 0
    lines = millpond.out.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["event", "foreign", "live", "marker"]
    assert any("10 records, digest " in line for line in lines)


def test_cat_gives_avro_and_values_byte_for_byte(
    store: S3Store, bucket: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    filled(store)
    rows = [row for first in (0, 10, 20) for row in make_rows(first, 10)]
    common = ["cat", "--archive", f"s3://{bucket}/kafka", "--topic", "orders", "--partition", "3"]
    assert main([*common, "--format", "avro"]) == 0
    found: list[Any] = list(fastavro.reader(io.BytesIO(capfdbinary.readouterr().out)))
    assert [(one["offset"], one["value"]) for one in found] == [(row[0], row[3]) for row in rows]
    assert main([*common, "--format", "raw", "--delimiter", "\\0", "--limit", "7"]) == 0
    assert capfdbinary.readouterr().out == b"".join((row[3] or b"") + b"\0" for row in rows[:7])


def test_cat_over_a_hole_gives_what_is_there_and_ends_with_3(store: S3Store, millpond: Line) -> None:
    archive_id = filled(store, windows=1)
    put_rows(store, make_rows(20, 10), layout=LAYOUT, archive_id=archive_id)
    assert millpond("cat", "--topic", "orders", "--partition", "3", "--offsets", "8-21") == 3
    assert [json.loads(line)["offset"] for line in millpond.out.splitlines()] == [8, 9, 20, 21]
    assert "offsets 10 to 19 of orders-3 are missing without a reason" in millpond.err


def test_a_damaged_object_ends_cat_with_3_and_shows_no_record_in_the_error(store: S3Store, millpond: Line) -> None:
    filled(store, windows=1)
    (key,) = [key for key in etags(store) if key.endswith(".avro")]
    body = bytearray(store.open(key).read())
    body[-40] ^= 0xFF
    store.put_if_match(key, bytes(body), etags(store)[key])
    assert millpond("cat", "--object", key) == 3
    assert "is damaged" in millpond.err and "key-" not in millpond.err


def test_a_reader_that_has_seen_enough_ends_cat_and_ls_quietly(store: S3Store, millpond: Line) -> None:
    archive_id = an_archive(store)
    put_rows(store, make_rows(0, 20_000, size=200), layout=LAYOUT, archive_id=archive_id, block_records=1000)
    for first in range(20_000, 20_500):
        store.put_if_absent(f"{LAYOUT.folder(a_partition(partition=first))}{'x' * 200}", b"")
    for verb in (["cat", "--topic", "orders", "--partition", "3"], ["ls"]):
        command = [sys.executable, "-m", "millpond.cli.main", *verb, "--archive", millpond.archive]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)) as child:
            assert child.stdout and child.stderr
            assert child.stdout.readline()
            child.stdout.close()
            assert child.stderr.read() == b""
            assert child.wait(120) == 0
