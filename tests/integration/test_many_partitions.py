"""A thousand partitions with little traffic each: complete, within memory, and files are closed with their windows."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, wait_until
from tests import oracle
from tests.faults.backup_process import Process, Rig

Name = Callable[[str], str]
TOPICS, PARTITIONS, RECORDS = 10, 1000, 3
MOST_BYTES = 300 << 20


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


@pytest.fixture
def topics(rig: Rig) -> Iterator[list[str]]:
    """Their names; they end with the test, so that the broker need not carry them on."""
    names = [f"{rig.topic}.{number}" for number in range(TOPICS)]
    admin = AdminClient({"bootstrap.servers": rig.bootstrap, **oracle.QUICK})
    each = PARTITIONS // len(names)
    for future in admin.create_topics([NewTopic(name, each, config=oracle.ANY_TIME) for name in names]).values():
        future.result(60)
    for name in names:
        wait_until(lambda name=name: oracle.topic_id_of(rig.bootstrap, name, each), f"{name} is known", timeout_s=250)
    rig.topic = f"{rig.topic}.*"
    yield names
    for future in admin.delete_topics(names).values():
        future.result(60)


def produce(rig: Rig, topics: list[str]) -> None:
    """A few records to each partition, mixed."""
    producer = Producer({"bootstrap.servers": rig.bootstrap, "acks": "all", **oracle.QUICK})
    places = [(topic, number) for topic in topics for number in range(PARTITIONS // len(topics))] * RECORDS
    random.shuffle(places)
    for topic, number in places:
        producer.produce(topic, random.randbytes(200), partition=number)
        producer.poll(0)
    assert producer.flush(60) == 0


def assert_holds(rig: Rig, topics: list[str]) -> None:
    backup = rig.backup
    with ThreadPoolExecutor(len(topics)) as pool:
        told = (backup.store, backup.layout, rig.bootstrap)
        held = list(pool.map(lambda topic: oracle.assert_backup_holds(*told, topic), topics))
    assert sum(map(len, held)) == PARTITIONS


def peak_bytes(child: Child) -> int:
    (told,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{child.pid}/status").read_text()) or ["0"]
    return int(told) << 10


def open_spools(child: Child) -> int:
    """Files of windows that the process has open."""
    links = (link for link in Path(f"/proc/{child.pid}/fd").iterdir())
    return sum(".blocks" in target(link) for link in links)


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed since
        return ""


def run_to_its_end(process: Process) -> tuple[int, int]:
    """Exit code and the peak of its memory."""
    child, peak = process.start("millpond.cli.main", "backup", "--once", "--max-age", "300"), [0]

    def over() -> bool:
        if child.running:
            try:
                peak.append(peak_bytes(child))
            except FileNotFoundError:
                return True
        return not child.running

    wait_until(over, "it has ended", timeout_s=250, pause_s=0.1)
    return child.wait(60), max(peak)


def test_a_thousand_partitions_once_and_again(rig: Rig, topics: list[str]) -> None:
    produce(rig, topics)
    process = rig.process(session_ms=45_000)
    code, peak = run_to_its_end(process)
    print(f"peak of {PARTITIONS} partitions in {len(topics)} topics with --once: {peak >> 20} MiB")
    assert code == 0, process.said()
    assert peak < MOST_BYTES
    assert_holds(rig, topics)
    stored = process.said().count("stored ")
    assert stored == PARTITIONS
    code, peak = run_to_its_end(process)
    assert code == 0, process.said()
    assert process.said().count("stored ") == stored
    assert process.blocks() == []


def test_a_thousand_partitions_under_a_running_backup(rig: Rig, topics: list[str]) -> None:
    process = rig.process(session_ms=45_000)
    child = process.start(MILLPOND_MAX_AGE="5")
    process.wait_said("from offset", PARTITIONS, timeout_s=250)
    produce(rig, topics)
    most = wait_until(lambda: found if (found := open_spools(child)) > PARTITIONS / 4 else 0, "windows are open")
    wait_until(lambda: process.said().count("stored ") >= PARTITIONS, "all is stored", timeout_s=250, pause_s=0.5)
    wait_until(lambda: all(rig.backup.covers(topic) for topic in topics), "all is covered", timeout_s=250, pause_s=1)
    wait_until(lambda: open_spools(child) == 0, "the files are closed")
    peak = peak_bytes(child)
    print(f"peak of {PARTITIONS} partitions in {len(topics)} topics: {peak >> 20} MiB, {most} open windows")
    assert peak < MOST_BYTES
    assert child.stop() == 0, process.said()
    assert_holds(rig, topics)
