"""Questions to the cluster or the store that must not hold up the consumer's thread: one of a kind at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

from millpond.errors import TryAgain

_LOG = logging.getLogger(__name__)
_PAUSE_S = 2.0

T = TypeVar("T")


class Question(Generic[T]):
    """Asks when told to, one at a time; what does not answer is asked again by the next `ask` after a pause."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._future: Future[T] | None = None
        self._not_before = 0.0

    def ask(self, question: Callable[[], T], now: float) -> bool:
        """Starts the question unless one is under way or has just failed."""
        if self._future is not None or now < self._not_before:
            return False
        self._future = self._pool.submit(question)
        return True

    def answer(self, now: float) -> T | None:
        """The answer, once; None while there is none. Raises what the question raised, `TryAgain` aside."""
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        try:
            return future.result()
        except TryAgain as error:
            _LOG.warning("will ask again: %s", error.args[0])
            self._not_before = now + _PAUSE_S
            return None
