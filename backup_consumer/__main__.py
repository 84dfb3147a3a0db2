"""`python -m backup_consumer`: the same backup as `millpond backup`, with settings from the environment alone."""

from __future__ import annotations

import logging
import sys

from millpond.errors import MillpondError
from millpond.service.backup import back_up
from millpond.settings.backup import BackupSettings
from millpond.telemetry.logs import start_logging

_LOG = logging.getLogger("millpond.backup_consumer")


def main() -> int:
    try:
        settings = BackupSettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        back_up(settings, lambda done, total: None)
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
