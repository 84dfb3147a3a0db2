"""Reads restored records once more, and holds them against the archive."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.clock import now_ms
from millpond.restore.comparing.compare import compare_restore
from millpond.settings.restore import TargetSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    settings = TargetSettings.from_environment()
    store, layout = settings.open_archive()
    compare_restore(store, layout, settings.cluster(), run_id=event.run_id, now_ms=now_ms())
    return {"run_id": event.run_id}
