"""What fails for one partition keeps no other from the archive. The end of a process stores what is nowhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.errors import MillpondError
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.faults.backup_process import Rig, s3_through
from tests.faults.s3_proxy import Call, Fault, FaultyS3
from tests.faults.three_nodes import ThreeNodes
from tests.integration.backup_runs import Backup

Name = Callable[[str], str]


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


def through(rig: Rig, proxy: FaultyS3, **more: Any) -> Backup:
    store = s3_through(proxy, rig.bucket)
    return Backup(store, rig.bootstrap, rig.folder / "spool", (rig.topic, f"{rig.topic}[.].*"), **more)


def test_a_partition_without_a_leader_keeps_no_other_from_being_read(
    kafka3: KafkaCluster, unique_name: Name, tmp_path: Path
) -> None:
    """And is read as soon as it has one."""
    lone, good = ThreeNodes(kafka3, unique_name("lone")), ThreeNodes(kafka3, unique_name("good"))
    lone.make_topic([[3]])
    good.make_topic([[1, 2], [2, 1]])
    lone.write(["x"] * 5)
    for number in range(2):
        good.write(["y"] * 5, partition=number)
    kafka3.kill(3)
    good.wait_partition("led", lambda p: p.leader in (1, 2))
    lone.wait_partition("without a leader", lambda p: p.leader < 1)
    backup = Backup(MemoryStore(), kafka3.bootstrap(), tmp_path / "spool", (lone.topic, good.topic))
    with backup.running():
        backup.wait_covered(good.topic, timeout_s=60)
        assert backup.keys(f"topics/{lone.topic}") == []
        kafka3.start_node(3)
        backup.wait_covered(lone.topic, {0: 5}, timeout_s=60)


def test_topics_that_the_store_refuses_keep_no_other_from_it(rig: Rig) -> None:
    """More of them than there are threads for uploads."""
    bad = [f"{rig.topic}.bad{number}" for number in range(3)]
    for topic in bad:
        oracle.make_topic(rig.bootstrap, topic, 4)
        oracle.produce_odd_records(rig.bootstrap, topic, partitions=4, count=3, seed=1)
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    refuses = threading.Event()
    refuses.set()

    def rule(call: Call) -> Fault | None:
        return Fault(status=403, code="AccessDenied") if refuses.is_set() and ".bad" in call.path else None

    with FaultyS3(rig.aws.url, rule) as proxy, through(rig, proxy).running():
        wait_until(lambda: sum(".bad" in call.path and call.method == "PUT" for call in proxy.calls) >= 12, "refused")
        for seed in range(3):
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=5, seed=seed)
            rig.backup.wait_covered(rig.topic)
        refuses.clear()
        for topic in bad:
            rig.backup.wait_covered(topic)
    for topic in [rig.topic, *bad]:
        rig.backup.holds(topic)


@pytest.fixture
def patient_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers that are slow to answer at a stop are not taken for lost."""
    monkeypatch.setattr("millpond.backup.leaving._ANSWER_WITHIN_S", 60.0)


def produced(rig: Rig, partitions: int) -> dict[int, list[Any]]:
    oracle.make_topic(rig.bootstrap, rig.topic, partitions)
    for number in range(partitions):
        oracle.produce(rig.bootstrap, rig.topic, [b"v"] * 10, partition=number)
    return oracle.read_topic(rig.bootstrap, rig.topic)


@pytest.mark.usefixtures("patient_last_look")
@pytest.mark.parametrize(
    "fault", [Fault(delay_s=2), Fault(status=503)], ids=["a store that is slow", "one that fails at first"]
)
def test_a_stop_stores_what_was_read_of_a_deleted_topic_however_long_that_takes(rig: Rig, fault: Fault) -> None:
    """It is the last copy. Only the first put of each object fails, or all take two seconds."""
    before, topic_id = produced(rig, 12), oracle.topic_id_of(rig.bootstrap, rig.topic)
    tried: set[str] = set()
    ending = threading.Event()

    def rule(call: Call) -> Fault | None:
        if not (ending.is_set() and call.method == "PUT" and "/topics/" in call.path):
            return None
        first = call.path not in tried
        tried.add(call.path)
        return fault if first or fault.delay_s else None

    with FaultyS3(rig.aws.url, rule) as proxy:
        backup = through(rig, proxy, max_age_s=600)
        with backup.running(block_bytes=1) as stop:
            wait_until(lambda: len(list(backup.spool.rglob("*.blocks"))) == 12, "all is read")
            time.sleep(1)
            ending.set()
            oracle.delete_topic(rig.bootstrap, rig.topic)
            stop.set()
    found = oracle.read_archive_records(backup.store, backup.layout, rig.topic, topic_id)
    assert found == before


@pytest.mark.usefixtures("patient_last_look")
def test_a_stop_that_cannot_store_a_last_copy_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.backup.consumer._LAST_COPIES_WITHIN_S", 3.0)
    produced(rig, 1)
    ending = threading.Event()
    fault = Fault(status=503)
    with FaultyS3(rig.aws.url, lambda call: fault if ending.is_set() and call.method == "PUT" else None) as proxy:
        backup = through(rig, proxy, max_age_s=600)
        with pytest.raises(MillpondError, match=rf"Kafka has no more what was read of {rig.topic}.*-0 from offset 0"):
            _stop_with_a_topic_that_was_deleted(rig, backup, ending)


def _stop_with_a_topic_that_was_deleted(rig: Rig, backup: Backup, ending: threading.Event) -> None:
    with backup.running(block_bytes=1) as stop:
        wait_until(lambda: list(backup.spool.rglob("*.blocks")), "it is read")
        time.sleep(1)
        ending.set()
        oracle.delete_topic(rig.bootstrap, rig.topic)
        stop.set()


def test_a_partition_that_was_held_back_is_read_on_when_it_comes_back(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """The client keeps a pause beyond the group's taking and giving."""
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    shut = threading.Event()
    shut.set()

    def rule(call: Call) -> Fault | None:
        return Fault(status=503) if shut.is_set() and call.method == "PUT" and "/topics/" in call.path else None

    with FaultyS3(rig.aws.url, rule) as proxy, through(rig, proxy, max_age_s=0.2).running():
        for seed in range(6):
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=3, seed=seed)
            time.sleep(0.4)
        with Backup(rig.backup.store, rig.bootstrap, rig.folder / "visitor", (rig.topic,), max_age_s=600).running():
            time.sleep(3)
        shut.clear()
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=3, seed=9)
        rig.backup.wait_covered(rig.topic)
    assert "connecting anew" not in caplog.text
    rig.assert_holds()


def test_a_put_that_takes_half_a_minute_is_done_once_while_others_go_on(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 2)

    def rule(call: Call) -> Fault | None:
        slow = call.method == "PUT" and f"/{rig.topic}-0-" in call.path
        return Fault(delay_s=30, forward=True) if slow else None

    with FaultyS3(rig.aws.url, rule) as proxy, through(rig, proxy).running():
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=5, seed=1)
        ends = oracle.ends_of(rig.bootstrap, rig.topic)
        rig.backup.wait_covered(rig.topic, {1: ends[1]})
        for seed in range(2, 5):
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=5, seed=seed)
            rig.backup.wait_covered(rig.topic, {1: oracle.ends_of(rig.bootstrap, rig.topic)[1]})
        rig.backup.wait_covered(rig.topic, {0: ends[0]}, timeout_s=150)
        rig.assert_holds(complete=False)
    assert rig.process().once() == 0
    rig.assert_holds()
