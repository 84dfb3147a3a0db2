"""Folders for files under way where nobody named one. Records lie in them, so none may stay behind for ever.

A process that is killed leaves its folder. All folders of a user are in one place, each under a lock of its process,
and whoever makes a new one removes those whose lock nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from millpond.errors import WrongUsage

_OWNER = "owner.lock"
_SPOOLS = ("lock", "*/lock")
"""Locks of those who use a folder below, or the folder itself, as a spool."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this process alone, removed at the end or, after a crash, by the next process that makes one.

    Raises:
        WrongUsage: No folder can be made.
    """
    home = Path(tempfile.gettempdir()) / f"millpond-{os.getuid()}"
    try:
        _make(home)
        with _locked(home / _OWNER):
            _remove_left(home)
            folder = Path(tempfile.mkdtemp(prefix="spool-", dir=home))
            lock = (folder / _OWNER).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        hint = "name a folder with --spool, or another TMPDIR"
        raise WrongUsage(f"cannot make a folder below {home}: {error.strerror}", hint=hint) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _make(home: Path) -> None:
    """Raises `WrongUsage` where somebody else has made a folder of this name, who could read what is put into it."""
    home.mkdir(mode=0o700, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise WrongUsage(f"{home} is open to other users, or theirs", hint="name a folder with --spool")


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _remove_left(home: Path) -> None:
    """Workers of a process that was killed end a moment later, so theirs are looked at as well."""
    for folder in home.glob("spool-*"):
        locks = [folder / _OWNER, *(path for pattern in _SPOOLS for path in folder.glob(pattern))]
        if not any(map(_is_held, locks)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_held(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
