"""A worker of a restore that stands still while another one of the same run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.errors import MillpondError
from millpond.kafka.members import members_of
from millpond.records import Row
from millpond.restore.comparing.compare import compare_restore
from millpond.restore.writing.claim import group_of
from millpond.restore.writing.standstill import LIMIT_S
from millpond.restore.writing.throttle import size_of
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

REPOSITORY = Path(__file__).parents[2]


def start(restore: Restore, log: Path) -> subprocess.Popen[bytes]:
    archive = restore.store.root.as_uri()  # type: ignore[attr-defined]
    told = {"ARCHIVE": archive, "TO_BROKERS": restore.bootstrap, "RUN_ID": restore.run_id}
    env = {**os.environ, **{f"MILLPOND_{name}": text for name, text in told.items()}}
    command = [sys.executable, "-m", "batch_jobs.restore"]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=REPOSITORY, env=env, stderr=output)


@pytest.fixture
def throttled(kafka: KafkaCluster, tmp_path: Path, unique_name: Callable[[str], str]) -> Throttled:
    """Ten records a second, for half a minute."""
    restore = Restore(kafka.bootstrap(), FolderStore(tmp_path), layout=Layout(""))
    topic, rows = unique_name("zombie"), make_rows(0, 300, size=100)
    for first in range(0, 300, 50):
        restore.add(topic, rows[first : first + 50], block_records=10)
    restore.plan(topic, throttle=sum(map(size_of, rows)) // 30)
    restore.prepare()
    return Throttled(restore, topic, rows, tmp_path.parent / f"{tmp_path.name}.log")


@dataclass
class Throttled:
    restore: Restore
    topic: str
    rows: list[Row]
    log: Path

    @contextmanager
    def stopped_worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """One that has written something and stands still."""
        worker = start(self.restore, self.log)
        try:
            wait_until(lambda: self.restore.ends(self.topic)[0] > 30, "it writes")
            wait_until(lambda: members_of(self.restore.cluster, group_of(self.topic)), "it is a member")
            worker.send_signal(signal.SIGSTOP)
            yield worker
        finally:
            worker.kill()
            worker.wait()

    def other(self) -> subprocess.Popen[bytes]:
        return start(self.restore, self.log.with_suffix(".other"))

    def compare(self) -> None:
        compare_restore(self.restore.store, self.restore.layout, self.restore.cluster, run_id="r", now_ms=5)


def test_a_worker_that_stands_still_is_killed_and_every_record_is_there_once(throttled: Throttled) -> None:
    """It never goes on, so what its client had in hand is not written behind what the other one wrote."""
    with throttled.stopped_worker() as worker:
        other = throttled.other()
        assert worker.wait(LIMIT_S + 10) == -signal.SIGKILL, "stopped as it is"
        assert other.wait(180) == 0
    throttled.restore.holds(throttled.topic, {0: throttled.rows})
    assert throttled.restore.reconcile()["written"] == 300
    throttled.compare()


def test_a_worker_that_goes_on_too_early_to_be_killed_ends_and_nothing_it_wrote_passes(throttled: Throttled) -> None:
    """What its client had in hand is written twice then, if there was something: no later step takes that for good."""
    restore, topic = throttled.restore, throttled.topic
    with throttled.stopped_worker() as worker:
        stopped_at = restore.ends(topic)[0]
        other = throttled.other()
        wait_until(lambda: restore.ends(topic)[0] > stopped_at + 10, "the other writes")
        worker.send_signal(signal.SIGCONT)
        how = worker.wait(180)
        ended = other.wait(180)
    said = throttled.log.read_text()
    if how != -signal.SIGKILL:  # where the other took long to begin
        assert how in (4, 75), said
        assert f"another worker of this run has taken over {topic}-0" in said or "somebody else writes to it" in said
    if restore.ends(topic)[0] == 300 and ended == 0:
        restore.holds(topic, {0: throttled.rows})
        throttled.compare()
    elif ended == 0:
        with pytest.raises(MillpondError, match=f"{topic}-0"):
            throttled.compare()
    else:
        assert ended == 4
        assert "somebody else writes to it" in throttled.log.with_suffix(".other").read_text()
