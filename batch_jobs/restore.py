"""`python -m batch_jobs.restore`: this array index's share of a planned and prepared restore."""

from __future__ import annotations

import logging
import os
import sys

from batch_jobs.place import unit_of
from millpond.errors import MillpondError
from millpond.restore.writing.memory import keep_small
from millpond.restore.writing.metrics import RESTORE
from millpond.restore.writing.worker import restore_unit
from millpond.settings.restore import RestoreJobSettings
from millpond.settings.telemetry import TelemetrySettings
from millpond.telemetry.logs import start_logging
from millpond.telemetry.observer import Telemetry

_LOG = logging.getLogger("millpond.batch_jobs.restore")


def main() -> int:
    """Ends with 75 where another try may help, so that Batch makes one."""
    try:
        settings = RestoreJobSettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        failed = _work(settings)
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    return min((error.exit_code for error in failed), key=lambda code: code != 75, default=0)


def _work(settings: RestoreJobSettings) -> list[MillpondError]:
    keep_small()
    unit = unit_of(os.environ, settings.units)
    store, layout = settings.open_archive()
    told = TelemetrySettings.from_environment().telemetry(long_running=False)
    with Telemetry(told, RESTORE) as telemetry:
        return restore_unit(
            store,
            layout,
            settings.cluster(),
            run_id=settings.run_id,
            unit=unit,
            units=settings.units,
            observe=telemetry.observe if told.deployment or told.port is not None else None,
        )


if __name__ == "__main__":
    sys.exit(main())
