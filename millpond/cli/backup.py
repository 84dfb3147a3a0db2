"""`millpond backup`: topics to the archive, until stopped or, with --once, until all is there."""

from __future__ import annotations

from millpond.backup.run import run_backup
from millpond.cli.outcome import Outcome, progress
from millpond.settings.backup import BackupSettings
from millpond.settings.parts import spool_folder
from millpond.telemetry.signals import stop_on_signals

Settings = BackupSettings


def run(settings: BackupSettings) -> Outcome:
    store, layout = settings.open_archive()
    stop = stop_on_signals()
    with progress("offsets in the archive") as told, spool_folder(settings.spool) as spool:
        covered = run_backup(store, layout, settings.cluster(), settings.options(spool), stop, told)
    ends = [{"topic": topic, "partition": number, "end": end} for (topic, number), end in sorted(covered.items())]
    text = f"{len(ends)} partitions are in the archive up to their ends" if settings.once else "stopped"
    return Outcome({"partitions": ends, "stopped": stop.is_set()}, text)
