"""The coverage report on a schedule: what the archive holds, and what is missing without a reason."""

from __future__ import annotations

from functions.entry import ScheduledEvent, started
from millpond.clock import now_ms
from millpond.settings.parts import ArchiveSettings
from millpond.verify.coverage import report_coverage

SUMS = ("partitions", "objects", "bytes", "unexplained", "missing", "missing_parts", "newest_object_age_s")


@started(ScheduledEvent)
def handler(event: ScheduledEvent) -> dict[str, object]:
    store, layout = ArchiveSettings.from_environment().open_archive()
    report = report_coverage(store, layout, now_ms=now_ms())
    return {name: report[name] for name in SUMS}
