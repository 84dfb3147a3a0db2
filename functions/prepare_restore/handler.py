"""Makes the target topics of a planned restore, in a safe state."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.restore.targets.prepare import prepare_restore
from millpond.settings.restore import TargetSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    settings = TargetSettings.from_environment()
    store, layout = settings.open_archive()
    prepared = prepare_restore(store, layout, settings.cluster(), run_id=event.run_id)
    return {"run_id": event.run_id, "topics": len(prepared)}
