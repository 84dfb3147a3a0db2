"""The telemetry of one long run: it is shown the run's status again and again, and tells it to whoever asks.

The run's loop calls `observe` about once a second. The HTTP server has threads of its own and so still answers while
the loop hangs. CloudWatch's lines are written by `observe` itself: of a loop that hangs no line comes, and the missing
data is what the alarm sees.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, Self, TextIO

from millpond.clock import now_ms
from millpond.telemetry.emf import EmfLines
from millpond.telemetry.health import Health
from millpond.telemetry.metric import Measure, Reading, S
from millpond.telemetry.process import PROCESS, Pids
from millpond.telemetry.prometheus import PrometheusPage
from millpond.telemetry.server import Flush, Pages, TelemetryServer

_LOG = logging.getLogger(__name__)
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """Where and how a run tells of itself.

    Attributes:
        port: Of the HTTP server; None for no server, 0 for a port that the system chooses.
        address: Where it listens.
        allow_flush: Serve `POST /__/flush` too.
        deployment: The name under which CloudWatch's lines are written to standard output; "" for none.
    """

    port: int | None = None
    address: str = "127.0.0.1"
    allow_flush: bool = False
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Watched(Generic[S]):
    """What is told of a kind of run.

    Attributes:
        measures: Its metrics.
        health: From the last status (None before the first), when the telemetry started, and now, both epoch ms.
    """

    measures: tuple[Measure[S], ...]
    health: Callable[[S | None, int, int], Health]


class Telemetry(Generic[S]):
    """Serves and writes within its block.

    Args:
        flush: Asks the run to put all that it has read into the archive.
        pids: The processes whose CPU and memory are told.
        clock_ms: Epoch ms.

    Raises:
        WrongUsage: On entering; see `TelemetryServer`.
    """

    def __init__(
        self,
        options: TelemetryOptions,
        watched: Watched[S],
        *,
        flush: Flush | None = None,
        pids: Pids = lambda: (os.getpid(),),
        clock_ms: Callable[[], int] = now_ms,
        out: TextIO | None = None,
    ) -> None:
        self._options, self._watched, self._pids, self._clock_ms = options, watched, pids, clock_ms
        self._flush = flush if options.allow_flush else None
        self._out = out or sys.stdout
        self._lines = EmfLines(options.deployment) if options.deployment else None
        self._status: S | None = None
        self._started_ms = self._told_ms = clock_ms()
        self._blocks = ExitStack()
        self._server: TelemetryServer | None = None

    @property
    def port(self) -> int | None:
        """Where the server listens; None where there is none."""
        return self._server.port if self._server else None

    def __enter__(self) -> Self:
        self._started_ms = self._told_ms = self._clock_ms()
        if self._options.port is not None:
            pages = Pages(PrometheusPage(self._read), self._health, self._flush)
            self._server = TelemetryServer(self._options.address, self._options.port, pages)
            self._blocks.enter_context(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server, and tells what was counted since the last line."""
        self._blocks.close()
        self._server = None
        self._tell()

    def observe(self, status: S) -> None:
        """The status of now. Takes no time but once a minute, when it writes a line: one in each minute of the clock,
        so that CloudWatch's sum over a minute is the sum over tasks."""
        self._status = status
        if self._clock_ms() // _MINUTE_MS != self._told_ms // _MINUTE_MS:
            self._tell()

    def _read(self) -> list[Reading]:
        """All metrics as of now, so that ages grow while a loop hangs. Before the first status only the process's."""
        at_ms, status = self._clock_ms(), self._status
        own = [] if status is None else [measure.read(status, at_ms) for measure in self._watched.measures]
        return own + [measure.read(self._pids, at_ms) for measure in PROCESS]

    def _health(self) -> Health:
        return self._watched.health(self._status, self._started_ms, self._clock_ms())

    def _tell(self) -> None:
        if self._lines is None or self._status is None:
            return
        self._told_ms = self._clock_ms()
        try:
            self._out.write(self._lines.line(self._read(), self._told_ms) + "\n")
            self._out.flush()
        except OSError as error:
            # A backup does not end because nobody listens; that the lines are missing is what the alarm sees.
            _LOG.warning("no more metrics for CloudWatch: cannot write to standard output: %s", error.strerror)
            self._lines = None
