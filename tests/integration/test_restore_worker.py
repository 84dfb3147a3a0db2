"""Workers of a restore on a real broker: added headers, topics that hold records, limits, several workers at once."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType
from confluent_kafka.admin import ResourceType as Kind

from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.errors import MillpondError, RefusedForSafety, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.members import members_of
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.restore.writing import claim, processes, target
from millpond.restore.writing.claim import group_of
from millpond.restore.writing.produce import texts
from millpond.restore.writing.source_offset import NAME, with_source_offsets
from millpond.restore.writing.throttle import Throttle, size_of
from millpond.storage.contract import read
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

REPOSITORY = Path(__file__).parents[2]
Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here; `tests/faults` waits as long as the product does."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)
    monkeypatch.setattr(claim, "_JOIN_AFTER_S", 0.0)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


def members(restore: Restore, topic: str) -> set[tuple[str, str]]:
    """Run and partition of each worker that has one of the topic's."""
    found = members_of(restore.cluster, group_of(topic)) or []
    return {(member.client_id, member.instance_id) for member in found}


def write_by_hand(restore: Restore, topic: str, rows: list[Row]) -> None:
    records = [{"timestamp": r[1], "key": r[2], "value": r[3], "headers": texts(r[4])} for r in rows]
    oracle._send(oracle._producer(restore.bootstrap, random.Random(0)), topic, 0, records)


@contextmanager
def working(restore: Restore, **more: Any) -> Iterator[list[MillpondError]]:
    """A worker beside the block; its errors are there after it."""
    failed: list[MillpondError] = []
    thread = threading.Thread(target=lambda: failed.extend(restore.work(**more)))
    thread.start()
    try:
        yield failed
    finally:
        thread.join()


# -- the header with the source offset


def test_each_record_tells_its_source_offset_and_the_proof_is_of_the_archived_record(
    restore: Restore, unique_name: Name
) -> None:
    topic, rows = unique_name("header"), make_rows(0, 60)
    rows[10] = (10, 0, *rows[10][2:])
    rows[20] = (*rows[20][:4], (*rows[20][4], (NAME, b"7")))
    del rows[30:33]
    restore.add(topic, rows[:25])
    restore.add(topic, rows[25:])
    restore.plan(topic, source_offset_header=True)
    restore.prepare()
    assert restore.work() == []
    found = restore.target(topic)[0]
    assert [record[2:] for record in found] == [row[2:] for row in with_source_offsets(rows)]
    ((_, result),) = restore.run.results()
    assert result["digest_archive"] == result["digest_target"]
    assert (result["written"], result["stamp_zero"]) == (57, 1)
    plain = Restore(restore.bootstrap, restore.store, run_id="plain")
    plain.all(topic, prefix="plain.")
    assert [record[2:] for record in plain.target(f"plain.{topic}")[0]] == [row[2:] for row in rows]


@pytest.mark.parametrize("there", [7, 12, 20])
def test_a_run_with_the_header_goes_on_from_what_is_there(restore: Restore, unique_name: Name, there: int) -> None:
    topic, rows = unique_name("resume"), make_rows(0, 20)
    restore.add(topic, rows[:12])
    restore.add(topic, rows[12:])
    restore.plan(topic, source_offset_header=True)
    restore.prepare()
    write_by_hand(restore, topic, with_source_offsets(rows[:there]))
    assert restore.work() == []
    restore.holds(topic, {0: with_source_offsets(rows)})


@pytest.mark.parametrize("there", [7, 20])
def test_records_without_the_header_are_not_taken_for_those_of_a_run_with_it(
    restore: Restore, unique_name: Name, there: int
) -> None:
    topic, rows = unique_name("bare"), make_rows(0, 20)
    restore.add(topic, rows)
    restore.plan(topic, source_offset_header=True)
    restore.prepare()
    write_by_hand(restore, topic, rows[:there])
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and f"offset {there - 1} that this run did not write" in str(error)
    assert restore.ends(topic) == {0: there}


def test_a_record_in_the_middle_without_the_header_fails_the_proof(restore: Restore, unique_name: Name) -> None:
    topic, rows = unique_name("middle"), make_rows(0, 10)
    restore.add(topic, rows)
    restore.plan(topic, source_offset_header=True)
    restore.prepare()
    written = with_source_offsets(rows)
    write_by_hand(restore, topic, [*written[:4], rows[4], *written[5:]])
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "offset 4 that this run did not write" in str(error)
    assert list(restore.run.results()) == []


# -- topics that hold records already


def test_a_second_run_of_a_grown_archive_adds_only_what_is_new(restore: Restore, unique_name: Name) -> None:
    topic, rows = unique_name("grown"), make_rows(0, 50)
    restore.add(topic, rows[:30])
    restore.all(topic)
    restore.add(topic, rows[30:])
    restore.run_id = "more"
    report = restore.all(topic, allow_existing=True, offsets=[f"{topic}:0:30-"])
    restore.holds(topic, {0: rows})
    assert [(part["base"], part["end"]) for part in report["partitions"]] == [(30, 50)]
    assert restore.all(topic, allow_existing=True, offsets=[f"{topic}:0:30-"]) == report
    restore.holds(topic, {0: rows})


@pytest.mark.parametrize("there", [1, 4])
def test_a_worker_that_comes_back_counts_only_what_is_behind_the_records_that_were_there(
    restore: Restore, unique_name: Name, there: int
) -> None:
    topic, rows, old = unique_name("existing"), make_rows(0, 9), make_rows(500, 5)
    restore.add(topic, rows)
    oracle.make_topic(restore.bootstrap, topic)
    write_by_hand(restore, topic, old)
    restore.plan(topic, allow_existing=True)
    (prepared,) = restore.prepare()
    assert prepared["base"] == {"0": 5}
    write_by_hand(restore, topic, rows[:there])
    assert restore.work() == []
    restore.holds(topic, {0: old + rows})


def test_a_record_that_lands_behind_those_that_were_there_is_refused(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("existing")
    restore.add(topic, make_rows(0, 9))
    oracle.make_topic(restore.bootstrap, topic)
    oracle.produce(restore.bootstrap, topic, [b"old"] * 3)
    restore.plan(topic, allow_existing=True)
    restore.prepare()
    oracle.produce(restore.bootstrap, topic, [b"foreign"])
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "offset 3 that this run did not write" in str(error)
    assert restore.ends(topic) == {0: 4}


# -- the limit


def test_a_limit_of_bytes_a_second_is_kept_by_all_workers_together(restore: Restore, unique_name: Name) -> None:
    topic, limit = unique_name("slow"), 40_000
    expected = {number: make_rows(0, 520, size=480) for number in range(2)}
    for number, rows in expected.items():
        restore.add(topic, rows, number, block_records=200)
    restore.plan(topic, throttle=limit)
    restore.prepare()
    began = time.monotonic()
    with working(restore, unit=1, units=2) as failed:
        assert restore.work(unit=0, units=2) == []
    took = time.monotonic() - began
    assert failed == []
    size = sum(size_of(row) for rows in expected.values() for row in rows)
    assert took >= 10 and size / took <= 1.1 * limit
    restore.holds(topic, expected)


# -- several workers at once


def slow_run(restore: Restore, topic: str, seconds: float = 4.0, **more: Any) -> list[Row]:
    """A planned and prepared run that writes for about so long."""
    rows = make_rows(0, 200, size=100)
    if not any(restore.store.list(restore.layout.under("topics/"))):
        restore.add(topic, rows[:100], block_records=10)
        restore.add(topic, rows[100:], block_records=10)
    restore.plan(topic, throttle=int(sum(map(size_of, rows)) / seconds), **more)
    restore.prepare()
    return rows


def test_while_one_run_writes_to_a_topic_another_one_is_refused(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "_GONE_S", 1.0)
    topic = unique_name("shared")
    rows = slow_run(restore, topic)
    other = Restore(restore.bootstrap, restore.store, run_id="other")
    other.plan(topic, allow_existing=True)
    other.prepare()
    refused = threading.Event()
    with working(restore, progress=lambda _: refused.wait(120)) as failed:
        try:
            wait_until(lambda: members(restore, topic) == {("r", "0")}, "the first run has the partition")
            (error,) = other.work()
        finally:
            refused.set()
    assert isinstance(error, RefusedForSafety)
    assert f"restore run r writes to {topic} now" in str(error) and error.hint
    assert failed == []
    restore.holds(topic, {0: rows})
    assert members(restore, topic) == set()


def test_a_run_that_has_ended_does_not_keep_the_next_one_away(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("next")
    rows = slow_run(restore, topic, 1.0)
    assert restore.work() == []
    restore.run_id = "next"
    slow_run(restore, topic, 1.0, allow_existing=True)
    assert restore.work() == []
    restore.holds(topic, {0: rows + rows})
    assert [thread.name for thread in threading.enumerate() if "claim" in thread.name] == []


def test_a_second_worker_of_the_same_run_takes_the_partition_and_the_first_one_stops(
    restore: Restore, unique_name: Name
) -> None:
    """Nothing of the first one's is on its way while it waits for the limit."""
    topic = unique_name("twice")
    rows = slow_run(restore, topic, 8.0)
    joined = threading.Event()
    with working(restore, progress=lambda count: joined.wait(120)) as failed:
        wait_until(lambda: restore.ends(topic)[0] > 0, "the first worker writes")
        wait_until(lambda: members(restore, topic) == {("r", "0")}, "it has the partition")
        mine = claim.Claim(restore.cluster, "r", (topic, 0))
        wait_until(lambda: mine._member_id, "the second one has it")
        joined.set()
        wait_until(lambda: failed, "the first worker stops")
        mine.let_go()
        mine.join()
    (error,) = failed
    assert isinstance(error, TryAgain)
    assert f"another worker of this run has taken over {topic}-0" in str(error)
    assert 0 < restore.ends(topic)[0] < len(rows)
    assert restore.work() == []
    restore.holds(topic, {0: rows})


RIGHTS = (
    (Kind.TOPIC, "*", AclOperation.ALL),
    (Kind.BROKER, "kafka-cluster", AclOperation.ALL),
)


def test_a_user_without_a_right_to_the_group_restores_and_is_warned_once(
    kafka_factory: Callable[..., KafkaCluster], caplog: pytest.LogCaptureFixture
) -> None:
    kafka = kafka_factory(tls=True, acls=True)
    kafka.create_user("alice", "secret")
    allowed, literal = AclPermissionType.ALLOW, ResourcePatternType.LITERAL
    entries = [AclBinding(kind, name, literal, "User:alice", "*", right, allowed) for kind, name, right in RIGHTS]
    kafka.allow(entries)
    config = kafka.client("SASL_SSL", user="alice", password="secret")
    restore = Restore(kafka.bootstrap())
    restore.cluster = Cluster(ClusterAddress(kafka.bootstrap("SASL_SSL"), {n: str(v) for n, v in config.items()}))
    expected = {number: make_rows(0, 20) for number in range(3)}
    for number, rows in expected.items():
        restore.add("t", rows, number)
    restore.plan("t")
    restore.prepare()
    with caplog.at_level(logging.WARNING):
        assert restore.work() == []
    restore.holds("t", expected)
    assert sum("no right to group" in record.getMessage() for record in caplog.records) == 1


# -- processes


def ways(folder: str, bootstrap: str) -> processes.Ways:
    properties = {name: str(value) for name, value in oracle.QUICK.items()}
    return FolderStore(Path(folder)), Layout(""), Cluster(ClusterAddress(bootstrap, properties))


@pytest.fixture
def in_folder(kafka: KafkaCluster, tmp_path: Path) -> Restore:
    return Restore(kafka.bootstrap(), FolderStore(tmp_path), layout=Layout(""))


def test_processes_share_the_partitions_and_errors_come_back_as_they_are(
    in_folder: Restore, tmp_path: Path, unique_name: Name
) -> None:
    restore, topic = in_folder, unique_name("processes")
    expected = {number: make_rows(0, 30 + number) for number in range(5)}
    keys = [restore.add(topic, rows, number) for number, rows in expected.items()]
    restore.plan(topic)
    restore.prepare()
    good = read(restore.store, keys[3])
    head = restore.store.head(keys[3])
    assert head is not None
    restore.store.put_if_match(keys[3], good[:-1], head.etag)
    counts: list[int] = []
    opens = partial(ways, str(tmp_path), restore.bootstrap)
    (error,) = processes.restore_all(opens, run_id="r", workers=3, progress=counts.append)
    assert type(error).__name__ == "Changed" and f"cannot restore {topic}-3" in str(error) and error.hint
    assert sum(counts) == sum(len(rows) for number, rows in expected.items() if number != 3)
    assert error.object_key == keys[3]
    restore.holds(topic, expected | {3: []})


def test_processes_of_a_run_that_cannot_begin_say_why(in_folder: Restore, tmp_path: Path) -> None:
    failed = processes.restore_all(partial(ways, str(tmp_path), in_folder.bootstrap), run_id="none", workers=2)
    assert [error.exit_code for error in failed] == [2, 2]
    assert all("restore run none has no plan" in str(error) for error in failed)


ENDED = """
import sys
from functools import partial
from millpond.restore.writing.processes import restore_all
from tests.integration.test_restore_worker import ways
if __name__ == "__main__":
    print(*restore_all(partial(ways, *sys.argv[1:]), run_id="r", workers=2), sep="\\n", flush=True)
"""


def two_workers_write(
    restore: Restore, topic: str, folder: Path, *, throttle: int, **more: Any
) -> tuple[dict[int, list[Row]], subprocess.Popen[bytes]]:
    """The records that are due by partition, and the parent of two workers that have begun to write them."""
    expected = {number: make_rows(0, 100, size=100) for number in range(2)}
    for partition, rows in expected.items():
        restore.add(topic, rows, partition, block_records=10)
    restore.plan(topic, throttle=throttle)
    restore.prepare()
    script = folder.parent / f"{topic}.py"
    script.write_text(ENDED)
    parent = subprocess.Popen(
        [sys.executable, str(script), str(folder), restore.bootstrap],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        **more,
    )
    wait_until(lambda: all(restore.ends(topic).values()), "both workers write")
    return expected, parent


def children_of(process: subprocess.Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_a_worker_that_is_killed_is_told_of_and_the_others_finish(
    in_folder: Restore, tmp_path: Path, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, topic = in_folder, unique_name("killed")
    expected, parent = two_workers_write(restore, topic, tmp_path, throttle=2000, stdout=subprocess.PIPE)
    worker = next(one for one in children_of(parent) if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes())
    os.kill(int(worker), signal.SIGKILL)
    said = parent.communicate(timeout=120)[0].decode()
    assert "ended with -9" in said and "memory ran out, or it stood still for 20 s; the same run id goes on: r" in said
    assert len(dict(restore.run.results())) == 1
    monkeypatch.setattr(target, "_STILL_S", 1.0)  # longer than what it had sent is on its way
    assert restore.work() == []
    restore.holds(topic, expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_parent_ends_all_workers_and_the_same_run_goes_on(
    in_folder: Restore, tmp_path: Path, unique_name: Name, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, topic = in_folder, unique_name("ended")
    expected, parent = two_workers_write(
        restore, topic, tmp_path, throttle=1000, stderr=subprocess.PIPE, start_new_session=True
    )
    children = children_of(parent)
    parent.send_signal(number)
    parent.wait(120)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "all have ended")
    ended = restore.ends(topic)
    assert sum(ended.values()) < 200
    monkeypatch.setattr(target, "_STILL_S", 1.0)  # longer than what they had sent is on its way
    monkeypatch.setattr(Throttle, "_pass", lambda *_: None)
    assert restore.work() == []
    restore.holds(topic, expected)


# -- metrics


def test_the_job_tells_cloudwatch_what_it_has_done(in_folder: Restore, tmp_path: Path, unique_name: Name) -> None:
    restore, topic = in_folder, unique_name("metrics")
    rows = make_rows(0, 40)
    restore.add(topic, rows)
    restore.plan(topic)
    restore.prepare()
    told = {"ARCHIVE": tmp_path.as_uri(), "TO_BROKERS": restore.bootstrap, "RUN_ID": "r", "EMF": "prod"}
    done = subprocess.run(
        [sys.executable, "-m", "batch_jobs.restore"],
        cwd=REPOSITORY,
        env={**os.environ, "MILLPOND_METRICS_PORT": "0", **{f"MILLPOND_{name}": text for name, text in told.items()}},
        capture_output=True,
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(line["RestoredRecords"] for line in lines) == len(rows)
    assert sum(line["RestoredBytes"] for line in lines) == sum(map(size_of, rows))
    assert sum(line["RestoredPartitions"] for line in lines) == 1
    assert all(line["Deployment"] == "prod" for line in lines)


# -- objects that are not whole


def flipped(data: bytes) -> bytes:
    return bytes([*data[:-100], data[-100] ^ 1, *data[-99:]])


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "null"])
@pytest.mark.parametrize(
    ("damage", "planned"), [("flip", True), ("flip", False), ("cut", True), ("cut", False), ("delete", True)]
)
def test_the_failure_names_the_object_and_other_partitions_finish(
    restore: Restore, unique_name: Name, damage: str, planned: bool, codec: str
) -> None:
    topic, expected = unique_name("poison"), {number: make_rows(0, 40, size=200) for number in range(3)}
    keys = [restore.add(topic, rows, number, codec=codec) for number, rows in expected.items()]
    if planned:
        restore.plan(topic)
    good, head = read(restore.store, keys[1]), restore.store.head(keys[1])
    assert head is not None
    if damage == "delete":
        restore.store.delete(keys[1])
    else:
        restore.store.put_if_match(keys[1], flipped(good) if damage == "flip" else good[:-40], head.etag)
    restore.plan(topic)
    restore.prepare()
    (error,) = restore.work()
    assert error.exit_code != 0
    ((line, failure),) = restore.run.failures()
    assert failure["object"] == keys[1] and keys[1] in failure["reason"]
    assert [number for number, _ in restore.run.results()] == [number for number in range(3) if number != line]
    with pytest.raises(MillpondError, match=f"{topic}-1"):
        restore.reconcile()
