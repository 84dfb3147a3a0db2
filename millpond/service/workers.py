"""Several members of the backup's group as processes of one command. The parent looks after them and reads nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from millpond.backup.flush import Flush
from millpond.backup.run import Watchers, run_backup
from millpond.backup.status import BackupStatus, starting, together
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.kafka.places import Place
from millpond.settings.backup import BackupSettings
from millpond.telemetry.logs import start_logging
from millpond.telemetry.signals import call_on_usr1, stop_on_signals

_LOOK_EVERY_S, _OBSERVE_EVERY_S, _END_WITHIN_S = 0.2, 1.0, 30.0


class _Worker:
    """One process and what it has told."""

    def __init__(self, settings: BackupSettings, spool: Path, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(settings, spool, number, theirs))
        self.process.start()
        theirs.close()
        # What hangs before it says anything is to be seen as well.
        self.status = starting(now_ms(), now_ms())
        self.progress = (0, 0)
        self.covered: dict[Place, int] | None = None
        self.failed: MillpondError | None = None
        self.snapshots_failed: Mapping[str, str] = {}
        self.flushed: list[int] = []

    def hear(self) -> bool:
        """Takes one message; False where the process has ended."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, ConnectionError):
            return False
        if kind == "flushed":
            self.flushed.append(content)
        else:
            setattr(self, kind, content)
        return True

    def ask(self, what: str) -> None:
        """Tells the process something. One that has just ended is found out when it is listened to."""
        with suppress(ConnectionError):
            self.pipe.send(what)

    def end(self, *, stopped: bool) -> MillpondError | None:
        """Waits for the process; how it failed, if it did. One that was `stopped` may have been still starting."""
        self.process.join(_END_WITHIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        if self.failed is None and self.covered is None and not (stopped and code == -signal.SIGTERM):
            return MillpondError(f"a worker ended with {code}", hint="its log lines say why; start the backup again")
        return self.failed

    def status_at(self, at_ms: int) -> BackupStatus:
        """What it told last. One that has covered everything is silent because it is done."""
        if self.covered is None:
            return self.status
        return replace(self.status, at_ms=at_ms, heard_ms=at_ms)


class Workers:
    """Starts the processes, passes on signals and flushes, and adds up what they tell."""

    def __init__(
        self,
        settings: BackupSettings,
        spool: Path,
        progress: Callable[[int, int], None],
        snapshots_failed: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> None:
        self._settings, self._spool, self._progress = settings, spool, progress
        self._snapshots_failed = snapshots_failed
        self._workers: list[_Worker] = []
        self._flushes: list[tuple[list[Future[int]], list[_Worker], int]] = []

    def pids(self) -> list[int]:
        """Of this process and the workers."""
        return [os.getpid(), *(w.process.pid for w in self._workers if w.process.pid and w.process.is_alive())]

    def run(self, stop: threading.Event, flush: Flush, observe: Callable[[BackupStatus], None]) -> dict[Place, int]:
        """Until all have ended. One that fails ends the others.

        Raises:
            MillpondError: The first failure.
        """
        count = self._settings.workers
        self._workers = [_Worker(self._settings, self._spool, number) for number in range(count)]
        try:
            self._look_after(stop, flush, observe)
        finally:
            errors = [error for worker in self._workers if (error := worker.end(stopped=stop.is_set()))]
            self._fail_flushes(flush)
        if errors:
            raise errors[0]
        self._snapshots_failed({kind: why for one in self._workers for kind, why in one.snapshots_failed.items()})
        return next((worker.covered for worker in self._workers if worker.covered), {})

    def _look_after(self, stop: threading.Event, flush: Flush, observe: Callable[[BackupStatus], None]) -> None:
        running, next_observe, told = list(self._workers), 0.0, False
        while running:
            if (stop.is_set() or len(running) < self._ended_well(running)) and not told:
                told = True
                for worker in running:
                    worker.ask("stop")
            for pipe in wait([worker.pipe for worker in running], _LOOK_EVERY_S):
                worker = next(one for one in running if one.pipe is pipe)
                if not worker.hear():
                    running.remove(worker)
            self._pass_on(flush, running)
            if (now := time.monotonic()) >= next_observe:
                next_observe = now + _OBSERVE_EVERY_S
                self._observe(observe)

    def _ended_well(self, running: list[_Worker]) -> int:
        """How many should be running still: all that have not ended by having covered everything."""
        return sum(worker in running or worker.covered is None for worker in self._workers)

    def _observe(self, observe: Callable[[BackupStatus], None]) -> None:
        at_ms = now_ms()
        observe(together(worker.status_at(at_ms) for worker in self._workers))
        done, total = (max(numbers) for numbers in zip(*(w.progress for w in self._workers), strict=True))
        if total:
            self._progress(done, total)

    def _pass_on(self, flush: Flush, running: list[_Worker]) -> None:
        """Asks each worker that runs; answers once all have."""
        if (asked := flush.take()) is not None:
            for worker in running:
                worker.ask("flush")
            self._flushes.append((asked, list(running), 0))
        if self._flushes and all(worker.flushed or worker not in running for worker in self._flushes[0][1]):
            futures, workers, _ = self._flushes.pop(0)
            count = sum(worker.flushed.pop(0) for worker in workers if worker.flushed)
            for future in futures:
                future.set_result(count)

    def _fail_flushes(self, flush: Flush) -> None:
        left = flush.take() or []
        for future in [*left, *(future for futures, _, _ in self._flushes for future in futures)]:
            future.set_exception(MillpondError("the backup ended before everything was stored"))
        self._flushes = []


def _work(settings: BackupSettings, spool: Path, number: int, pipe: Connection) -> None:
    """A worker's process. With `once` all of them cover everything, and the first one alone takes the snapshots."""
    stop, flush, lock = stop_on_signals(), Flush(), threading.Lock()
    call_on_usr1(flush.signal)
    start_logging(settings.log_level, settings.log_format)

    def tell(kind: str, content: Any) -> None:
        try:
            with lock:
                pipe.send((kind, content))
        except ConnectionError:  # the parent is gone
            stop.set()

    threading.Thread(target=_listen, args=(pipe, stop, flush, tell), daemon=True).start()
    watchers = Watchers(
        progress=lambda done, total: tell("progress", (done, total)),
        observe=lambda status: tell("status", status),
        flush=flush,
        snapshots_failed=lambda why: tell("snapshots_failed", why),
    )
    try:
        store, layout = settings.open_archive()
        options = settings.options(spool / str(number), share=settings.workers)
        if settings.once and number:
            options = replace(options, snapshot_every_s=0)
        tell("covered", run_backup(store, layout, settings.cluster(), options, stop, watchers))
    except MillpondError as error:
        tell("failed", _without_cause(error))


def _listen(pipe: Connection, stop: threading.Event, flush: Flush, tell: Callable[[str, Any], None]) -> None:
    """What the parent asks for. A parent that is gone ends the worker."""
    try:
        while pipe.recv() == "flush":
            flush.ask().add_done_callback(lambda done: None if done.exception() else tell("flushed", done.result()))
        # Not by a signal: whoever ends the whole family sends one to us as well, and the second one ends at once.
        stop.set()
    except (EOFError, ConnectionError):
        stop.set()


def _without_cause(error: MillpondError) -> MillpondError:
    """Fit for the way to the parent: its kind, text, hint and exit code."""
    told = MillpondError(str(error.args[0]), hint=error.hint)
    told.exit_code = error.exit_code
    return told
