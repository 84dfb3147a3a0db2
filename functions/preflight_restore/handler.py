"""Asks the target cluster whether a planned restore can succeed there, before anything is made."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.restore.targets.preflight import preflight_restore
from millpond.settings.restore import TargetSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    settings = TargetSettings.from_environment()
    store, layout = settings.open_archive()
    findings = preflight_restore(store, layout, settings.cluster(), run_id=event.run_id)
    return {"run_id": event.run_id, "findings": len(findings)}
