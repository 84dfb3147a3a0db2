"""The folder of open windows: one process at a time, emptied at the start because Kafka still has what it held."""

from __future__ import annotations

import fcntl
import uuid
from pathlib import Path
from typing import TextIO

from millpond.errors import RefusedForSafety, WrongUsage

_SUFFIX = ".blocks"


class SpoolFolder:
    """Holds a lock on the folder until it is closed.

    Raises:
        RefusedForSafety: Another process uses the folder.
        WrongUsage: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock: TextIO = (folder / "lock").open("w")
        except OSError as error:
            raise WrongUsage(f"cannot use the spool folder {folder}: {error.strerror}", hint="check --spool") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RefusedForSafety(
                f"the spool folder {folder} is in use by another process", hint="give each process a --spool of its own"
            ) from error
        for left in folder.glob(f"*{_SUFFIX}"):
            left.unlink()

    def new_path(self) -> Path:
        return self._folder / f"{uuid.uuid4().hex}{_SUFFIX}"

    def close(self) -> None:
        self._lock.close()
