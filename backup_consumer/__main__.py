"""`python -m backup_consumer`: the same backup as `millpond backup`, with settings from the environment alone."""

from __future__ import annotations

import logging
import sys

from millpond.backup.run import run_backup
from millpond.errors import MillpondError
from millpond.settings.backup import BackupSettings
from millpond.settings.parts import spool_folder
from millpond.telemetry.logs import start_logging
from millpond.telemetry.signals import stop_on_signals

_LOG = logging.getLogger("millpond.backup_consumer")


def main() -> int:
    stop = stop_on_signals()
    try:
        settings = BackupSettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        store, layout = settings.open_archive()
        with spool_folder(settings.spool) as spool:
            run_backup(store, layout, settings.cluster(), settings.options(spool), stop)
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
