"""Brokers are killed, restarted, relieved of their partitions and lost altogether while records come in.

MILLPOND_FAULT_ROUNDS says how many random brokers are killed (3).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, wait_until
from millpond.archive.codecs import CODECS
from millpond.backup.options import Rotation
from millpond.storage.contract import read
from tests import oracle
from tests.faults.backup_process import ROUNDS, Process, Rig
from tests.faults.three_nodes import ThreeNodes
from tests.integration.backup_runs import Backup

EVERYWHERE = [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
SHORT_SESSION = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "300"}


@pytest.fixture
def nodes(kafka3: KafkaCluster) -> ThreeNodes:
    return ThreeNodes(kafka3, "t")


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, nodes: ThreeNodes, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, nodes.bootstrap, "t", tmp_path)


@contextmanager
def backing_up(rig: Rig) -> Iterator[Process]:
    """One process for the whole block, which nobody starts again; all is stored when the block has ended."""
    process = rig.process()
    child: Child = process.start(MILLPOND_KAFKA=json.dumps(SHORT_SESSION | {"group.instance.id": "one"}))
    yield process
    rig.backup.wait_covered("t", timeout_s=180)
    assert child.running, process.said()
    assert child.stop() == 0, process.said()
    assert "Traceback" not in process.said()


def wait_progress(process: Process) -> None:
    process.wait_said("stored ", process.said().count("stored ") + 5, timeout_s=180)


def test_random_brokers_are_killed_under_load(rig: Rig, nodes: ThreeNodes) -> None:
    chance = random.Random()
    nodes.make_topic(EVERYWHERE)
    with backing_up(rig) as process, nodes.load(3):
        wait_progress(process)
        for _ in range(ROUNDS):
            node = nodes.partition(chance.randrange(3)).leader
            nodes.kafka.kill(node)
            time.sleep(chance.uniform(0, 4))
            nodes.kafka.start_node(node)
            nodes.wait_in_sync()
            wait_progress(process)
    rig.assert_every_record_once()


def test_all_brokers_are_restarted_one_after_another_under_load(rig: Rig, nodes: ThreeNodes) -> None:
    nodes.make_topic(EVERYWHERE)
    with backing_up(rig) as process, nodes.load(3):
        wait_progress(process)
        for node in (1, 2, 3):
            nodes.kafka.restart(node)
            nodes.wait_in_sync()
            wait_progress(process)
    rig.assert_every_record_once()


def test_partitions_move_to_other_brokers_under_load(rig: Rig, nodes: ThreeNodes) -> None:
    nodes.make_topic([[1, 2], [2, 3], [3, 1]])
    with backing_up(rig) as process, nodes.load(3):
        wait_progress(process)
        for replicas in ([[3, 2], [1, 3], [2, 1]], [[1, 3], [2, 1], [3, 2]]):
            nodes.reassign(replicas)
            nodes.wait_in_sync()
            wait_progress(process)
    rig.assert_every_record_once()


def test_the_groups_coordinator_is_killed_while_it_takes_commits(rig: Rig, nodes: ThreeNodes) -> None:
    """The archive goes on, and the group's commits catch up with it."""
    nodes.make_topic(EVERYWHERE)
    with backing_up(rig) as process:
        with nodes.load(3):
            wait_progress(process)
            archive_id = json.loads(read(rig.backup.store, rig.backup.layout.identity))["archive_id"]
            for _ in range(2):
                node = wait_until(lambda: nodes.coordinator(f"millpond-{archive_id}"), "the coordinator is known")
                nodes.kafka.kill(node)
                time.sleep(1)
                nodes.kafka.start_node(node)
                nodes.wait_in_sync()
                wait_progress(process)

        def caught_up() -> bool:
            for number in range(3):
                nodes.write(["one more"], partition=number)
            rig.backup.wait_covered("t")
            ends = {("t", number): spans[-1][1] + 1 for number, spans in rig.spans().items()}
            commits = oracle.commits(rig.bootstrap, f"millpond-{archive_id}")
            return {place: offset for place, (offset, _) in commits.items()} == ends

        wait_until(caught_up, "commits are where the archive ends", pause_s=1)
    rig.assert_every_record_once()


# -- all brokers are lost


def keeps_what_it_reads(rig: Rig) -> Backup:
    """The backup in this process, of the archive's own group; its windows stay open until they are long."""
    return replace(rig.backup, group_id="")


def until_long(count: int) -> dict[str, Any]:
    return {"rotation": Rotation(600, 64 << 20, count), "block_bytes": 1, "codec": CODECS["null"]}


def write_and_wait_until_read(nodes: ThreeNodes, backup: Backup, letter: str, count: int) -> None:
    """Values as wide as that leave the buffer of the window's file at once."""
    nodes.write([f"{letter}{number}".ljust(9000) for number in range(count)])
    last = f"{letter}{count - 1} ".encode()
    wait_until(lambda: any(last in path.read_bytes() for path in backup.spool.rglob("*.blocks")), "all is read")


def test_all_brokers_are_lost_and_come_back(rig: Rig, nodes: ThreeNodes, caplog: pytest.LogCaptureFixture) -> None:
    nodes.make_topic([[1, 2, 3]])
    backup = keeps_what_it_reads(rig)
    with backup.running(brokers_lost_s=5, **until_long(25)):
        write_and_wait_until_read(nodes, backup, "a", 20)
        topic_id = oracle.topic_id_of(rig.bootstrap, "t")
        if "the brokers are silent" not in caplog.text:  # which a busy machine may take them for
            assert backup.folders("t", topic_id) == {}, "nothing is stored as long as brokers answer"
        for node in (1, 2, 3):
            nodes.kafka.kill(node)
        wait_until(lambda: backup.covers("t", {0: 20}, topic_id), "what was read is stored")
        nodes.kafka.start()
        nodes.wait_in_sync()

        def more() -> bool:
            nodes.write(["b"] * 50)
            return backup.covers("t", {0: 70})

        wait_until(more, "what came afterwards is stored", pause_s=1)
    backup.once()  # what the last window had not enough of
    rig.assert_every_record_once()


def test_stopped_while_all_brokers_are_lost(rig: Rig, nodes: ThreeNodes) -> None:
    """What was read and is nowhere else now is stored before the process ends."""
    nodes.make_topic([[1, 2, 3]])
    backup = keeps_what_it_reads(rig)
    with backup.running(**until_long(1000)):
        write_and_wait_until_read(nodes, backup, "a", 20)
        topic_id = oracle.topic_id_of(rig.bootstrap, "t")
        for node in (1, 2, 3):
            nodes.kafka.kill(node)
    assert backup.covers("t", {0: 20}, topic_id)
    nodes.kafka.start()
    nodes.wait_in_sync()
    nodes.write(["b"])
    backup.once()
    rig.assert_every_record_once()
