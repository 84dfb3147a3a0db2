"""Restores to other partitions that are killed at random moments and at chosen ones: every record once, in order."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millpond.archive.keys import Layout
from millpond.records import Row
from millpond.restore.repartition.murmur2 import partition_of
from millpond.storage.folder import FolderStore
from tests.faults.test_kill_restore import DYING, REPOSITORY, ROUNDS
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

_WRITER = "millpond.restore.repartition.writer:TopicWriter"
# In the order of a run. Each one is met by an attempt of its own; the next attempt goes on from what it left.
CRASHES = [
    f"{_WRITER}:_send_now:after:1",  # the first record of one partition, perhaps on its way
    f"{_WRITER}:_send_now:after:3",
    f"{_WRITER}:settle:before:2",  # a part on its way, to all partitions
    "millpond.restore.repartition.topic::write_checkpoint:before:1",  # flushed, and nothing says so
    "millpond.restore.repartition.topic::write_checkpoint:after:1",
    f"{_WRITER}:_send_now:before:2",
    f"{_WRITER}:settle:a little later:2",
    "millpond.restore.repartition.topic::write_checkpoint:after:2",  # the next archived partition begins
    "millpond.restore.repartition.topic::write_checkpoint:before:2",
    "millpond.restore.repartition.topic::digests_of_target:after:2",
    "millpond.archive.runs:Run:write_result:before:1",
    "millpond.archive.runs:Run:write_result:after:1",
]


def command(restore: Restore, prefix: str, partitions: int) -> list[str]:
    where = ["--archive", f"file://{restore.store.root}", "--to-brokers", restore.bootstrap]  # type: ignore[attr-defined]
    flags = ["--prefix", prefix, "--run-id", prefix, "--repartition", "murmur2", "--repartition-to", str(partitions)]
    return ["restore", *where, "--topics", "big", "--json", *flags]


def due(archived: dict[int, list[Row]], partitions: int) -> dict[int, list[Row]]:
    """What each target partition must hold, in order."""
    found: dict[int, list[Row]] = {number: [] for number in range(partitions)}
    for number, rows in archived.items():
        for row in rows:
            key = row[2]
            found[number % partitions if key is None else partition_of(key, partitions)].append(row)
    return found


def a_restore(kafka: KafkaCluster, tmp_path: Path) -> Restore:
    return Restore(kafka.bootstrap(), FolderStore(tmp_path), layout=Layout(""))


def test_a_restore_to_other_partitions_that_dies_at_any_step_is_finished_by_the_same_run_id(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> None:
    restore, prefix = a_restore(kafka, tmp_path), unique_name("dies")
    archived = {number: make_rows(0, 60) for number in range(3)}
    for number, rows in archived.items():
        del rows[45:48]
        restore.add("big", rows[:20], number, block_records=7)
        restore.add("big", rows[20:40], number)
        restore.add("big", rows[35:], number)
    flags = command(restore, prefix, 5)
    for crash in CRASHES:
        died = subprocess.run([sys.executable, "-c", DYING, crash, *flags], cwd=REPOSITORY, capture_output=True)
        assert died.returncode == 99, f"{crash}: {died.stderr.decode()}"
    subprocess.run([sys.executable, "-m", "millpond.cli.main", *flags], cwd=REPOSITORY, capture_output=True, check=True)
    restore.holds(f"{prefix}big", due(archived, 5))


@pytest.mark.parametrize(("archived_partitions", "partitions"), [(3, 5), (5, 2)])
def test_a_restore_to_other_partitions_killed_at_random_moments_ends_with_every_record_once(
    kafka: KafkaCluster,
    tmp_path: Path,
    unique_name: Callable[[str], str],
    archived_partitions: int,
    partitions: int,
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    restore = a_restore(kafka, tmp_path)
    archived = {number: make_rows(0, 20_000, size=100) for number in range(archived_partitions)}
    for number, rows in archived.items():
        for start in range(0, len(rows), 5000):
            restore.add("big", rows[start : start + 5000], number, block_records=500)
    total, kills, expected = sum(map(len, archived.values())), 0, due(archived, partitions)
    while kills < ROUNDS:
        prefix, report = unique_name("killed"), None
        while report is None:
            wanted = chance.randrange(total) if kills < ROUNDS else None
            report = attempt(restore, command(restore, prefix, partitions), f"{prefix}big", partitions, wanted, chance)
            kills += report is None
        restore.holds(f"{prefix}big", expected)
        assert report["written"] == total


def attempt(
    restore: Restore, flags: list[str], topic: str, partitions: int, wanted: int | None, chance: random.Random
) -> dict[str, Any] | None:
    """Runs until it ends, or until the target holds `wanted` records: then it is killed, now or a moment later."""
    process = subprocess.Popen(
        [sys.executable, "-m", "millpond.cli.main", *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    began, later = time.monotonic(), chance.choice([0, 0, chance.random() / 2])
    while wanted is not None and process.poll() is None and time.monotonic() - began < 30:
        there = topic in restore.cluster.describe([topic])
        if there and sum(restore.cluster.ends([(topic, number) for number in range(partitions)]).values()) >= wanted:
            time.sleep(later)
            process.send_signal(signal.SIGKILL)
            break
    out, told = process.communicate(timeout=120)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, told.decode()
    report: dict[str, Any] = json.loads(out)
    return report
