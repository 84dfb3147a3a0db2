"""A process of its own stands still, within the block and behind it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from millpond.restore.writing.standstill import ended_by_a_standstill

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the timer")
PROGRAM = """
import sys
from millpond.restore.writing import standstill
standstill._EVERY_S = 0.1
with standstill.ended_by_a_standstill(3):
    print("begun", flush=True)
    sys.stdin.readline()
print("over", flush=True)
sys.stdin.readline()
"""


def started() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


def test_a_process_that_stands_still_is_killed_while_it_is_stopped() -> None:
    with started() as process:
        process.send_signal(signal.SIGSTOP)
        assert process.wait(30) == -signal.SIGKILL


def test_a_process_that_runs_is_left_alone_and_behind_the_block_it_may_stand_still() -> None:
    with started() as process:
        assert process.stdin is not None and process.stdout is not None
        time.sleep(4)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "over\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(30) == 0


def test_a_kernel_that_gives_no_timer_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millpond.restore.writing.standstill._CLOCK_BOOTTIME", 4711)
    with ended_by_a_standstill():
        pass
    assert "nothing ends this process if it stands still: [Errno 22] Invalid argument" in caplog.text


def test_a_c_library_without_timers_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millpond.restore.writing.standstill.ctypes.CDLL", lambda *_, **__: object())
    with ended_by_a_standstill():
        pass
    assert "nothing ends this process if it stands still" in caplog.text and "timer_create" in caplog.text


def test_a_system_without_such_timers_goes_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.restore.writing.standstill.sys.platform", "darwin")
    monkeypatch.setattr("millpond.restore.writing.standstill._CLOCK_BOOTTIME", 4711)
    with ended_by_a_standstill():
        pass
