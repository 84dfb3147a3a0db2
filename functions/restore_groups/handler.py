"""Brings consumer groups to the records that they had come to, on the restored topics."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.clock import now_ms
from millpond.restore.groups.step import restore_groups
from millpond.settings.restore import TargetSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    settings = TargetSettings.from_environment()
    store, layout = settings.open_archive()
    restore_groups(store, layout, settings.cluster(), run_id=event.run_id, now_ms=now_ms())
    return {"run_id": event.run_id}
