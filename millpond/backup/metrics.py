"""The metrics of a backup: the one definition from which Prometheus, CloudWatch and the documentation are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from millpond.backup.health import backup_health
from millpond.backup.status import BackupStatus, Counters, Gone, PartitionState, PartitionStatus
from millpond.telemetry.metric import Combined, Kind, Labels, Measure, Metric, Unit, Values
from millpond.telemetry.observer import Watched

PREFIX = "millpond_backup_"
_PARTITION = ("topic", "partition")


def _of_partitions(value: Callable[[PartitionStatus, int], float]) -> Callable[[BackupStatus, int], Values]:
    def values(status: BackupStatus, now_ms: int) -> Values:
        return [((one.topic, str(one.partition)), value(one, now_ms)) for one in status.partitions]

    return values


def _plain(value: Callable[[BackupStatus, int], float]) -> Callable[[BackupStatus, int], Values]:
    return lambda status, now_ms: [((), value(status, now_ms))]


def _since(moment_ms: Callable[[BackupStatus], int | None]) -> Callable[[BackupStatus, int], Values]:
    """Seconds since then, 0 where there is no such moment."""

    def value(status: BackupStatus, now_ms: int) -> float:
        then_ms = moment_ms(status)
        return 0.0 if then_ms is None else max(0, now_ms - then_ms) / 1000

    return _plain(value)


def _gauge(
    name: str,
    cloudwatch: str,
    unit: Unit,
    told: str,
    values: Callable[[BackupStatus, int], Values],
    *,
    combined: Combined = Combined.SUM,
    labels: Labels = (),
) -> Measure[BackupStatus]:
    return Measure(Metric(PREFIX + name, cloudwatch, Kind.GAUGE, unit, told, combined, labels), values)


def _counter(
    name: str, cloudwatch: str, unit: Unit, told: str, value: Callable[[Counters], float]
) -> Measure[BackupStatus]:
    metric = Metric(PREFIX + name, cloudwatch, Kind.COUNTER, unit, told)
    return Measure(metric, _plain(lambda status, _: value(status.counters)))


def _counters(
    name: str, cloudwatch: str, label: str, told: str, values: Callable[[Counters], Mapping[str, int]]
) -> Measure[BackupStatus]:
    metric = Metric(PREFIX + name, cloudwatch, Kind.COUNTER, Unit.COUNT, told, labels=(label,))
    return Measure(metric, lambda status, _: [((one,), count) for one, count in values(status.counters).items()])


def _longest_search_s(status: BackupStatus, now_ms: int) -> float:
    return max((one.state_age_s(now_ms) for one in status.partitions if one.state is PartitionState.FINDING), default=0)


METRICS: tuple[Measure[BackupStatus], ...] = (
    _gauge(
        "lag_offsets",
        "Lag",
        Unit.COUNT,
        "Offsets that are in Kafka and not read yet",
        _of_partitions(lambda one, _: one.lag),
        labels=_PARTITION,
    ),
    _gauge(
        "recovery_point_age_seconds",
        "RecoveryPointAge",
        Unit.SECONDS,
        "How long the oldest record that was read and is not in the archive has waited; 0 if none waits; "
        "of a partition that is not read, for how long the archive may have lacked something",
        _of_partitions(lambda one, now_ms: one.unstored_age_s(now_ms)),
        combined=Combined.MAX,
        labels=_PARTITION,
    ),
    _gauge(
        "partition_stopped",
        "StoppedPartitions",
        Unit.COUNT,
        "1 for a partition that was given up with an error, else 0",
        _of_partitions(lambda one, _: one.state is PartitionState.STOPPED),
        labels=_PARTITION,
    ),
    _gauge(
        "partitions",
        "Partitions",
        Unit.COUNT,
        "Partitions that are held",
        _plain(lambda status, _: sum(one.state is not PartitionState.LOST for one in status.partitions)),
    ),
    _gauge(
        "longest_search_seconds",
        "LongestSearch",
        Unit.SECONDS,
        "For how long the position of a partition has been looked for, of those not found yet; 0 if there is none",
        _plain(lambda status, now_ms: _longest_search_s(status, now_ms)),
        combined=Combined.MAX,
    ),
    _gauge(
        "topics_refused",
        "RefusedTopics",
        Unit.COUNT,
        "Selected topics that were there and that the user may no longer describe",
        _plain(lambda status, _: sum(one.why is Gone.REFUSED for one in status.gone)),
        combined=Combined.MAX,
    ),
    _gauge(
        "topics_deleted",
        "DeletedTopics",
        Unit.COUNT,
        "Selected topics that were deleted within the last day",
        _plain(lambda status, _: sum(one.why is Gone.DELETED for one in status.gone)),
        combined=Combined.MAX,
    ),
    _counter("records_total", "Records", Unit.COUNT, "Records read", lambda c: c.records),
    _counter(
        "record_bytes_total",
        "RecordBytes",
        Unit.BYTES,
        "Bytes of their encoding, uncompressed",
        lambda c: c.record_bytes,
    ),
    _counter("objects_total", "Objects", Unit.COUNT, "Windows and markers stored", lambda c: c.objects),
    _counter("object_bytes_total", "ObjectBytes", Unit.BYTES, "Their bytes in the store", lambda c: c.object_bytes),
    _counter(
        "upload_seconds_total", "UploadTime", Unit.SECONDS, "Time in uploads that succeeded", lambda c: c.upload_seconds
    ),
    _counter(
        "upload_failures_total",
        "UploadFailures",
        Unit.COUNT,
        "Tries of uploads that failed; each is tried again",
        lambda c: c.upload_failures,
    ),
    _gauge(
        "uploads_failing_seconds",
        "UploadsFailing",
        Unit.SECONDS,
        "For how long no upload has succeeded although some were tried; 0 if all is well",
        _since(lambda status: status.uploads_failing_since_ms),
        combined=Combined.MAX,
    ),
    _gauge("spool_bytes", "SpoolBytes", Unit.BYTES, "Bytes on the local disk", _plain(lambda s, _: s.spool_bytes)),
    _gauge(
        "spool_limit_bytes",
        "SpoolLimit",
        Unit.BYTES,
        "Bytes that may be there",
        _plain(lambda s, _: s.spool_limit_bytes),
    ),
    _counters("gaps_total", "Gaps", "reason", "Markers of offsets without records, by reason", lambda c: c.gaps),
    _counters("events_total", "Events", "kind", "Events written to the archive, by kind", lambda c: c.events),
    _counter("rebalances_total", "Rebalances", Unit.COUNT, "Changes of what this member holds", lambda c: c.rebalances),
    _counters("topic_errors_total", "TopicErrors", "topic", "Errors of partitions, by topic", lambda c: c.topic_errors),
    _gauge(
        "stored_age_seconds",
        "StoredAge",
        Unit.SECONDS,
        "Since something was stored; since the start, before the first",
        _since(lambda status: status.stored_ms or status.started_ms),
        combined=Combined.MAX,
    ),
    _gauge(
        "brokers_silent_seconds",
        "BrokersSilent",
        Unit.SECONDS,
        "Since the brokers answered anything",
        _since(lambda status: status.heard_ms),
        combined=Combined.MAX,
    ),
    _gauge(
        "snapshot_age_seconds",
        "SnapshotAge",
        Unit.SECONDS,
        "Since the newest snapshot of this process, by kind; nothing from a process that takes none",
        lambda status, now_ms: [
            ((kind,), max(0, now_ms - at_ms) / 1000) for kind, at_ms in sorted(status.snapshots_ms.items())
        ],
        combined=Combined.MAX,
        labels=("kind",),
    ),
    _gauge(
        "status_age_seconds",
        "StatusAge",
        Unit.SECONDS,
        "Since the loop told its status; more than a few seconds is a loop that hangs",
        _since(lambda status: status.at_ms),
        combined=Combined.MAX,
    ),
)

BACKUP: Watched[BackupStatus] = Watched(METRICS, backup_health)
"""For `Telemetry`."""
