"""Ends a restore: every partition has a result, every digest is equal, the report is written."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.clock import now_ms
from millpond.restore.reconcile import reconcile_restore
from millpond.settings.parts import ArchiveSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    store, layout = ArchiveSettings.from_environment().open_archive()
    report = reconcile_restore(store, layout, run_id=event.run_id, now_ms=now_ms())
    return {
        "run_id": event.run_id,
        "status": report["status"],
        "written": report["written"],
        "report": layout.run("restore", event.run_id, "report.json"),
    }
