"""`millpond` under observation: HOW FLAGS... prints one JSON line after what the command prints to standard error.

HOW is `threads` (CPU seconds of every thread as the kernel counts them, Linux only) or `functions` (cProfile of each
Python thread in CPU seconds: waiting is left out, C functions count for their caller, calls look dearer than they are).
"""

from __future__ import annotations

import contextlib
import cProfile
import json
import os
import pstats
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from millpond.cli.main import main

_TICKS = os.sysconf("SC_CLK_TCK")
_SHOWN = 16


class Threads:
    """Looks at all threads often enough to have seen those that end."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, float]] = {}
        threading.Thread(target=self._watch, name="this watch", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(0.1)
            self.look()

    def look(self) -> None:
        python = {thread.native_id: thread.name.split("_")[0] for thread in threading.enumerate()}
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                head, _, tail = (task / "stat").read_text().rpartition(")")
                number, fields = int(task.name), tail.split()
                known = self._seen.get(number, (head.partition("(")[2], 0.0))[0]
                seconds = (int(fields[11]) + int(fields[12])) / _TICKS
                self._seen[number] = python.get(number, known), seconds

    def seconds(self) -> dict[str, float]:
        """By name, the dearest first."""
        self.look()
        found: dict[str, float] = {}
        for name, seconds in self._seen.values():
            found[name] = found.get(name, 0.0) + seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def by_thread(command: Callable[[], int]) -> dict[str, float]:
    threads = Threads()
    command()
    return threads.seconds()


def by_function(command: Callable[[], int]) -> dict[str, float]:
    """CPU seconds inside each function itself, the dearest ones."""
    profiles: list[cProfile.Profile] = []

    def profiled(run: Callable[[], object]) -> None:
        profile = cProfile.Profile(time.thread_time, builtins=False)
        profiles.append(profile)
        with contextlib.suppress(ValueError):  # since Python 3.12 only one thread can be profiled
            profile.enable()
        try:
            run()
        finally:
            profile.disable()

    original = threading.Thread.run
    threading.Thread.run = lambda thread: profiled(lambda: original(thread))  # type: ignore[method-assign]
    profiled(command)
    stats = pstats.Stats(*profiles).stats  # type: ignore[attr-defined]
    own = {_name(where): figures[2] for where, figures in stats.items()}
    return dict(sorted(own.items(), key=lambda item: -item[1])[:_SHOWN])


def _name(where: tuple[str, int, str]) -> str:
    path, _, function = where
    return function if path == "~" else f"{Path(path).parent.name}/{Path(path).name} {function}"


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        seen = {"threads": by_thread, "functions": by_function}[sys.argv[1]](lambda: main(sys.argv[2:]))
    print(json.dumps(seen))
