"""Whether a running backup is well, told from its status.

Only a loop that hangs is unhealthy, because only that is cured by a new process. Partitions that were stopped or whose
position is not found, topics that are gone, a store that refuses, brokers that are silent are as they are after a
restart, too; and a restart drops windows that were read. They are warnings, and alarms watch them.
"""

from __future__ import annotations

from collections.abc import Iterator

from millpond.backup.status import BackupStatus, PartitionState
from millpond.telemetry.health import Health, Warned

HANGS_AFTER_S = 60
SILENT_AFTER_S = 60
SEARCHES_AFTER_S = 60


def backup_health(status: BackupStatus | None, started_ms: int, now_ms: int) -> Health:
    """The health at `now_ms`. Before the first status, the time since `started_ms` counts as its age."""
    age_s = max(0, now_ms - (status.at_ms if status else started_ms)) / 1000
    warnings = tuple(_warnings(status, now_ms)) if status else ()
    if age_s >= HANGS_AFTER_S:
        return Health(False, f"the loop has said nothing for {age_s:.0f} s: it hangs", warnings)
    if status is None:
        return Health(True, f"started {age_s:.0f} s ago", warnings)
    return Health(True, f"the loop told its status {age_s:.1f} s ago", warnings)


def _warnings(status: BackupStatus, now_ms: int) -> Iterator[Warned]:
    if status.uploads_failing_since_ms is not None:
        yield {"kind": "uploads failing", "seconds": max(0, now_ms - status.uploads_failing_since_ms) / 1000}
    if (silent_s := (now_ms - status.heard_ms) / 1000) > SILENT_AFTER_S:
        yield {"kind": "brokers silent", "seconds": silent_s}
    for one in status.partitions:
        place: Warned = {"topic": one.topic, "partition": one.partition}
        searched_s = one.state_age_s(now_ms)
        if one.state is PartitionState.STOPPED:
            yield {"kind": "partition stopped", **place, "reason": one.reason}
        elif one.state is PartitionState.LOST:
            yield {"kind": "partition lost", **place, "seconds": searched_s}
        elif one.state is PartitionState.FINDING and searched_s > SEARCHES_AFTER_S:
            yield {"kind": "position not found", **place, "seconds": searched_s}
    for topic in status.gone:
        yield {"kind": f"topic {topic.why}", "topic": topic.topic, "seconds": (now_ms - topic.since_ms) / 1000}
