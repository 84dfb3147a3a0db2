"""What the parent of several workers says of those that say nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from millpond.backup.flush import Flush
from millpond.backup.health import backup_health
from millpond.backup.status import BackupStatus, starting, together
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.service import workers
from millpond.service.workers import Workers
from millpond.settings.backup import BackupSettings


def hangs(*_: object) -> None:
    """In the place of a worker's process that never says anything."""
    time.sleep(60)


def test_workers_that_hang_before_their_first_word_are_unhealthy_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_work", hangs)
    monkeypatch.setattr(workers, "_END_WITHIN_S", 0.1)
    settings = BackupSettings.from_flags(
        ["--archive", f"file://{tmp_path}", "--brokers", "127.0.0.1:1", "--topics", "t", "--workers", "2"]
    )
    stop, seen = threading.Event(), list[BackupStatus]()
    two = Workers(settings, tmp_path, lambda done, total: None)

    def observe(status: BackupStatus) -> None:
        seen.append(status)
        for worker in two._workers:
            worker.process.kill()

    with pytest.raises(MillpondError, match="a worker ended with -9"):
        two.run(stop, Flush(), observe)
    assert abs(seen[0].at_ms - now_ms()) < 10_000
    assert backup_health(seen[0], 0, seen[0].at_ms + 59_000).ok
    assert not backup_health(seen[0], 0, seen[0].at_ms + 61_000).ok


def test_one_that_is_silent_among_others_that_speak_is_seen() -> None:
    speaks, silent = replace(starting(0, 0), at_ms=100_000, heard_ms=100_000), starting(0, 0)
    assert backup_health(speaks, 0, 100_000).ok
    assert not backup_health(together([speaks, silent]), 0, 100_000).ok
