"""`python -m tests.faults.crashing_backup`: the consumer's process, quick, and ended at an arrow between two writes.

    CRASH_AT="before put:2"     os._exit, as kill -9 would, at the second time that a window is about to be put

Without CRASH_AT it only has short pauses. With CLOCK_SHIFT_S its wall clock is wrong: by so many seconds at the start,
and by as many the other way from the second on that CLOCK_JUMPS_AFTER_S tells. The tests of this folder start it.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from backup_consumer.__main__ import main
from millpond.archive.window import WindowSpool
from millpond.backup import confirm, consumer, findings, run, upload
from millpond.backup.member import Member
from millpond.backup.options import BackupOptions
from millpond.settings.backup import BackupSettings

CRASHED = 77
POINTS: dict[str, tuple[Any, str, bool]] = {
    # where the function is looked up, its name, whether to crash after it
    "before archive.json": (run, "open_or_create", False),
    "after archive.json": (run, "open_or_create", True),
    "before confirmation": (confirm, "look", False),
    "after confirmation": (confirm, "look", True),
    "before put": (run, "store_window", False),
    "after put": (run, "store_window", True),
    "before spool deletion": (WindowSpool, "discard", False),
    "after spool deletion": (WindowSpool, "discard", True),
    "before commit": (Member, "commit", False),
    "after commit": (Member, "commit", True),
    "after the broker's answer to a commit": (Member, "_on_commit", True),
    "before empty marker": (upload, "write_gap", False),
    "after empty marker": (upload, "write_gap", True),
    "before retention marker": (findings, "write_gap", False),
    "after retention marker": (findings, "write_gap", True),
    "before event": (findings, "write_event", False),
    "after event": (findings, "write_event", True),
}


def crashing(original: Callable[..., Any], nth: int, *, after: bool) -> Callable[..., Any]:
    numbers = itertools.count(1)

    def call(*arguments: Any, **more: Any) -> Any:
        counts = original.__name__ != "_commit" or arguments[1]  # a commit of nothing is none
        due = bool(counts) and next(numbers) == nth
        if due and not after:
            os._exit(CRASHED)
        result = original(*arguments, **more)
        if due:
            os._exit(CRASHED)
        return result

    return call


def arm(told: str) -> None:
    point, _, nth = told.partition(":")
    place, name, after = POINTS[point]
    setattr(place, name, crashing(getattr(place, name), int(nth or 1), after=after))


def shift_clock(seconds: float, jumps_after_s: float) -> None:
    """Every reader of `time.time` and `time.time_ns` in this process sees it; the monotonic clock is right."""
    true, began = time.time_ns, time.monotonic()

    def shifted() -> int:
        sign = 1 if time.monotonic() - began < jumps_after_s else -1
        return true() + sign * int(seconds * 1e9)

    time.time_ns, time.time = shifted, lambda: shifted() / 1e9


def hurry() -> None:
    options = BackupSettings.options

    def quick(*told: Any, **more: Any) -> BackupOptions:
        return replace(options(*told, **more), confirm_after_s=0.1, discover_every_s=0.5)

    BackupSettings.options = quick  # type: ignore[method-assign]
    consumer._BATCH_WAIT_S = 0.03


if __name__ in ("__main__", "__mp_main__"):  # worker processes import it under the second name
    hurry()
    if "CRASH_AT" in os.environ:
        arm(os.environ["CRASH_AT"])

if __name__ == "__main__":
    if "CLOCK_SHIFT_S" in os.environ:
        shift_clock(float(os.environ["CLOCK_SHIFT_S"]), float(os.environ["CLOCK_JUMPS_AFTER_S"]))
    sys.exit(main())
