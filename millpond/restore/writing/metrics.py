"""The metrics of a restore's worker: the one definition from which CloudWatch and Prometheus are told."""

from __future__ import annotations

from collections.abc import Callable

from millpond.restore.writing.tally import UnitStatus
from millpond.telemetry.health import Health
from millpond.telemetry.metric import Kind, Measure, Metric, Unit, Values
from millpond.telemetry.observer import Watched

PREFIX = "millpond_restore_"


def _counter(
    name: str, cloudwatch: str, unit: Unit, told: str, value: Callable[[UnitStatus], int]
) -> Measure[UnitStatus]:
    """CloudWatch adds the workers up; beside the metric each line names its worker."""

    def values(status: UnitStatus, _: int) -> Values:
        return [((str(status.unit),), value(status))]

    return Measure(Metric(PREFIX + name, cloudwatch, Kind.COUNTER, unit, told, labels=("unit",)), values)


METRICS: tuple[Measure[UnitStatus], ...] = (
    _counter("records_total", "RestoredRecords", Unit.COUNT, "Records that are in the target", lambda s: s.records),
    _counter("record_bytes_total", "RestoredBytes", Unit.BYTES, "Bytes of keys, values, headers", lambda s: s.bytes),
    _counter("lines_done_total", "RestoredPartitions", Unit.COUNT, "Partitions that are done", lambda s: s.lines_done),
    _counter("lines_failed_total", "FailedPartitions", Unit.COUNT, "Tries that failed", lambda s: s.lines_failed),
)


def _health(_: UnitStatus | None, __: int, ___: int) -> Health:
    """A worker that hangs is ended by its job's time limit; a new one would do no better at once."""
    return Health(True, "restoring")


RESTORE: Watched[UnitStatus] = Watched(METRICS, _health)
"""For `Telemetry`."""
