"""The probe of the spool folder's disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from millpond.findings import Finding, failed, passed, warned

WINDOWS_PER_PARTITION = 3
"""One is filled while at most two wait for the store."""


def spool_finding(spool: Path, *, partitions: int, max_bytes: int) -> Finding:
    """Whether windows have room. The folder need not be there yet; then the nearest one above it is looked at.

    Args:
        partitions: How many a backup would read at once, at most.
    """
    there = next(folder for folder in (spool, *spool.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return failed("spool", f"{there} is no folder that this user may write", "check --spool")
    free = shutil.disk_usage(there).free
    one, all_of_them = WINDOWS_PER_PARTITION * max_bytes, WINDOWS_PER_PARTITION * max_bytes * max(1, partitions)
    told = f"{free >> 20} MiB are free for the spool"
    if free < one:
        return failed("spool", f"{told}, one partition may need {one >> 20} MiB", "free space, or lower --max-bytes")
    if free < all_of_them:
        return warned(
            "spool",
            f"{told}, {partitions} busy partitions may need {all_of_them >> 20} MiB",
            "give it a larger disk, or lower --max-bytes or --max-age",
        )
    return passed("spool", told)
