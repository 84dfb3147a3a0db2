"""Asking a running backup to put everything that it has read into the archive now."""

from __future__ import annotations

import threading
from concurrent.futures import Future


class Flush:
    """Requests from signals and from HTTP; the consumer's thread takes and answers them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Future[int]] = []
        self._signalled = False

    def ask(self) -> Future[int]:
        """A request. Its result is the number of partitions that were flushed; `MillpondError` if the backup ends
        first. To give up waiting for it is harmless."""
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append(future)
        return future

    def signal(self) -> None:
        """A request that nobody waits for. Takes no lock, so a signal handler may call it at any moment."""
        self._signalled = True

    def take(self) -> list[Future[int]] | None:
        """What was asked for since the last call; None if nothing, an empty list if only a signal."""
        signalled, self._signalled = self._signalled, False
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken if taken or signalled else None
