"""`millpond backup --workers`: processes of one command, their ends, flushes and metrics; and processes that scale."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, free_ports, wait_until
from tests import oracle
from tests.faults.backup_process import Process, Rig

Name = Callable[[str], str]
PARTITIONS = 6
VERB = ("millpond.cli.main", "backup")


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    rig = Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)
    oracle.make_topic(rig.bootstrap, rig.topic, PARTITIONS)
    return rig


def a_process(rig: Rig, name: str = "one", **more: Any) -> Process:
    """Several members of a group cannot share one group.instance.id."""
    return rig.process(name, instance="", **more)


def workers_of(child: Child) -> list[int]:
    """Processes that the command has started to read."""
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    told = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, command in told.items() if b"spawn_main" in command]


def wait_for_workers(child: Child, process: Process, count: int) -> list[int]:
    """Their ids, once each of them reads something."""
    process.wait_said("from offset", PARTITIONS)
    return wait_until(lambda: found if len(found := workers_of(child)) == count else None, f"{count} workers")


def end(child: Child, process: Process) -> None:
    """SIGTERM to the command alone, as container runtimes send it."""
    os.kill(child.pid, signal.SIGTERM)
    began = time.monotonic()
    assert child.wait(120) == 0, process.said()
    assert time.monotonic() - began < 60
    assert "Traceback" not in process.said()


def produce(rig: Rig, seed: int, count: int = 30) -> None:
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=PARTITIONS, count=count, seed=seed)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_that_run_once_hold_everything_and_tell_all_ends(rig: Rig, workers: int) -> None:
    produce(rig, 1)
    process = a_process(rig, session_ms=45_000)
    assert process.once("--workers", str(workers), "--json", MILLPOND_SETTLE="6") == 0, process.said()
    document, _ = json.JSONDecoder().raw_decode(process.said()[process.said().index("{") :])
    ends = oracle.ends_of(rig.bootstrap, rig.topic)
    assert {one["partition"]: one["end"] for one in document["partitions"]} == ends
    rig.assert_every_record_once()
    assert process.blocks() == []


def test_workers_share_the_partitions_go_on_and_end_together(rig: Rig) -> None:
    process = a_process(rig)
    child = process.start(*VERB, "--workers", "3")
    pids = wait_for_workers(child, process, 3)
    with rig.load(PARTITIONS):
        time.sleep(2)
    rig.backup.wait_covered(rig.topic)
    end(child, process)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    rig.assert_holds()
    assert {path.parent.name for path in process.spool.glob("*/lock")} == {"0", "1", "2"}


def test_a_signal_to_the_whole_family_ends_it_as_well(rig: Rig) -> None:
    """As systemd and terminals send it: the workers get it twice, once more from their parent."""
    process = a_process(rig)
    child = process.start(*VERB, "--workers", "2")
    wait_for_workers(child, process, 2)
    produce(rig, 1, 5)
    child.send(signal.SIGTERM)
    assert child.wait(120) == 0, process.said()


def test_a_worker_that_is_killed_ends_the_command_with_an_error_and_a_new_start_is_complete(rig: Rig) -> None:
    process = a_process(rig)
    child = process.start(*VERB, "--workers", "3")
    pids = wait_for_workers(child, process, 3)
    with rig.load(PARTITIONS):
        time.sleep(1)
        os.kill(pids[1], signal.SIGKILL)
        assert child.wait(120) == 1, process.said()
    assert "a worker ended with -9" in process.said()
    assert "hint: its log lines say why; start the backup again" in process.said()
    assert "Traceback" not in process.said()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    rig.assert_holds(complete=False)
    assert process.once("--workers", "3") == 0, process.said()
    rig.assert_holds()
    assert process.blocks() == []


def test_a_command_that_is_killed_takes_its_workers_along(rig: Rig) -> None:
    process = a_process(rig)
    child = process.start(*VERB, "--workers", "2")
    pids = wait_for_workers(child, process, 2)
    produce(rig, 1)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "the workers have ended")
    assert "Traceback" not in process.said()
    rig.assert_holds(complete=False)
    assert process.once("--workers", "2") == 0, process.said()
    rig.assert_holds()


def ask(port: int, page: str, method: str = "GET") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/__/{page}", method=method)
    with urllib.request.urlopen(request, timeout=40) as answer:
        text: str = answer.read().decode()
        return text


def total(page: str, name: str) -> float:
    """Of all lines of a metric."""
    found = re.findall(rf"^millpond_backup_{name}(?:\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))


def test_a_flush_goes_to_all_workers_and_the_metrics_add_up(rig: Rig) -> None:
    (port,) = free_ports(1)
    process = a_process(rig, session_ms=45_000)
    flags = ("--max-age", "600", "--metrics-port", str(port), "--allow-flush")
    child = process.start(*VERB, "--workers", "2", *flags, MILLPOND_SETTLE="6")
    wait_for_workers(child, process, 2)
    produce(rig, 1)
    there = sum(len(records) for records in oracle.read_topic(rig.bootstrap, rig.topic).values())
    # What a worker had read when its partition moved to the other one is read, and counted, twice.
    wait_until(lambda: total(ask(port, "metrics"), "records_total") >= there, "all records are counted")
    assert not rig.backup.covers(rig.topic)
    assert json.loads(ask(port, "flush", "POST"))["partitions"] == PARTITIONS
    assert rig.backup.covers(rig.topic)
    rig.assert_holds()

    produce(rig, 2, 10)
    there = sum(len(records) for records in oracle.read_topic(rig.bootstrap, rig.topic).values())
    wait_until(lambda: total(ask(port, "metrics"), "records_total") >= there, "all records are counted")
    os.kill(child.pid, signal.SIGUSR1)
    rig.backup.wait_covered(rig.topic)

    page = wait_until(lambda: settled(port, sum(map(len, rig.spans().values()))), "the objects are counted")
    assert total(page, "partitions") == PARTITIONS
    assert total(page, "lag_offsets") == 0
    assert json.loads(ask(port, "health"))["warnings"] == []
    end(child, process)
    rig.assert_every_record_once()


def settled(port: int, objects: int) -> str:
    page = ask(port, "metrics")
    return page if total(page, "objects_total") == objects and total(page, "lag_offsets") == 0 else ""


def test_a_worker_killed_under_a_flush_ends_the_command_with_its_error(rig: Rig) -> None:
    process = a_process(rig)
    child = process.start(*VERB, "--workers", "2", "--max-age", "600")
    pids = wait_for_workers(child, process, 2)
    produce(rig, 1)
    os.kill(child.pid, signal.SIGSTOP)  # so that it meets both at once
    os.kill(pids[0], signal.SIGKILL)
    os.kill(child.pid, signal.SIGUSR1)
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait(120) == 1, process.said()
    assert "a worker ended with -9" in process.said()
    assert "Traceback" not in process.said()


def test_processes_that_scale_from_one_to_three_and_back_under_load(rig: Rig) -> None:
    processes = [a_process(rig, name) for name in ("a", "b", "c")]
    with rig.load(PARTITIONS):
        first = processes[0].start()
        processes[0].wait_said("from offset", PARTITIONS)
        others = [process.start() for process in processes[1:]]
        for process in processes[1:]:
            process.wait_said("stored ")
        time.sleep(1)
        for child, process in zip(others, processes[1:], strict=True):
            assert child.stop() == 0, process.said()
        time.sleep(1)
    rig.backup.wait_covered(rig.topic)
    assert first.stop() == 0, processes[0].said()
    rig.assert_holds()
    assert all("Traceback" not in process.said() for process in processes)
