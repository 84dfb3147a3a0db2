"""Real processes that are stopped, asked to flush, looked at, frozen, taken for others, and refused by S3."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, free_ports, wait_until
from millpond.errors import TryAgain
from millpond.storage.contract import ObjectInfo
from tests import oracle
from tests.faults.backup_process import ROUNDS, Process, Rig
from tests.faults.s3_proxy import Call, Fault, FaultyS3

Name = Callable[[str], str]


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


def ask(port: int, page: str, method: str = "GET") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/__/{page}", method=method)
    with urllib.request.urlopen(request, timeout=40) as answer:
        text: str = answer.read().decode()
        return text


def value(page: str, name: str, labels: str = "") -> float:
    found = re.findall(rf"^millpond_backup_{name}{re.escape(labels)} (\S+)$", page, re.MULTILINE)
    assert len(found) == 1, f"{name}{labels} in:\n{page}"
    return float(found[0])


def start_with_port(process: Process, *flags: str, **more: str) -> tuple[Child, int]:
    (port,) = free_ports(1)
    return process.start(MILLPOND_METRICS_PORT=str(port), MILLPOND_ALLOW_FLUSH="true", **more), port


def group_of(rig: Rig) -> str:
    identity = json.loads(rig.s3.get_object(Bucket=rig.bucket, Key="kafka/archive.json")["Body"].read())
    return f"millpond-{identity['archive_id']}"


def positions(rig: Rig) -> dict[int, int]:
    commits = oracle.commits(rig.bootstrap, group_of(rig))
    return {number: at for (topic, number), (at, _) in commits.items() if topic == rig.topic}


# -- stops


def test_stopped_at_random_moments_under_load(rig: Rig) -> None:
    """Within ten seconds, and without a tiny object for each partition: the next start reads the open windows again."""
    chance, process, took = random.Random(), rig.process(), []
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    # Far from the start of the log: what is read next is none of its oldest tenth.
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=300, seed=1)
    assert process.once("--max-bytes", str(64 << 20)) == 0, process.said()
    with rig.load(3):
        for _ in range(ROUNDS):
            objects = sum(map(len, rig.spans().values()))
            child = process.start(MILLPOND_MAX_AGE="600", MILLPOND_MAX_BYTES=str(64 << 20))
            time.sleep(chance.uniform(0.5, 3.5))
            before, began = len(process.said()), time.monotonic()
            os.kill(child.pid, signal.SIGTERM)
            # One that has not begun to listen for signals yet is ended by them.
            assert child.wait(60) in (0, 128 + signal.SIGTERM), process.said()
            took.append(time.monotonic() - began)
            if "the brokers do not answer" not in process.said()[before:]:  # on a busy machine: all is stored then
                assert sum(map(len, rig.spans().values())) == objects
        assert min(took) < 10
        busy = process.start()
        process.wait_said("stored ", process.said().count("stored ") + 3)
        assert busy.stop() == 0, process.said()
        assert process.blocks() == []
    assert process.once() == 0, process.said()
    assert "Traceback" not in process.said()
    rig.assert_every_record_once()


def test_a_second_signal_ends_it_at_once_and_loses_nothing(rig: Rig) -> None:
    process = rig.process()
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    with FaultyS3(rig.aws.url, lambda call: Fault(delay_s=3) if call.method == "PUT" else None) as proxy:
        slow = rig.process(endpoint=proxy.url)
        child = slow.start()
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=20, seed=1)
        wait_until(lambda: any("/topics/" in call.path and call.method == "PUT" for call in proxy.calls), "a put")
        child.send(signal.SIGTERM)
        time.sleep(0.3)
        child.send(signal.SIGTERM)
        assert child.wait(90) in (0, 128 + signal.SIGTERM), slow.said()
    assert process.once() == 0, process.said()
    rig.assert_holds()  # the put that was under way may have come through later, beside what the next start stored


# -- flushes and pages


def test_usr1_under_load_stores_and_commits_all_that_was_read(rig: Rig) -> None:
    process = rig.process()
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    child = process.start(MILLPOND_MAX_AGE="600", MILLPOND_MAX_BYTES=str(64 << 20))
    with rig.load(3):
        process.wait_said("from offset", 3)
        for _ in range(ROUNDS):
            time.sleep(random.uniform(0.3, 1))
            before = oracle.ends_of(rig.bootstrap, rig.topic)
            asked_until_covered(rig, before, lambda: os.kill(child.pid, signal.SIGUSR1))

            def committed(ends: dict[int, int] = before) -> bool:
                os.kill(child.pid, signal.SIGUSR1)  # where a commit failed, the next one tells as much
                return all(positions(rig).get(number, 0) >= end for number, end in ends.items())

            wait_until(committed, "all is committed", pause_s=1)
            rig.assert_holds(complete=False)
    assert child.stop() == 0, process.said()
    assert process.once() == 0, process.said()
    rig.assert_every_record_once()


def asked_until_covered(
    rig: Rig, ends: dict[int, int], flush: Callable[[], None], *, answers_when_done: bool = False
) -> None:
    """A flush stores what was read, and nothing else does here. What a busy machine has not read is asked for again."""
    for _ in range(10):
        time.sleep(1)
        flush()
        with suppress(TryAgain):
            rig.backup.wait_covered(rig.topic, ends, timeout_s=0 if answers_when_done else 10)
            return
    raise AssertionError("ten flushes did not store what was written before them")


def flushed(port: int) -> None:
    assert json.loads(ask(port, "flush", "POST"))["partitions"] <= 3


def test_a_flush_over_http_under_load_and_a_client_that_goes_away(rig: Rig) -> None:
    process = rig.process()
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    child, port = start_with_port(process, MILLPOND_MAX_AGE="600")
    with rig.load(3):
        process.wait_said("from offset", 3)
        for _ in range(ROUNDS):
            before = oracle.ends_of(rig.bootstrap, rig.topic)
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(b"POST /__/flush HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            asked = [threading.Thread(target=ask, args=(port, "flush", "POST")) for _ in range(2)]
            for thread in asked:
                thread.start()
            for thread in asked:
                thread.join()
            asked_until_covered(rig, before, lambda: flushed(port), answers_when_done=True)
            rig.assert_holds(complete=False)
    assert child.stop() == 0, process.said()
    assert "Traceback" not in process.said()


def test_a_flush_under_way_at_the_end_is_told_so_and_does_not_hold_it_up(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic)
    refuses, refused = threading.Event(), threading.Event()

    def refuse(call: Call) -> Fault | None:
        if not refuses.is_set():
            return None
        if call.method == "PUT":
            refused.set()
        return Fault(status=503)

    with FaultyS3(rig.aws.url, refuse) as proxy:
        process = rig.process(endpoint=proxy.url)
        child, port = start_with_port(process, MILLPOND_MAX_AGE="600")
        oracle.produce(rig.bootstrap, rig.topic, [b"x"] * 5)
        wait_until(lambda: "from offset" in process.said() and counted(port) == 5, "all is read")
        refuses.set()
        told: list[int] = []

        def flush() -> None:
            try:
                ask(port, "flush", "POST")
            except urllib.error.HTTPError as error:
                told.append(error.code)

        asking = threading.Thread(target=flush)
        asking.start()
        assert refused.wait(60), process.said()
        os.kill(child.pid, signal.SIGTERM)
        # Kafka has it all, so that the end is a good one unless the client's own tries are used up by then.
        assert child.wait(90) in (0, TryAgain.exit_code), process.said()
        asking.join()
    assert told == [503]
    assert rig.process().once() == 0
    rig.assert_every_record_once()


def counted(port: int) -> float:
    page = ask(port, "metrics")
    return value(page, "records_total") if "millpond_backup_records_total" in page else 0


def test_pages_of_a_running_process_agree_with_kafka_and_with_the_archive(rig: Rig) -> None:
    process = rig.process()
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    child, port = start_with_port(process)
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=60, seed=1)
    oracle.produce_transaction(rig.bootstrap, rig.topic, [b"never"], partition=2, commit=False)
    rig.backup.wait_covered(rig.topic)
    spans = sum(map(len, rig.spans().values()))
    page = wait_until(lambda: scraped(port, spans), "the page tells the last status")
    folders = rig.backup.folders(rig.topic)
    markers = sum(len(folder.markers) for folder in folders.values())
    assert value(page, "records_total") == sum(map(len, oracle.read_topic(rig.bootstrap, rig.topic).values()))
    assert (value(page, "gaps_total", '{reason="empty"}') if markers else 0) == markers
    for number in range(3):
        labels = f'{{partition="{number}",topic="{rig.topic}"}}'
        assert value(page, "lag_offsets", labels) == 0
        assert value(page, "recovery_point_age_seconds", labels) == 0
        assert value(page, "partition_stopped", labels) == 0
    assert value(page, "uploads_failing_seconds") == 0
    assert json.loads(ask(port, "health"))["warnings"] == []

    log = rig.folder / "info"
    words = (sys.executable, "-m", "millpond.cli.main", "info", "--archive", f"s3://{rig.bucket}/kafka", "--json")
    assert Child(words, output=log, env=rig.aws.env()).wait(90) == 0, log.read_text()
    told = json.loads(log.read_text())
    assert told["objects"] == sum(len(folder.windows) for folder in folders.values())
    (topic,) = told["topics"]
    assert {gap: found["markers"] for gap, found in topic["gaps"].items()} == ({"empty": markers} if markers else {})
    sizes = {i.key: i.size_bytes for i in rig.backup.store.list("kafka/topics/") if isinstance(i, ObjectInfo)}
    assert told["bytes"] == sum(sizes[window.key] for folder in folders.values() for window in folder.windows)
    assert child.stop() == 0, process.said()
    rig.assert_every_record_once()


def scraped(port: int, objects: int) -> str:
    page = ask(port, "metrics")
    return page if "backup_objects_total" in page and value(page, "objects_total") == objects else ""


def test_access_that_is_denied_for_a_while_warns_and_passes(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    denied = threading.Event()
    fault = Fault(status=403, code="AccessDenied")
    with FaultyS3(rig.aws.url, lambda call: fault if denied.is_set() and call.method == "PUT" else None) as proxy:
        process = rig.process(endpoint=proxy.url)
        child, port = start_with_port(process)
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=20, seed=1)
        rig.backup.wait_covered(rig.topic)
        denied.set()
        oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=20, seed=2)
        wait_until(lambda: "uploads failing" in warnings(port), "the health warns")
        assert value(ask(port, "metrics"), "upload_failures_total") > 0
        time.sleep(2)
        rig.assert_holds(complete=False)
        assert child.running
        denied.clear()
        rig.backup.wait_covered(rig.topic)
        wait_until(lambda: warnings(port) == [], "all is well again")
        assert child.stop() == 0, process.said()
    rig.assert_every_record_once()


def warnings(port: int) -> list[str]:
    return [warning["kind"] for warning in json.loads(ask(port, "health"))["warnings"]]


# -- members that are not what they seem


def test_a_process_that_was_frozen_while_another_took_over_spoils_nothing(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    frozen, other = rig.process("frozen", instance=""), rig.process("other", instance="")
    with rig.load(3):
        first = frozen.start()
        frozen.wait_said("stored ", 4)
        second = other.start()
        time.sleep(random.uniform(0, 1))
        first.send(signal.SIGSTOP)
        other.wait_said("reading ", 3)  # after the session of the frozen one has ended
        other.wait_said("stored ", 6)
        first.send(signal.SIGCONT)
        seen = frozen.said().count("stored ")
        wait_until(lambda: frozen.said().count("stored ") > seen, "the frozen one is of the group again")
        rig.assert_holds(complete=False)
    rig.backup.wait_covered(rig.topic)
    assert first.stop() == 0, frozen.said()
    assert second.stop() == 0, other.said()
    rig.assert_holds()
    assert "Traceback" not in frozen.said() + other.said()


def test_of_two_processes_with_one_instance_id_one_ends_with_a_hint_and_the_other_goes_on(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    processes = rig.process("older"), rig.process("newer")
    with rig.load(2):
        older = processes[0].start()
        processes[0].wait_said("stored ", 2)
        newer = processes[1].start()
        wait_until(lambda: not (older.running and newer.running), "one of them ends")
        over, other, goes_on = (0, 1, newer) if not older.running else (1, 0, older)
        assert (older, newer)[over].exit_code == 4, processes[over].said()
        assert "another process has the same group.instance.id; give each its own" in processes[over].said()
        seen = processes[other].said().count("stored ")
        processes[other].wait_said("stored ", seen + 4)
    rig.backup.wait_covered(rig.topic)
    assert goes_on.stop() == 0, processes[other].said()
    rig.assert_holds()


def test_a_member_that_is_fenced_soon_after_its_session_ended_goes_on(rig: Rig) -> None:
    """So it looks when a commit from before that end comes late: a coordinator that died brings it about at times.

    Here another client fences it and leaves.
    """
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    process = rig.process()
    with rig.load(2):
        child = process.start()
        process.wait_said("stored ", 4)
        child.send(signal.SIGSTOP)
        admin, group_id = AdminClient({"bootstrap.servers": rig.bootstrap, **oracle.QUICK}), group_of(rig)
        members = lambda: admin.describe_consumer_groups([group_id])[group_id].result(60).members  # noqa: E731
        wait_until(lambda: not members(), "its session has ended")
        seen = process.said().count("reading ")
        child.send(signal.SIGCONT)
        process.wait_said("reading ", seen + 2)
        seen = process.said().count("reading ")
        fence(rig, process)
        process.wait_said("reading ", seen + 2)
        process.wait_said("stored ", process.said().count("stored ") + 4)
    rig.backup.wait_covered(rig.topic)
    assert child.stop() == 0, process.said()
    assert "connecting anew, because Kafka ended this member" in process.said()
    assert "Traceback" not in process.said()
    rig.assert_holds()


def fence(rig: Rig, process: Process) -> None:
    """Joins the group as the same static member until that member has seen it."""
    told = {
        "group.id": group_of(rig),
        "group.instance.id": "one",
        "partition.assignment.strategy": "cooperative-sticky",
    }
    consumer = Consumer({"bootstrap.servers": rig.bootstrap, "session.timeout.ms": 6000, **oracle.QUICK, **told})

    def fenced() -> bool:
        consumer.poll(0.1)
        return "Kafka ended" in process.said()

    try:
        consumer.subscribe([rig.topic])
        wait_until(fenced, "the member is fenced")
    finally:
        consumer.close()


def test_a_second_archive_is_refused_the_group_of_a_running_one(rig: Rig) -> None:
    """And has written nothing; the first goes on."""
    oracle.make_topic(rig.bootstrap, rig.topic)
    process, second = rig.process(), rig.process("second", instance="two")
    child = process.start(MILLPOND_GROUP_ID=rig.topic)
    oracle.produce(rig.bootstrap, rig.topic, [b"x"] * 5)
    wait_until(lambda: oracle.commits(rig.bootstrap, rig.topic), "a commit")
    refused = second.start(MILLPOND_GROUP_ID=rig.topic, MILLPOND_ARCHIVE=f"s3://{rig.bucket}/second")
    assert refused.wait(90) == 4, second.said()
    assert "give this archive another --group-id, or leave it out" in second.said()
    assert list(rig.backup.store.list("second/")) == []
    oracle.produce(rig.bootstrap, rig.topic, [b"y"] * 5)
    rig.backup.wait_covered(rig.topic)
    assert child.stop() == 0, process.said()
