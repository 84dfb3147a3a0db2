"""What must not hold up the consumer's thread, nor the end of the process: questions, uploads, snapshots."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Generic, ParamSpec, TypeVar

from millpond.errors import MillpondError, TryAgain

_LOG = logging.getLogger(__name__)
_PAUSE_S = 2.0

T = TypeVar("T")
P = ParamSpec("P")


class Background(Executor):
    """Threads that end with the process, wherever they are then.

    A `ThreadPoolExecutor` holds a process up until its last call has returned. What is done here waits for brokers and
    stores, for minutes where they do not answer, and may be cut off anywhere: it would be in a crash.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: set[Future[Any]] = set()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs it on one of the threads, in the order of the calls."""
        future: Future[T] = Future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)

        def call() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # for whoever waits for the result
                future.set_exception(error)

        self._calls.put(call)
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = False) -> None:
        """Ends the threads that have nothing to do; with `wait`, once all is done."""
        if cancel_futures:
            for future in list(self._waiting):
                future.cancel()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


class Question(Generic[T]):
    """Asks when told to, one at a time; what does not answer is asked again by the next `ask` after a pause.

    Args:
        patient: Whether what is refused is asked again as well; rights come back, too.
    """

    def __init__(self, pool: Executor, *, patient: bool = False) -> None:
        self._pool, self._patient = pool, patient
        self._future: Future[T] | None = None
        self._not_before = 0.0

    @property
    def open(self) -> bool:
        """Whether something was asked whose answer was not taken yet."""
        return self._future is not None

    def ask(self, question: Callable[[], T], now: float) -> bool:
        """Starts the question unless one is under way or has just failed."""
        if self._future is not None or now < self._not_before:
            return False
        self._future = self._pool.submit(question)
        return True

    def answer(self, now: float) -> T | None:
        """The answer, once; None while there is none. Raises what the question raised, unless it is asked again."""
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        try:
            return future.result()
        except MillpondError as error:
            if not (self._patient or isinstance(error, TryAgain)):
                raise
            _LOG.warning("will ask again: %s", error.args[0])
            self._not_before = now + _PAUSE_S
            return None
