"""Restores that are killed at random moments and at chosen ones, and started again: every record once, in order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millpond.archive.facts import Redaction
from millpond.archive.keys import Layout
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
REPOSITORY = Path(__file__).parents[2]

# Runs the command line; the `n`-th call of something ends the process before or after its effect.
DYING = """
import importlib, os, sys, time
from millpond.restore.writing import target
target._STILL_S = 0.2
module, owner, name, when, n = sys.argv[1].split(":")
sys.argv[1:2] = []
place = importlib.import_module(module)
place = getattr(place, owner) if owner else place
real, calls = getattr(place, name), 0
def call(*arguments, **more):
    global calls
    calls += 1
    if when != "after" and calls == int(n):
        if when == "a little later":
            time.sleep(0.025)
        os._exit(99)
    result = real(*arguments, **more)
    if calls == int(n):
        os._exit(99)
    return result
setattr(place, name, call)
from millpond.cli.main import main
sys.exit(main())
"""

# In the order of a run. Each one is met by an attempt of its own; the next attempt goes on from what it left.
CRASHES = [
    "millpond.archive.runs:Run:write_plan:after:1",
    "millpond.kafka.admin:Cluster:create_topic:after:1",
    "millpond.archive.runs:Run:write_once:after:1",  # of prepared/<topic>.json
    "millpond.restore.writing.target:TargetPartition:_send:after:1",  # the first record alone, perhaps on its way
    "millpond.restore.writing.target:TargetPartition:settle:before:2",  # a part on its way
    "millpond.restore.writing.worker::write_chunk:before:1",  # flushed, and nothing says so
    "millpond.restore.writing.worker::write_chunk:after:1",
    "millpond.restore.writing.target:TargetPartition:_send:before:1",
    "millpond.restore.writing.target:TargetPartition:settle:a little later:2",
    "millpond.restore.writing.worker::write_chunk:after:2",
    "millpond.restore.writing.worker::write_chunk:before:2",
    "millpond.archive.runs:Run:write_result:before:1",
    "millpond.archive.runs:Run:write_result:after:1",
    "millpond.restore.reporting.reconcile:Run:write_once:before:1",  # of the report
]


def command(restore: Restore, *more: str) -> list[str]:
    where = ["--archive", f"file://{restore.store.root}", "--to-brokers", restore.bootstrap]  # type: ignore[attr-defined]
    return ["restore", *where, "--topics", "big", "--json", *more]


def a_restore(kafka: KafkaCluster, tmp_path: Path) -> Restore:
    return Restore(kafka.bootstrap(), FolderStore(tmp_path), layout=Layout(""))


def check(restore: Restore, topic: str, expected: dict[int, list[Row]], report: dict[str, Any]) -> None:
    parts = report["partitions"]
    assert all(part["digest_archive"] == part["digest_target"] for part in parts)
    counts = {part["partition"]: (part["base"], part["end"], part["written"]) for part in parts}
    assert counts == {number: (0, len(rows), len(rows)) for number, rows in expected.items()}
    assert restore.ends(topic) == {number: len(rows) for number, rows in expected.items()}
    zeros = sum(row[1] == 0 for rows in expected.values() for row in rows)
    assert report["known_deviations"] == {"timestamp_zero_became_now": zeros}
    target = restore.target(topic)
    for number, rows in expected.items():
        assert [record[2:] for record in target[number]] == [row[2:] for row in rows]
        stamps = [(record.timestamp, row[1]) for record, row in zip(target[number], rows, strict=True) if row[1]]
        assert all(found == due for found, due in stamps)


def test_a_restore_that_dies_at_any_step_is_finished_by_the_same_run_id(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Callable[[str], str]
) -> None:
    restore, prefix = a_restore(kafka, tmp_path), unique_name("dies")
    expected = {number: make_rows(3, 60) for number in range(2)}
    for number, rows in expected.items():
        restore.add("big", [], number, first=0, last=2, redactions=(Redaction("s", 3, 0, 0, 1),))
        rows[19] = (22, 0, *rows[19][2:])  # the newest of its window
        del rows[45:48]
        restore.add("big", rows[:20], number)
        restore.add("big", rows[20:40], number, block_records=7)
        restore.add("big", rows[35:44], number)
        restore.add("big", rows[44:], number)
    flags = command(restore, "--prefix", prefix, "--run-id", "r")
    for crash in CRASHES:
        died = subprocess.run([sys.executable, "-c", DYING, crash, *flags], cwd=REPOSITORY, capture_output=True)
        assert died.returncode == 99, f"{crash}: {died.stderr.decode()}"
    done = subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *flags], cwd=REPOSITORY, capture_output=True, check=True
    )
    check(restore, f"{prefix}big", expected, json.loads(done.stdout))


def test_a_restore_killed_at_random_moments_ends_with_every_record_once(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    restore = a_restore(kafka, tmp_path)
    expected = {number: make_rows(0, 40_000, size=100) for number in range(2)}
    for number, rows in expected.items():
        for start in range(0, len(rows), 5000):
            restore.add("big", rows[start : start + 5000], number, block_records=500)
    total, kills = sum(map(len, expected.values())), 0
    while kills < ROUNDS:
        prefix, report = unique_name("killed"), None
        flags = command(restore, "--prefix", prefix, "--run-id", prefix)
        while report is None:
            wanted = chance.randrange(total) if kills < ROUNDS else None
            report = attempt(restore, flags, f"{prefix}big", wanted, chance)
            kills += report is None
        check(restore, f"{prefix}big", expected, report)


def attempt(
    restore: Restore, flags: list[str], topic: str, wanted: int | None, chance: random.Random
) -> dict[str, Any] | None:
    """Runs until it ends, or until the target holds `wanted` records: then it is killed, now or a moment later."""
    places: list[Place] = [(topic, number) for number in range(2)]
    process = subprocess.Popen(
        [sys.executable, "-m", "millpond.cli.main", *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    began = time.monotonic()
    later = chance.choice([0, 0, chance.random() / 2])
    while wanted is not None and process.poll() is None and time.monotonic() - began < 120:
        there = topic in restore.cluster.describe([topic])
        if there and sum(restore.cluster.ends(places).values()) >= wanted:
            time.sleep(later)
            process.send_signal(signal.SIGKILL)
            break
    out, _ = process.communicate(timeout=120)
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, out.decode()
    report: dict[str, Any] = json.loads(out)
    return report
