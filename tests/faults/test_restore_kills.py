"""Workers that are killed at random moments: with and without a header for the source offset, on an empty target and
behind what was there, also where a transaction ended it. Every record once, and a foreign one is not taken for ours.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millpond.errors import RefusedForSafety
from millpond.groups.keep import keep
from millpond.groups.values import Group, GroupSnapshot, PartitionOffset, TopicOffsets
from millpond.records import Row
from millpond.restore.groups.step import restore_groups
from millpond.restore.writing import target
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.faults.restore_process import Process
from tests.integration.restore_runs import Restore
from tests.unit.builders import ARCHIVE_ID, TOPIC_ID, make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
COUNT, PARTITIONS = 12_000, 2


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than what a killed process had sent is on its way."""
    monkeypatch.setattr(target, "_STILL_S", 1.0)


@pytest.fixture
def restore(kafka: KafkaCluster, tmp_path: Path) -> Restore:
    return Restore(kafka.bootstrap(), FolderStore(tmp_path))


def archived(restore: Restore, topic: str) -> dict[int, list[Row]]:
    sent = {number: make_rows(10, COUNT + number, size=100) for number in range(PARTITIONS)}
    for number, rows in sent.items():
        del rows[4000:4100]
        for at in range(0, len(rows), 3000):
            restore.add(topic, rows[at : at + 3000], number, first=rows[at][0] if at else 0, block_records=300)
    return sent


def with_groups(restore: Restore, topic: str, chance: random.Random) -> dict[str, dict[int, int]]:
    """Groups in the archive, by name their offsets: before the first record, in a hole, at the end, anywhere."""
    ends = {number: 10 + COUNT + number for number in range(PARTITIONS)}
    offsets = {
        "first": dict.fromkeys(ends, 0),
        "hole": dict.fromkeys(ends, 4050),
        "end": ends,
        "anywhere": {number: chance.randrange(end) for number, end in ends.items()},
    }
    found = []
    for name, positions in offsets.items():
        entries = tuple(PartitionOffset(number, at, -1, "m", ends[number]) for number, at in positions.items())
        found.append(Group(f"{topic}.{name}", "classic", "Empty", "", 0, (TopicOffsets(topic, TOPIC_ID, entries),)))
    assert keep(restore.store, restore.layout, GroupSnapshot(1, ARCHIVE_ID, tuple(found))).key
    return {f"{topic}.{name}": positions for name, positions in offsets.items()}


def an_old_target(bootstrap: str, topic: str, chance: random.Random) -> None:
    """Records of somebody else; a committed or an aborted transaction is the last of each partition."""
    oracle.make_topic(bootstrap, topic, PARTITIONS)
    for number in range(PARTITIONS):
        oracle.produce(bootstrap, topic, [b"old"] * chance.randint(0, 5), partition=number)
        oracle.produce_transaction(bootstrap, topic, [b"old", b"er"], partition=number, commit=chance.random() < 0.5)


def kill_at_random(restore: Restore, target_topic: str, process: Process, chance: random.Random) -> bool:
    """Whether it was killed before it ended; it is once the target holds a random number of records, or soon after."""
    running = process.start()
    before = sum(restore.ends(target_topic).values())
    wanted = before + chance.randrange(COUNT * PARTITIONS * 2 // 3)
    later = chance.choice([0, 0, chance.random() / 3])
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if sum(restore.ends(target_topic).values()) >= wanted:
            time.sleep(later)
            running.send_signal(signal.SIGKILL)
            break
    _, said = running.communicate(timeout=120)
    assert running.returncode in (0, -signal.SIGKILL), said.decode()
    return running.returncode != 0


@pytest.mark.parametrize("existing", [False, True], ids=["empty target", "behind a transaction"])
@pytest.mark.parametrize("header", [False, True], ids=["plain", "with header"])
def test_killed_at_random_moments_every_record_is_there_once(
    restore: Restore, unique_name: Name, header: bool, existing: bool
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance, topic, kills = random.Random(seed), unique_name("t"), 0
    sent, groups = archived(restore, topic), with_groups(restore, topic, chance)
    while kills < max(1, ROUNDS // 3):
        restore.run_id = prefix = unique_name("k")
        name = f"{prefix}{topic}"
        if existing:
            an_old_target(restore.bootstrap, name, chance)
        more: dict[str, Any] = {"source_offset_header": header, "allow_existing": existing}
        restore.plan(topic, prefix=prefix, groups={"prefix": prefix}, **more)
        (prepared,) = restore.prepare()
        process = Process(restore, (), steps=("work",), pause_s=0.01)
        while kills < max(1, ROUNDS // 3) and kill_at_random(restore, name, process, chance):
            kills += 1
        assert restore.work() == []
        assert restore.reconcile()["written"] == sum(map(len, sent.values()))
        applied = restore_groups(restore.store, restore.layout, restore.cluster, run_id=prefix, now_ms=3)
        assert applied["offsets"]["applied"] == len(groups) * PARTITIONS
        bases = {int(number): base for number, base in prepared["base"].items()}
        assert all(base > 0 for base in bases.values()) == existing
        where = oracle.Restored(restore.bootstrap, name, topic, bases=bases, header=header)
        names = {prefix + group: positions for group, positions in groups.items()}
        oracle.assert_restored(sent, restore.store, restore.layout, where, groups=names)


@pytest.mark.parametrize("header", [False, True], ids=["plain", "with header"])
def test_a_foreign_record_behind_a_killed_workers_last_one_is_refused(
    restore: Restore, unique_name: Name, header: bool
) -> None:
    """Counting alone would take it for one of ours."""
    chance, topic = random.Random(3), unique_name("t")
    archived(restore, topic)
    restore.plan(topic, source_offset_header=header)
    restore.prepare()
    assert kill_at_random(restore, topic, Process(restore, (), steps=("work",), pause_s=0.2), chance)
    time.sleep(0.5)
    done = {result["partition"] for _, result in restore.run.results()}
    for number in set(range(PARTITIONS)) - done:
        oracle.produce(restore.bootstrap, topic, [b"foreign"], partition=number)
    before = restore.ends(topic)
    errors = restore.work()
    assert len(errors) == PARTITIONS - len(done) > 0
    assert all(isinstance(error, RefusedForSafety) and "did not write" in str(error) for error in errors), errors
    assert restore.ends(topic) == before
