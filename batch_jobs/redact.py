"""`python -m batch_jobs.redact`: this array index's share of a planned redaction."""

from __future__ import annotations

import logging
import os
import sys

from batch_jobs.place import unit_of
from millpond.clock import now_ms
from millpond.erasure.run import redact_unit
from millpond.erasure.secret import load_secret
from millpond.errors import MillpondError
from millpond.settings.erase import RedactJobSettings
from millpond.settings.parts import spool_folder
from millpond.telemetry.logs import start_logging

_LOG = logging.getLogger("millpond.batch_jobs.redact")


def main() -> int:
    try:
        settings = RedactJobSettings.from_environment()
        start_logging(settings.log_level, settings.log_format)
        unit = unit_of(os.environ, settings.units)
        store, layout = settings.open_archive()
        secret = load_secret(settings.erasure_secret)
        with spool_folder(settings.spool) as spool:
            failures = redact_unit(
                store,
                layout,
                secret,
                run_id=settings.run_id,
                unit=unit,
                units=settings.units,
                spool=spool,
                now_ms=now_ms,
            )
    except MillpondError as error:
        _LOG.error("%s", error)
        return error.exit_code
    if failures:
        _LOG.error("%d objects were not redacted; the run's failures say why", failures)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
