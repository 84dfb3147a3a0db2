"""`python -m batch_jobs.restore`: this array index's share of a planned and prepared restore."""

from __future__ import annotations

import logging
import os
import sys

from batch_jobs.place import unit_of
from millpond.errors import MillpondError
from millpond.restore.worker import restore_unit
from millpond.settings.restore import RestoreJobSettings
from millpond.telemetry.logs import start_logging

_LOG = logging.getLogger("millpond.batch_jobs.restore")


def main() -> int:
    """Ends with 75 where another try may help, so that Batch makes one."""
    try:
        settings = RestoreJobSettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        unit = unit_of(os.environ, settings.units)
        store, layout = settings.open_archive()
        failed = restore_unit(
            store, layout, settings.cluster(), run_id=settings.run_id, unit=unit, units=settings.units
        )
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    return min((error.exit_code for error in failed), key=lambda code: code != 75, default=0)


if __name__ == "__main__":
    sys.exit(main())
