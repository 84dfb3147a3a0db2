"""`python -m tests.integration.watched_run [AGE_S]`: a run that is watched, with settings of the environment.

Its loop counts a record at each step, answers flushes, and ends at SIGTERM. With AGE_S all that it says is so old, as
if it had hung since then.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace

from millpond.backup.flush import Flush
from millpond.backup.metrics import BACKUP
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.settings.telemetry import TelemetrySettings
from millpond.telemetry.logs import start_logging
from millpond.telemetry.observer import Telemetry
from millpond.telemetry.signals import stop_on_signals
from tests.unit.telemetry.statuses import counted

_LOG = logging.getLogger("millpond")


def main(age_s: int) -> int:
    stop, flush, steps = stop_on_signals(), Flush(), 0
    try:
        settings = TelemetrySettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        with Telemetry(settings.telemetry(), BACKUP, flush=flush.ask) as telemetry:
            while not stop.is_set():
                steps += 1
                telemetry.observe(replace(counted(records=steps), at_ms=now_ms() - age_s * 1000))
                for request in flush.take() or []:
                    request.set_result(3)
                time.sleep(0.02)
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
