"""A worker's process is set up so that its memory stays small."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_MANY_THREADS = """
import ctypes, gc, threading
from millpond.restore.writing.memory import keep_small
keep_small()
assert gc.get_threshold()[0] > 10_000
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
together = threading.Barrier(12)
def hold():
    held = libc.malloc(10_000)
    together.wait()
    libc.free(held)
threads = [threading.Thread(target=hold) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a heap for each thread")
def test_threads_that_hold_memory_at_once_share_two_heaps() -> None:
    done = subprocess.run([sys.executable, "-c", _MANY_THREADS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert 1 <= done.stderr.count("Arena ") <= 2, done.stderr
