"""Ports and child processes. Whatever is started here ends with this process, however this process ends.

Normal exits and exceptions are covered by the context managers and `atexit`; a kill -9 of this process by the kernel
(PR_SET_PDEATHSIG on Linux; elsewhere the children of a process killed so stay).
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import IO, TypeVar

from millpond.errors import TryAgain

HOST = "127.0.0.1"
# Below what Linux and macOS hand out to outgoing connections: a stopped broker must find its port free again.
PORTS = range(15_000, 32_000)
PORTS_OF_A_PROCESS = 500
PR_SET_PDEATHSIG = 1

T = TypeVar("T")

# The kernel's "parent" is the thread that forked: this one lives as long as the process does.
_spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now, and which no other process that asks here is given."""
    _, ports = _own_ports()
    found: list[int] = []
    for port in itertools.islice(ports, PORTS_OF_A_PROCESS - 1):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise TryAgain(f"only {len(found)} of {count} free ports were found on {HOST}", hint="stop other local clusters")


@functools.cache
def _own_ports() -> tuple[socket.socket, Iterator[int]]:
    """A block of ports in turn, and its first port, which this process holds as a sign until it ends.

    A broker opens its ports seconds after it was given them. Without blocks, two test processes would now and then
    find the same one free.
    """
    for first in random.sample(PORTS[::PORTS_OF_A_PROCESS], len(PORTS) // PORTS_OF_A_PROCESS):
        sign = socket.socket()
        try:
            sign.bind((HOST, first))
            sign.listen()
        except OSError:  # somebody else's
            sign.close()
        else:
            return sign, itertools.cycle(range(first + 1, first + PORTS_OF_A_PROCESS))
    raise TryAgain(
        f"all ports of {HOST} from {PORTS[0]} to {PORTS[-1]} are given away", hint="stop other local clusters"
    )


def wait_until(look: Callable[[], T | None], what: str, *, timeout_s: float = 90, pause_s: float = 0.05) -> T:
    """What `look` returns as soon as that is true.

    Raises:
        TryAgain: It was not within `timeout_s`; the last thing seen is named.
    """
    deadline, late = time.monotonic() + timeout_s, False
    while not (seen := look()):
        if late:
            raise TryAgain(f"{what}: not within {timeout_s} s; the last answer was {seen!r}")
        time.sleep(pause_s)
        late = time.monotonic() >= deadline  # before the last look: this process may have slept for long itself
    return seen


class Child:
    """One process, in a session of its own so that its whole family can be ended."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path | int,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> None:
        """Start it. output: a file to append stdout and stderr to, or `subprocess.PIPE`."""
        with contextlib.ExitStack() as files:
            target = files.enter_context(output.open("ab")) if isinstance(output, Path) else output
            self.process = _spawner.submit(_spawn, [str(part) for part in command], target, env, cwd).result()
        _children.difference_update([child for child in _children if not child.running])
        _children.add(self)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """As a container runtime reports it: 128 + the signal's number after a signal; None while running."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def send(self, number: signal.Signals) -> None:
        """To the process and those it started. Nothing happens when it is over."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code; subprocess.TimeoutExpired when it is not over in time."""
        self.process.wait(timeout_s)
        code = self.exit_code
        assert code is not None
        return code

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM, and SIGKILL when that did not end it in time."""
        self.send(signal.SIGTERM)
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.wait()

    def resident_bytes(self) -> int:
        """Memory it holds now (Linux); 0 when it does not run."""
        if not self.running:
            return 0
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


_children: set[Child] = set()


def _spawn(
    command: list[str], output: IO[bytes] | int, env: Mapping[str, str] | None, cwd: str | Path | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=_end_with(os.getpid()) if _libc else None,
    )


def _end_with(parent: int) -> Callable[[], None]:
    def before_exec() -> None:
        assert _libc is not None
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return before_exec


@atexit.register
def kill_all_children() -> None:
    """End every process started here and not yet over."""
    for child in list(_children):
        child.kill()


@contextlib.contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM leave the block as SystemExit, so that context managers inside it clean up. Main thread only."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
