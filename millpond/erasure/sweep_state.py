"""What the keys of a unit share, and the words for what a sweep leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from millpond.archive.runs import Run
from millpond.erasure.sweeps import Sweeps

ROUNDS = 5

UNEXPLAINED = "unexplained version"
UNEXPLAINED_ENTRY = "unexplained redaction"
REFUSED = "delete refused"
DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What all keys of a unit share."""

    run: Run
    archive_id: str
    sweeps: Sweeps
    spool: Path
    now_ms: Callable[[], int]
