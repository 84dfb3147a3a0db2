"""`python -m local.ministack`: MiniStack with our adapter, set up by environment variables (see `local.aws`)."""

from __future__ import annotations

import sys

from local.ministack import batch, ecr, ecs, functions, secrets, stepfunctions
from local.ministack.emulator import app
from local.ministack.settings import Settings
from local.processes import kill_all_children


def main() -> None:
    settings = Settings.from_environment()
    jobs = batch.install(settings)
    stepfunctions.install(jobs)
    functions.install(settings)
    secrets.install()
    ecr.install()
    ecs.install(settings)
    sys.argv = ["ministack"]
    try:
        app.main()
    finally:
        kill_all_children()


if __name__ == "__main__":
    main()
