"""A process that stands still is ended by the kernel, so that it does nothing when it goes on.

What a worker gave its client before it was stopped (Ctrl-Z, SIGSTOP, a machine that sleeps) is sent when it goes on,
faster than any check of ours runs. Meanwhile another worker may have written these records, and to Kafka the two are
different producers. A timer that kills the process is therefore put off again and again. SIGKILL, because the client's
threads run on under every other signal, and because it also reaches a process that is stopped.

Linux has such timers. The first process of a container is not killed by its own; there, Batch begins another attempt
only when the one before has ended.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOG = logging.getLogger(__name__)
LIMIT_S = 20
"""Much longer than a busy machine keeps a thread waiting."""
_EVERY_S = 1.0
_CLOCK_BOOTTIME = 7
"""Runs on while the machine sleeps."""


class _Event(ctypes.Structure):
    """`struct sigevent`: which signal. The rest, up to 64 bytes, is for other kinds of notice."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("_", ctypes.c_int * 12),
    )


class _Times(ctypes.Structure):
    """`struct itimerspec`: the interval, none here, and the time that is left."""

    _fields_ = (("interval", ctypes.c_long * 2), ("left", ctypes.c_long * 2))


@contextmanager
def ended_by_a_standstill(limit_s: int = LIMIT_S) -> Iterator[None]:
    """Kills this process if it stands still for so many seconds within the block."""
    if sys.platform != "linux":
        yield
        return
    try:
        timer = _Timer()
    except (OSError, AttributeError) as error:
        _LOG.warning("nothing ends this process if it stands still: %s", error)
        yield
        return
    over = threading.Event()

    def put_off() -> None:
        while not over.wait(_EVERY_S):
            timer.set(limit_s)

    timer.set(limit_s)
    thread = threading.Thread(target=put_off, name="standstill", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        timer.delete()


class _Timer:
    """A POSIX timer (timer_create(2)) that kills this process.

    Raises:
        OSError: The kernel refuses it.
        AttributeError: The C library has it in another library, as glibc before 2.34.
    """

    def __init__(self) -> None:
        self._c = ctypes.CDLL(None, use_errno=True)
        self._id = ctypes.c_void_p()
        event = _Event(signal=signal.SIGKILL)
        self._call("timer_create", ctypes.c_int(_CLOCK_BOOTTIME), ctypes.byref(event), ctypes.byref(self._id))

    def set(self, seconds: int) -> None:
        """So many seconds from now."""
        times = _Times(left=(seconds, 0))
        self._call("timer_settime", self._id, ctypes.c_int(0), ctypes.byref(times), None)

    def delete(self) -> None:
        self._call("timer_delete", self._id)

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._c, name)(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
