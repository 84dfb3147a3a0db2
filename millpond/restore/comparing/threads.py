"""Partitions side by side: each thread has tools of its own and takes the next partition when it is done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from threading import Event, Lock
from typing import TypeVar

from millpond.archive.documents import Json

T = TypeVar("T")
Task = Callable[[T], Json]


def in_threads(tasks: Sequence[Task[T]], tools: Callable[[], AbstractContextManager[T]], workers: int) -> list[Json]:
    """What the tasks return, in their order. The first error ends all: each thread stops after the task it is at."""
    left: SimpleQueue[int] = SimpleQueue()
    for number in range(len(tasks)):
        left.put(number)
    done: dict[int, Json] = {}
    stop = Event()

    def work() -> None:
        try:
            with tools() as tool:
                while not stop.is_set():
                    number = left.get_nowait()
                    done[number] = tasks[number](tool)
        except Empty:
            return
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max(1, min(workers, len(tasks)))) as pool:
        futures = [pool.submit(work) for _ in range(min(workers, len(tasks)))]
        try:
            for future in futures:
                future.result()
        finally:
            stop.set()
    return [done[number] for number in range(len(tasks))]


class Told:
    """Adds up what threads tell of their progress.

    Args:
        told: Hears how much is done, and of how much that is known of so far.
    """

    def __init__(self, told: Callable[[int, int], None]) -> None:
        self._told, self._total, self._done, self._lock = told, 0, 0, Lock()

    def expect(self, more: int) -> None:
        """So much more is going to be done."""
        self._add(0, more)

    def done(self, more: int) -> None:
        self._add(more, 0)

    def _add(self, done: int, total: int) -> None:
        with self._lock:
            self._done, self._total = self._done + done, self._total + total
            self._told(self._done, self._total)


def silent() -> Told:
    """Tells nobody."""
    return Told(lambda done, total: None)
