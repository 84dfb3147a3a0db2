"""`millpond backup`: topics to the archive, until stopped or, with --once, until all is there."""

from __future__ import annotations

from millpond.cli.outcome import Outcome, progress
from millpond.service.backup import back_up
from millpond.settings.backup import BackupSettings

Settings = BackupSettings


def run(settings: BackupSettings) -> Outcome:
    with progress("offsets in the archive") as told:
        done = back_up(settings, told)
    ends = [{"topic": topic, "partition": number, "end": end} for (topic, number), end in sorted(done.covered.items())]
    document = {"partitions": ends, "stopped": done.stopped, "snapshots_failed": dict(done.snapshots_failed)}
    if not settings.once:
        return Outcome(document, "stopped")
    lines = [f"{len(ends)} partitions are in the archive up to their ends"]
    lines += [f"the snapshot of {kind} failed: {why}" for kind, why in sorted(done.snapshots_failed.items())]
    return Outcome(document, "\n".join(lines))
