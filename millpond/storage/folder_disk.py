"""Durable steps on a local disk: what they return from is there after a power cut. A rename is durable once its folder
is synced, so every step that makes a name ends with that.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

ABANDONED_AFTER_S = 86_400
_CLOCK_STEP_NS = 1_000  # some file systems keep times to 100 ns


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among all threads and processes that lock this folder. The lock goes when its holder dies."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def written(folder: Path, chunks: Iterator[bytes]) -> Iterator[Path]:
    """A file of its own in `folder` with this content, safe on disk. It is gone afterwards unless it was renamed."""
    path = folder / uuid.uuid4().hex
    try:
        with path.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def replaced(path: Path, content: bytes, spare: Path) -> None:
    """Write a small file whole, in place of what is there. `spare`: a folder of the same file system."""
    with written(spare, iter([content])) as temporary:
        temporary.rename(path)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove what puts that were cut off left behind."""
    oldest = time.time() - ABANDONED_AFTER_S
    for path in folder.iterdir():
        found = file_at(path)
        if found and found.st_mtime < oldest:
            path.unlink(missing_ok=True)


def file_at(path: Path) -> os.stat_result | None:
    """The facts of the file; None if nothing is there or something that is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def stamped(path: Path, newer_than: os.stat_result | None) -> os.stat_result:
    """Give the file a time of its own, later than another's. Kernels stamp in steps of some ms: two contents of one
    length written within one step would look the same."""
    now = time.time_ns()
    if newer_than:
        now = max(now, newer_than.st_mtime_ns + _CLOCK_STEP_NS)
    with path.open("rb") as file:
        os.utime(file.fileno(), ns=(now, now))
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


def chunks_of(body: bytes | BinaryIO, size: int = 1 << 20) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    body.seek(0)
    while chunk := body.read(size):
        yield chunk
