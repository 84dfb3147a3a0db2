"""What a running backup counts, and the status that is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from millpond.backup.status import BackupStatus, Counters, PartitionState, PartitionStatus
from millpond.clock import now_ms
from millpond.kafka.places import Place

if TYPE_CHECKING:
    from millpond.backup.assignment import Stopped
    from millpond.backup.findings import Findings
    from millpond.backup.partition import PartitionBackup
    from millpond.backup.standing import Standing
    from millpond.backup.upload import Stored, Uploads
    from millpond.backup.window import OpenBlocks

EndOf = Callable[[Place], int]
"""The high watermark of a place as the client last saw it, -1 where it does not know."""


class Tally:
    """Sums since the start, and the moments of a few things."""

    def __init__(self, findings: Findings, blocks: OpenBlocks, uploads: Uploads, standing: Standing) -> None:
        self._findings, self._blocks, self._uploads, self._standing = findings, blocks, uploads, standing
        self._started_ms = now_ms()
        self._objects, self._object_bytes, self._upload_seconds = 0, 0, 0.0
        self._gaps: Counter[str] = Counter()
        self._topic_errors: Counter[str] = Counter()
        self._behind_since: dict[Place, int] = {}

    def stored(self, item: Stored) -> None:
        self._objects += 1
        self._object_bytes += item.size_bytes
        self._upload_seconds += item.took_s
        if item.reason:
            self._gaps[item.reason] += 1

    def topic_error(self, topic: str) -> None:
        self._topic_errors[topic] += 1

    def _counters(self, rebalances: int) -> Counters:
        return Counters(
            records=self._blocks.records,
            record_bytes=self._blocks.encoded_bytes,
            objects=self._objects,
            object_bytes=self._object_bytes,
            upload_seconds=self._upload_seconds,
            upload_failures=self._uploads.failures,
            rebalances=rebalances,
            gaps=dict(self._gaps + self._findings.gaps),
            events=dict(self._findings.events),
            topic_errors=dict(self._topic_errors),
        )

    def status(
        self,
        active: Iterable[PartitionBackup],
        paused: set[Place],
        finding: Iterable[Place],
        stopped: dict[Place, Stopped],
        *,
        end_of: EndOf,
        spool: tuple[int, int],
        silent_s: float,
        in_group: bool,
        rebalances: int,
    ) -> BackupStatus:
        """Everything at this moment.

        Args:
            spool: What lies there, and what may.
            silent_s: How long the brokers have said nothing.
            in_group: Whether what is not held is others'.
        """
        at_ms, clocks = now_ms(), self._standing.partitions
        heard_ms = at_ms - int(silent_s * 1000)
        told = [self._of(partition, paused, end_of(partition.place), heard_ms) for partition in active]
        read = {(one.topic, one.partition) for one in told}
        self._behind_since = {place: then for place, then in self._behind_since.items() if place in read}
        told += [clocks.unread(place, PartitionState.FINDING, at_ms) for place in finding]
        told += [
            clocks.unread(place, PartitionState.STOPPED, at_ms, reason=one.reason) for place, one in stopped.items()
        ]
        told += clocks.lost([(one.topic, one.partition) for one in told], in_group, at_ms)
        return BackupStatus(
            at_ms=at_ms,
            started_ms=self._started_ms,
            heard_ms=heard_ms,
            stored_ms=self._uploads.stored_ms,
            uploads_failing_since_ms=self._uploads.failing_since_ms,
            spool_bytes=spool[0],
            spool_limit_bytes=spool[1],
            counters=self._counters(rebalances),
            partitions=tuple(told),
            gone=self._standing.topics.told(at_ms),
        )

    def _of(self, partition: PartitionBackup, paused: set[Place], end: int, heard_ms: int) -> PartitionStatus:
        place = partition.place
        since = partition.unstored_since_ms
        if end <= partition.position:
            self._behind_since.pop(place, None)
        elif since is None:
            since = self._behind_since.setdefault(place, heard_ms)
        self._standing.partitions.read(place, since, heard_ms)
        state = PartitionState.PAUSED if place in paused else PartitionState.READING
        return PartitionStatus(*place, state, partition.position, partition.stored, end, since)
