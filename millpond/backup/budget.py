"""What a backup may hold in memory and on its disk, and what gives way when it holds more."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Collection
from pathlib import Path

from millpond.backup.partition import PartitionBackup
from millpond.backup.window import OpenBlocks

_FLUSH_AT, _PAUSE_AT = 0.75, 0.9
_SHARE_OF_FREE = 0.8


def cut_largest_blocks(partitions: Collection[PartitionBackup], blocks: OpenBlocks, limit_bytes: int) -> None:
    """Hands the largest open blocks to the writer until a quarter of the limit is free again."""
    windows = sorted((p.window for p in partitions if p.window), key=lambda window: window.open_bytes)
    while windows and blocks.size_bytes > limit_bytes * 3 // 4:
        windows.pop().cut_block()


def close_largest_windows(active: Collection[PartitionBackup], used_bytes: int, limit_bytes: int, now: float) -> bool:
    """Closes the largest open windows when the spool fills up; returns whether reading must wait until it empties."""
    if used_bytes >= _FLUSH_AT * limit_bytes:
        waiting = sum(closed.window.stored_bytes for p in active for closed in p.closed if closed.window)
        open_ones = sorted((p for p in active if p.window), key=lambda p: p.window.stored_bytes)  # type: ignore[union-attr]
        while open_ones and waiting < used_bytes - limit_bytes // 2:
            largest = open_ones.pop()
            waiting += largest.window.stored_bytes if largest.window else 0
            largest.close(now)
    return used_bytes >= _PAUSE_AT * limit_bytes


def spool_limit(folder: Path, wanted_bytes: int) -> int:
    """The limit that was asked for, or most of what is free on the disk."""
    return wanted_bytes or int(shutil.disk_usage(folder).free * _SHARE_OF_FREE)


def allow_many_files() -> None:
    """Each open window has its file open: raises this process's limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
