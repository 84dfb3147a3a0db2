"""Several workers of a restore as processes of one command. The parent adds up what they tell and restores nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeAlias

from millpond.archive.keys import Layout
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.restore.writing.standstill import LIMIT_S
from millpond.restore.writing.tally import Progress
from millpond.restore.writing.worker import restore_unit
from millpond.storage.contract import ObjectStore

Ways: TypeAlias = tuple[ObjectStore, Layout, Cluster]
_TELL_EVERY_S, _LOOK_EVERY_S, _END_WITHIN_S = 0.2, 0.2, 30.0


def restore_all(
    open_ways: Callable[[], Ways], *, run_id: str, workers: int, progress: Progress = lambda count: None
) -> list[MillpondError]:
    """Restores all lines of a plan that have no result yet.

    SIGTERM and Ctrl-C end all workers, and go on to the caller; the same run id goes on from there.

    Args:
        open_ways: The archive and the cluster to write to. Called in each process, so it must be picklable: a function
            of a module, or a `functools.partial` of one.
        workers: How many processes; 1 is this one.

    Returns:
        What went wrong, one error for each line that failed, and one for each worker that ended otherwise.
    """
    if workers == 1:
        return restore_unit(*open_ways(), run_id=run_id, progress=progress)
    with _ending_on_sigterm():
        started: list[_Worker] = []
        try:
            for unit in range(workers):
                started.append(_Worker(open_ways, run_id, unit, workers))
            _listen(started, progress)
        finally:
            for worker in started:
                worker.stop()
            for worker in started:
                worker.join()
        return [error for worker in started for error in worker.errors()]


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """SIGTERM is like Ctrl-C within the block: what was begun is ended in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """What is started within the block is born with Ctrl-C blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)


@dataclass(slots=True)
class _Worker:
    """One process, and what it has told.

    Attributes:
        failed: The errors of its lines, once it is done.
    """

    open_ways: Callable[[], Ways]
    run_id: str
    unit: int
    units: int
    pipe: Connection = field(init=False)
    process: SpawnProcess = field(init=False)
    failed: list[MillpondError] | None = None

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        given = self.open_ways, self.run_id, self.unit, self.units, theirs
        self.process = context.Process(target=_work, args=given, name=f"restore {self.unit}")
        # Ctrl-C reaches all processes of a terminal. A child that hears it before it can end in order is ended by us.
        with _without_interrupts():
            self.process.start()
        theirs.close()

    def hear(self, progress: Progress) -> bool:
        """Takes one message; False where the process has ended."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            return False
        if kind == "done":
            self.failed = content
        else:
            progress(content)
        return True

    def stop(self) -> None:
        """Asks a process that still works to end. Twice would kill it."""
        if self.failed is None and self.process.is_alive():
            self.process.terminate()

    def join(self) -> None:
        """Waits for the process to end."""
        self.process.join(_END_WITHIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def errors(self) -> list[MillpondError]:
        """What went wrong."""
        if self.failed is not None:
            return self.failed
        killed = self.process.exitcode == -signal.SIGKILL
        why = f"memory ran out, or it stood still for {LIMIT_S} s" if killed else "its log lines say why"
        hint = f"{why}; the same run id goes on: {self.run_id}"
        return [MillpondError(f"worker {self.unit} ended with {self.process.exitcode}", hint=hint)]


def _listen(workers: list[_Worker], progress: Progress) -> None:
    running = list(workers)
    while running:
        for pipe in wait([worker.pipe for worker in running], _LOOK_EVERY_S):
            worker = next(one for one in running if one.pipe is pipe)
            if not worker.hear(progress):
                running.remove(worker)


# -- in the process of a worker


def _work(open_ways: Callable[[], Ways], run_id: str, unit: int, units: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends us
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    told = _Progress(pipe)
    try:
        failed = restore_unit(*open_ways(), run_id=run_id, unit=unit, units=units, progress=told)
    except MillpondError as error:
        failed = [error]
    told.flush()
    _send(pipe, "done", [_without_cause(error) for error in failed])


def _end_with_parent(pipe: Connection) -> None:
    """The parent says nothing; it ends where the pipe does."""
    with suppress(EOFError, OSError):
        pipe.recv()
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class _Progress:
    """Tells the parent now and then how many records more there are."""

    pipe: Connection
    count: int = 0
    next_at: float = 0

    def __call__(self, count: int) -> None:
        self.count += count
        if time.monotonic() >= self.next_at:
            self.flush()

    def flush(self) -> None:
        if self.count:
            _send(self.pipe, "progress", self.count)
            self.count, self.next_at = 0, time.monotonic() + _TELL_EVERY_S


def _send(pipe: Connection, kind: str, content: Any) -> None:
    with suppress(ConnectionError):  # a parent that is gone ends us by itself
        pipe.send((kind, content))


def _without_cause(error: MillpondError) -> MillpondError:
    """Fit for the way to the parent, whatever it was raised from."""
    told = type(error)(str(error.args[0]), hint=error.hint, object_key=error.object_key)
    told.exit_code = error.exit_code
    return told
