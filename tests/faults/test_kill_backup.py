"""The backup's process is killed anywhere, started again, and in the end the archive holds every record once.

MILLPOND_FAULT_ROUNDS says how many times it is killed under load (3).
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import threading
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
from millpond.archive.keys import Layout
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.faults.crashing_backup import CRASHED
from tests.integration.backup_runs import Backup

ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
Name = Callable[[str], str]


class Process:
    """The consumer as ECS runs it: settings in the environment, static membership so that a restart need not wait."""

    def __init__(self, aws: LocalAws, bucket: str, bootstrap: str, topic: str, folder: Path) -> None:
        self.spool, self.log, self._aws, self._bucket = folder / "spool", folder / "log", aws, bucket
        client = {"group.instance.id": "one", "session.timeout.ms": "6000", **{k: str(v) for k, v in QUICK.items()}}
        self._env = {
            **aws.env(),
            "MILLPOND_ARCHIVE": f"s3://{bucket}/kafka",
            "MILLPOND_BROKERS": bootstrap,
            "MILLPOND_KAFKA": json.dumps(client),
            "MILLPOND_TOPICS": topic,
            "MILLPOND_SPOOL": str(self.spool),
            "MILLPOND_MAX_AGE": "0.3",
            "MILLPOND_MAX_BYTES": "20000",
            "MILLPOND_LOG_LEVEL": "INFO",
        }

    def start(self, *words: str, **more: str) -> Child:
        command = [sys.executable, "-m", *(words or ("tests.faults.crashing_backup",))]
        return Child(command, output=self.log, env=self._env | more)

    def said(self) -> str:
        return self.log.read_text()


QUICK = oracle.QUICK


@pytest.fixture
def topic(unique_name: Name) -> str:
    return unique_name("t")


@pytest.fixture
def process(aws: LocalAws, bucket: str, kafka: KafkaCluster, topic: str, tmp_path: Path) -> Process:
    return Process(aws, bucket, kafka.bootstrap(), topic, tmp_path)


@pytest.fixture
def backup(process: Process, bucket: str, kafka: KafkaCluster, topic: str, s3: Any) -> Backup:
    """The same archive from this process; under a group of its own, so that it need not wait for the dead member."""
    store = S3Store(bucket, client=s3)
    return Backup(store, kafka.bootstrap(), process.spool, (topic,), Layout("kafka"), group_id=f"{topic}-after")


def assert_every_record_once(backup: Backup, topic: str) -> None:
    """The oracle's union, and no offset in two objects: nothing was written twice."""
    backup.holds(topic)
    oracle.assert_commits_are_not_ahead(backup.store, backup.layout, backup.bootstrap, topic)
    for number, folder in backup.folders(topic).items():
        spans = sorted([(w.first, w.last) for w in folder.windows] + [(m[0], m[1]) for m in folder.markers])
        firsts = [0] + [last + 1 for _, last in spans]
        assert [first for first, _ in spans] == firsts[:-1], f"{topic}-{number}: {spans}"


def test_killed_at_any_moment_under_load(process: Process, backup: Backup, topic: str) -> None:
    chance, stop = random.Random(), threading.Event()
    oracle.make_topic(backup.bootstrap, topic, 3)

    def load() -> None:
        seed = chance.randrange(10**6)
        while not stop.is_set():
            seed += 1
            oracle.produce_odd_records(backup.bootstrap, topic, partitions=3, count=4, seed=seed)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        for _ in range(ROUNDS):
            seen = len(process.said().split("stored ")) if process.log.exists() else 1
            child = process.start()
            wait_until(lambda seen=seen: len(process.said().split("stored ")) > seen, "something is stored")
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
    finally:
        stop.set()
        loading.join()
    last = process.start("millpond.cli.main", "backup", "--once", "--max-age", "300")
    assert last.wait(60) == 0, process.said()
    assert_every_record_once(backup, topic)
    assert list(process.spool.glob("*.blocks")) == []
    assert "Traceback" not in process.said()


ARROWS = (
    ("before put", 1),
    ("after put", 2),
    ("before spool deletion and commit", 1),
    ("after spool deletion, before commit", 1),
    ("after commit", 1),
    ("before empty marker", 1),
    ("after empty marker", 1),
)


def test_killed_between_any_two_writes(process: Process, backup: Backup, topic: str) -> None:
    """At one arrow after the other. Each partition always has records to come and, behind windows, an aborted
    transaction that becomes a marker."""
    oracle.make_topic(backup.bootstrap, topic, 3)
    numbers = itertools.cycle(range(3))
    for seed, (point, nth) in enumerate(ARROWS):
        oracle.produce_odd_records(backup.bootstrap, topic, partitions=3, count=10, seed=seed)
        child = process.start(CRASH_AT=f"{point}:{nth}")

        def over(child: Child = child) -> bool:
            number = next(numbers)
            oracle.produce_transaction(backup.bootstrap, topic, [b"never"], partition=number, commit=False)
            return not child.running

        wait_until(over, f"crashed {point}", timeout_s=30, pause_s=0.3)
        assert child.exit_code == CRASHED, process.said()
        backup.holds(topic, complete=False)
    backup.once()
    assert_every_record_once(backup, topic)
    assert list(process.spool.glob("*.blocks")) == []


def test_killed_around_a_retention_marker(process: Process, backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    oracle.produce(backup.bootstrap, topic, [b"x"] * 10)
    backup.once()
    oracle.produce(backup.bootstrap, topic, [b"y"] * 10)
    admin = AdminClient({"bootstrap.servers": backup.bootstrap})
    for future in admin.delete_records([TopicPartition(topic, 0, 15)]).values():
        future.result(10)
    for point in ("before retention marker", "after retention marker"):
        assert process.start(CRASH_AT=point).wait(30) == CRASHED, process.said()
    backup.once()
    assert_every_record_once(backup, topic)
    assert backup.folders(topic)[0].markers == [(10, 14, "retention")]


def test_killed_after_the_event_of_a_topic_made_again(process: Process, backup: Backup, topic: str) -> None:
    first = oracle.make_topic(backup.bootstrap, topic)
    oracle.produce(backup.bootstrap, topic, [b"old"] * 5)
    backup.once()
    oracle.delete_topic(backup.bootstrap, topic)
    second = oracle.make_topic(backup.bootstrap, topic)
    oracle.produce(backup.bootstrap, topic, [b"new"] * 7)
    assert process.start(CRASH_AT="after recreated event").wait(30) == CRASHED, process.said()
    backup.once()
    assert_every_record_once(backup, topic)
    assert oracle.incarnations(backup.store, backup.layout, topic) == sorted([first, second])
    assert len(backup.keys(f"topics/{topic}/{second}/events")) == 1


def test_two_processes_never_share_a_spool_folder(process: Process, topic: str, backup: Backup) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    child = process.start()
    wait_until(lambda: (process.spool / "lock").exists(), "the folder is locked")
    second = process.start()
    assert second.wait(30) == 4, process.said()
    assert child.running
    assert child.stop() == 0, process.said()
