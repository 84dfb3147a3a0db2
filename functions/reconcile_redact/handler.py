"""Ends a redaction: the archive is what the results say, and the receipt is written."""

from __future__ import annotations

from functions.entry import RunEvent, started
from millpond.clock import now_ms
from millpond.erasure.run import reconcile_redaction
from millpond.settings.parts import ArchiveSettings


@started(RunEvent)
def handler(event: RunEvent) -> dict[str, object]:
    store, layout = ArchiveSettings.from_environment().open_archive()
    receipt = reconcile_redaction(store, layout, run_id=event.run_id, now_ms=now_ms())
    return {
        "run_id": event.run_id,
        "status": receipt["status"],
        "receipt": layout.receipt(receipt["request_id"]),
    }
