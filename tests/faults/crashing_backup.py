"""`python -m tests.faults.crashing_backup`: the consumer's process, quick, and ended at an arrow between two writes.

    CRASH_AT="before put:2"     os._exit, as kill -9 would, at the second time that a window is about to be put

Without CRASH_AT it only has short pauses. `tests/faults/test_kill_backup.py` starts it.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from backup_consumer.__main__ import main
from millpond.backup import consumer, positions, upload
from millpond.backup.consumer import BackupConsumer
from millpond.backup.options import BackupOptions
from millpond.backup.upload import Uploads
from millpond.settings.backup import BackupSettings

CRASHED = 77
POINTS: dict[str, tuple[Any, str, bool]] = {
    # where the function is looked up, its name, whether to crash after it
    "before put": (upload, "store_window", False),
    "after put": (upload, "store_window", True),
    "before spool deletion and commit": (Uploads, "_finish", False),
    "after spool deletion, before commit": (Uploads, "_finish", True),
    "after commit": (BackupConsumer, "_commit", True),
    "before empty marker": (upload, "write_gap", False),
    "after empty marker": (upload, "write_gap", True),
    "before retention marker": (positions, "write_gap", False),
    "after retention marker": (positions, "write_gap", True),
    "after recreated event": (positions, "write_event", True),
}


def crashing(original: Callable[..., Any], nth: int, *, after: bool) -> Callable[..., Any]:
    numbers = itertools.count(1)

    def run(*arguments: Any, **more: Any) -> Any:
        counts = original.__name__ != "_commit" or arguments[1]  # a commit of nothing is none
        due = bool(counts) and next(numbers) == nth
        if due and not after:
            os._exit(CRASHED)
        result = original(*arguments, **more)
        if due:
            os._exit(CRASHED)
        return result

    return run


def arm(told: str) -> None:
    point, _, nth = told.partition(":")
    place, name, after = POINTS[point]
    setattr(place, name, crashing(getattr(place, name), int(nth or 1), after=after))


def hurry() -> None:
    options = BackupSettings.options

    def quick(*told: Any) -> BackupOptions:
        return replace(options(*told), confirm_after_s=0.1, discover_every_s=0.5)

    BackupSettings.options = quick  # type: ignore[method-assign]
    consumer._BATCH_WAIT_S = 0.03


if __name__ == "__main__":
    hurry()
    if "CRASH_AT" in os.environ:
        arm(os.environ["CRASH_AT"])
    sys.exit(main())
