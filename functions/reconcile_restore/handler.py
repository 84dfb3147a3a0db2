"""What is proven of the records of a restore: every line has a result, and every digest is equal."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.clock import now_ms
from millpond.restore.reporting.reconcile import reconcile_restore
from millpond.settings.parts import ArchiveSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    store, layout = ArchiveSettings.from_environment().open_archive()
    proven = reconcile_restore(store, layout, run_id=event.run_id, now_ms=now_ms())
    return {"run_id": event.run_id, "status": proven["status"], "written": proven["written"]}
