"""A disk that is full, small or has no room for another file, and a wall clock that jumps: the backup goes on."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.backup import consumer
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.faults.backup_process import Rig, s3_through
from tests.faults.s3_proxy import Call, Fault, FaultyS3
from tests.integration.backup_runs import Backup

Name = Callable[[str], str]
HOUR_S = 3600


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


@contextmanager
def a_small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory, such as `size=4m`."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: no file system of its own can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(path: Path) -> None:
    """Takes all room that is left."""
    with path.open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def stays_full(ballast: Path, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether the lack of room was met some times; what earlier windows give back meanwhile is taken, too."""
    fill(ballast)
    return caplog.text.count("cannot spool: No space left on device") > 2


def on_disk(rig: Rig, spool: Path, store: Any = None) -> Backup:
    told = (store or S3Store(rig.bucket, client=rig.s3), rig.bootstrap, spool, (rig.topic,))
    return Backup(*told, Layout("kafka"))


def produce_noise(rig: Rig, partition: int, records: int, size: int = 4000) -> None:
    chance = random.Random(partition)
    values = [chance.randbytes(size) for _ in range(records)]
    oracle.produce(rig.bootstrap, rig.topic, values, partition=partition)


@pytest.mark.parametrize("size", [50, 4000], ids=["found when a window is closed", "found when a block is written"])
def test_a_full_disk_is_waited_for_and_nothing_is_lost(rig: Rig, caplog: pytest.LogCaptureFixture, size: int) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    with a_small_disk(rig.folder / "disk", "size=4m") as disk:
        backup = on_disk(rig, disk / "spool")
        with backup.running(spool_bytes=1 << 30, block_bytes=1 << 14):
            for number in range(2):
                produce_noise(rig, number, 20, size)
            rig.backup.wait_covered(rig.topic)
            fill(disk / "ballast")
            for number in range(2):
                produce_noise(rig, number, 100, size)
            wait_until(lambda: stays_full(disk / "ballast", caplog), "the disk is full")
            rig.assert_holds(complete=False)
            (disk / "ballast").unlink()
            rig.backup.wait_covered(rig.topic)
            wait_until(lambda: not list(disk.rglob("*.blocks")), "no file is left of windows that were given up")
    rig.assert_every_record_once()


def test_a_disk_without_room_for_another_file_is_waited_for(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """It used to end the process: the file of a window is made on the thread that reads."""
    oracle.make_topic(rig.bootstrap, rig.topic, 4)
    with a_small_disk(rig.folder / "disk", "size=4m,nr_inodes=20") as disk:
        backup = on_disk(rig, disk / "spool")
        with backup.running():
            wait_until(lambda: (disk / "spool" / "lock").exists(), "the spool is there")
            taken = take_all_names(disk)
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=4, count=5, seed=1)
            wait_until(lambda: "cannot spool: No space left on device" in caplog.text, "no file can be made")
            time.sleep(1)
            assert rig.backup.keys(f"topics/{rig.topic}") == []
            for path in taken:
                path.unlink()
            rig.backup.wait_covered(rig.topic)
        assert list(disk.rglob("*.blocks")) == []
    rig.assert_every_record_once()


def take_all_names(disk: Path) -> list[Path]:
    taken: list[Path] = []
    while True:
        path = disk / str(len(taken))
        try:
            path.touch()
        except OSError:
            return taken
        taken.append(path)


def test_a_topic_far_larger_than_the_disk_goes_through_it(rig: Rig) -> None:
    """Without a limit that was set the backup takes four fifths of what is free."""
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    for number in range(2):
        produce_noise(rig, number, 5000)
    with a_small_disk(rig.folder / "disk", "size=16m") as disk:
        backup = on_disk(rig, disk / "spool")
        backup.max_age_s = 600
        backup.once(block_bytes=1 << 15, within_s=180)
    rig.assert_every_record_once()


def test_a_small_limit_holds_while_the_store_is_slow(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading pauses near the limit: a batch of each partition, and blocks on their way, may come on top."""
    monkeypatch.setattr(consumer, "_BATCH", 20)
    monkeypatch.setattr(consumer, "_TICK_S", 0.0)
    limit, records, size = 200_000, 250, 4000
    oracle.make_topic(rig.bootstrap, rig.topic, 4)
    for number in range(4):
        produce_noise(rig, number, records, size)
    slow = threading.Event()

    def rule(call: Call) -> Fault | None:
        return Fault(delay_s=0.2) if call.method == "PUT" and "/topics/" in call.path else None

    most, spool = [0], rig.folder / "spool"

    def watch() -> None:
        while not slow.wait(0.01):
            most.append(size_of(spool))

    watching = threading.Thread(target=watch)
    with FaultyS3(rig.aws.url, rule) as proxy:
        watching.start()
        try:
            on_disk(rig, spool, s3_through(proxy, rig.bucket)).once(
                spool_bytes=limit, block_bytes=1 << 12, within_s=180
            )
        finally:
            slow.set()
            watching.join()
    assert 0 < max(most) < 2 * limit, f"of {4 * records * size} bytes {max(most)} were on the disk at once"
    rig.assert_every_record_once()


def size_of(folder: Path) -> int:
    total = 0
    for name in os.listdir(folder) if folder.exists() else ():  # noqa: PTH208  # names alone are what may vanish
        try:
            total += (folder / name).stat().st_size
        except FileNotFoundError:
            continue
    return total


def test_a_limit_below_one_block_still_lets_everything_through(rig: Rig) -> None:
    """The real process with its own block size."""
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    for number in range(3):
        produce_noise(rig, number, 500)
    process = rig.process()
    assert process.once("--spool-bytes", "200000", "--max-age", "600") == 0, process.said()
    rig.assert_every_record_once()


@pytest.mark.parametrize("shift_s", [3 * HOUR_S, -3 * HOUR_S], ids=["ahead and then behind", "behind and then ahead"])
def test_a_wall_clock_that_jumps_by_hours_changes_nothing(rig: Rig, shift_s: int) -> None:
    """Ages go by the monotonic clock: windows keep closing after the jump."""
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    process = rig.process()
    child = process.start(CLOCK_SHIFT_S=str(shift_s), CLOCK_JUMPS_AFTER_S="6")
    with rig.load(2):
        process.wait_said("stored ")
        time.sleep(6)
        seen = process.said().count("stored ")
        process.wait_said("stored ", seen + 4)
        assert process.said().count("stored ") < 200, "the jump does not make every window old at once"
    rig.backup.wait_covered(rig.topic)
    assert child.stop() == 0, process.said()
    assert "Traceback" not in process.said()
    rig.assert_every_record_once()
