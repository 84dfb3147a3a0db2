"""How a worker keeps its memory small, whatever it reads and writes."""

from __future__ import annotations

import ctypes
import gc
import platform

# A block is thousands of objects without cycles. To look for some every 700 objects costs a tenth of all CPU.
_COLLECT_AFTER = 50_000
_M_ARENA_MAX, _ARENAS = -8, 2


def keep_small() -> None:
    """Sets up this process. To be called before its clients are made.

    glibc gives nearly every thread a heap of its own. Records are allocated in one thread and freed in another, so that
    each heap grows as large as the largest moment of it: with zstd that doubles what a worker holds.
    """
    gc.set_threshold(_COLLECT_AFTER)
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
