"""Statuses of a backup that is fine, and of one that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from millpond.backup.status import BackupStatus, Counters, PartitionState, PartitionStatus

NOW = 1_700_000_040_000
"""Epoch ms; begins a minute."""

WELL = BackupStatus(at_ms=NOW, started_ms=NOW - 90_000, heard_ms=NOW, stored_ms=NOW - 5_000)

BUSY = replace(
    WELL,
    spool_bytes=1_000,
    spool_limit_bytes=8_000,
    counters=Counters(
        records=10,
        record_bytes=2_000,
        objects=2,
        object_bytes=700,
        upload_seconds=1.5,
        upload_failures=3,
        rebalances=1,
        gaps={"empty": 2, "retention": 1},
        events={"truncated": 1},
        topic_errors={"orders": 4},
    ),
    partitions=(
        PartitionStatus("orders", 0, PartitionState.READING, 7, 5, 10, unstored_since_ms=NOW - 30_000),
        PartitionStatus("orders", 1, PartitionState.STOPPED, 4, 4, 8, reason="not authorised to read"),
        PartitionStatus("prices", 0, PartitionState.READING, 9, 9, 9),
    ),
    snapshots_ms={"groups": NOW - 20_000, "cluster": NOW - 40_000},
)


def status(**changes: Any) -> BackupStatus:
    """`BUSY`, changed."""
    return replace(BUSY, **changes)


def counted(**changes: Any) -> BackupStatus:
    """`BUSY` with counters changed."""
    return replace(BUSY, counters=replace(BUSY.counters, **changes))
