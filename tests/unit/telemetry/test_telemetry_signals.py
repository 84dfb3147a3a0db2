"""Signals of the process itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from millpond.backup.flush import Flush
from millpond.telemetry.signals import call_on_usr1, stop_on_signals


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_each_usr1_asks_for_a_flush_and_nobody_waits_for_it() -> None:
    flush = Flush()
    call_on_usr1(flush.signal)
    assert flush.take() is None
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert flush.take() == []
    assert flush.take() is None


def test_usr1_does_not_end_the_run() -> None:
    stop = stop_on_signals()
    call_on_usr1(Flush().signal)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert not stop.is_set()


def test_the_first_sigterm_sets_the_event_and_the_second_ends_the_process_as_usual() -> None:
    stop = stop_on_signals()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
