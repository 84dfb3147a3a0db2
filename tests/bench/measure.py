"""What a program costs: a child process of its own, all its threads counted, nothing of its parent or neighbours.

Linux counts the memory of the parent at the fork as the child's: no peak is below what the bench itself holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one whole process, from its start to its end.

    Attributes:
        cpu_s: User and system seconds of all threads, those of librdkafka too.
        peak_rss_bytes: The most memory it held.
    """

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


def run(command: Sequence[str], env: Mapping[str, str]) -> tuple[Cost, dict[str, Any]]:
    """Runs `python -m command...` and returns its cost and the JSON that it printed; raises what it said on failure."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=out, stderr=err, env=dict(env), cwd=REPOSITORY
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            told = (out.read() + err.read()).decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command[0]} ended with {child.returncode}:\n{told}")
        told = json.loads(out.read() or b"{}")
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak), told
