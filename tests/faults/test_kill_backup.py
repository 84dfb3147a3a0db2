"""The backup's process is killed anywhere, started again, and in the end the archive holds every record once.

MILLPOND_FAULT_ROUNDS says how many times it is killed under load (3).
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, wait_until
from millpond.storage.contract import read
from tests import oracle
from tests.faults.backup_process import ROUNDS, Process, Rig
from tests.faults.crashing_backup import CRASHED
from tests.unit.builders import a_partition, make_window, put_window

Name = Callable[[str], str]


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


def crash(process: Process, point: str, within_s: float = 90) -> None:
    child = process.start(CRASH_AT=point)
    wait_until(lambda: not child.running, f"crashed {point}", timeout_s=within_s)
    assert child.exit_code == CRASHED, process.said()


def events(rig: Rig, kind: str) -> list[str]:
    return [key for key in rig.backup.keys(f"topics/{rig.topic}") if key.endswith(f"-{kind}.json")]


def test_killed_at_any_moment_under_load(rig: Rig) -> None:
    chance, process = random.Random(), rig.process()
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    with rig.load(3):
        for _ in range(ROUNDS):
            seen = process.said().count("stored ")
            child = process.start()
            process.wait_said("stored ", seen + 1)
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
    assert process.once("--max-age", "300") == 0, process.said()
    rig.assert_every_record_once()
    assert process.blocks() == []
    assert "Traceback" not in process.said()


ARROWS = (
    "before archive.json",
    "after archive.json",
    "before confirmation",
    "after confirmation",
    "before put",
    "after put:2",
    "before spool deletion",
    "after spool deletion:2",
    "before commit",
    "after commit",
    "after the broker's answer to a commit",
    "before empty marker",
    "after empty marker",
)


def test_killed_between_any_two_writes(rig: Rig) -> None:
    """At one arrow after the other. Each partition always has records to come and, behind windows, an aborted
    transaction that becomes a marker."""
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    process, numbers = rig.process(), itertools.cycle(range(3))
    for seed, point in enumerate(ARROWS):
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=10, seed=seed)
        child = process.start(CRASH_AT=point)

        def over(child: Child = child) -> bool:
            aborted = (rig.bootstrap, rig.topic, [b"never"])
            oracle.produce_transaction(*aborted, partition=next(numbers), commit=False)
            return not child.running

        wait_until(over, f"crashed {point}", pause_s=0.3)
        assert child.exit_code == CRASHED, process.said()
        if point != "before archive.json":
            rig.assert_holds(complete=False)
    assert process.once() == 0, process.said()
    rig.assert_every_record_once()
    assert process.blocks() == []


def test_killed_around_a_retention_marker(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic)
    process = rig.process()
    oracle.produce(rig.bootstrap, rig.topic, [b"x"] * 10)
    assert process.once() == 0, process.said()
    oracle.produce(rig.bootstrap, rig.topic, [b"y"] * 10)
    delete_before(rig, 15)
    crash(process, "before retention marker")
    crash(process, "after retention marker")
    assert process.once() == 0, process.said()
    rig.assert_every_record_once()
    assert rig.backup.folders(rig.topic)[0].markers == [(10, 14, "retention")]


def delete_before(rig: Rig, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": rig.bootstrap})
    for future in admin.delete_records([TopicPartition(rig.topic, 0, offset)]).values():
        future.result(10)


def test_killed_around_the_event_of_a_topic_made_again(rig: Rig) -> None:
    first = oracle.make_topic(rig.bootstrap, rig.topic)
    process = rig.process()
    oracle.produce(rig.bootstrap, rig.topic, [b"old"] * 5)
    assert process.once() == 0, process.said()
    oracle.delete_topic(rig.bootstrap, rig.topic)
    second = oracle.make_topic(rig.bootstrap, rig.topic)
    oracle.produce(rig.bootstrap, rig.topic, [b"new"] * 7)
    crash(process, "before event")
    crash(process, "after event")
    assert process.once() == 0, process.said()
    rig.assert_every_record_once()
    assert oracle.incarnations(rig.backup.store, rig.backup.layout, rig.topic) == sorted([first, second])
    (event,) = events(rig, "recreated")
    assert f"/{second}/" in event


def test_killed_around_the_event_of_objects_that_vanished(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic)
    process = rig.process()
    for n in range(2):
        oracle.produce(rig.bootstrap, rig.topic, [b"%d" % n] * 5)
        assert process.once() == 0, process.said()
    newest = max(rig.backup.folders(rig.topic)[0].windows, key=lambda window: window.first)
    rig.vanish(newest.key)
    crash(process, "before event")
    crash(process, "after event")
    assert process.once() == 0, process.said()
    rig.assert_every_record_once()
    (event,) = events(rig, "missing")
    assert json.loads(read(rig.backup.store, event))["missing"] == [[5, 9]]


def test_killed_around_the_event_of_a_log_that_was_cut(
    kafka_factory: Callable[..., KafkaCluster], aws: LocalAws, s3: Any, bucket: str, tmp_path: Path
) -> None:
    """The archive has ten records more than the log on which a new leader goes on."""
    kafka = kafka_factory()
    rig = Rig(aws, s3, bucket, kafka.bootstrap(), "t", tmp_path)
    topic_id = oracle.make_topic(rig.bootstrap, "t")
    process = rig.process()
    oracle.produce(rig.bootstrap, "t", [b"kept"] * 10)
    assert process.once() == 0, process.said()
    archive_id = json.loads(read(rig.backup.store, rig.backup.layout.identity))["archive_id"]
    rows = [(offset, 1, None, b"dead", ()) for offset in range(10, 20)]
    dead = make_window(rows, partition=a_partition("t", 0, topic_id), epoch=0, archive_id=archive_id)
    put_window(rig.backup.store, dead, layout=rig.backup.layout)
    kafka.kill(1)
    kafka.start_node(1)
    kafka.wait_ready()
    oracle.produce(rig.bootstrap, "t", [b"alive"] * 5)
    crash(process, "before event")
    crash(process, "after event")
    assert process.once() == 0, process.said()
    rig.assert_holds()
    (event,) = events(rig, "truncated")
    assert json.loads(read(rig.backup.store, event))["branch_point"] == 10
    held = oracle.read_archive_records(rig.backup.store, rig.backup.layout, "t")[0]
    assert [record.value for record in held] == [b"kept"] * 10 + [b"alive"] * 5


def test_two_processes_never_share_a_spool_folder(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic)
    process = rig.process()
    child = process.start()
    wait_until(lambda: (process.spool / "lock").exists(), "the folder is locked")
    second = process.start()
    assert second.wait(90) == 4, process.said()
    assert child.running
    assert child.stop() == 0, process.said()
