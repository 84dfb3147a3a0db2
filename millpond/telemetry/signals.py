"""Signals as what long work looks at: SIGTERM and SIGINT to end, SIGUSR1 to flush."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets; the second one ends the process as usual."""
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def call_on_usr1(ask: Callable[[], None]) -> None:
    """Has every SIGUSR1 call `ask`, which must take no lock: it runs between any two steps of the main thread."""
    signal.signal(signal.SIGUSR1, lambda *_: ask())
