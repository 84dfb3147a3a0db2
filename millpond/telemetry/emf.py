"""Readings as lines of CloudWatch's embedded metric format: CloudWatch Logs makes metrics of them, without any call.

The format is one JSON object on one line (CloudWatch user guide, "Specification: Embedded metric format"). The writer
of aws-lambda-powertools is made for functions: it takes names from the function's environment and keeps what it is
told until it is flushed; the tests compare with it instead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from millpond.telemetry.metric import Kind, Labels, Reading

NAMESPACE, DIMENSION = "Millpond", "Deployment"

_LABELS_SHOWN = 20


class EmfLines:
    """Makes one line at a time. Gauges are told as they are, counters as what was added since the line before.

    Args:
        deployment: The value of the one dimension, at most 1024 characters.
    """

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._told: dict[str, Mapping[Labels, float]] = {}

    def line(self, readings: Iterable[Reading], at_ms: int) -> str:
        """The next line, without its end. A counter's labels (reasons, kinds, topics) stand beside the metrics as plain
        members, to be found by a query of the logs: they are no dimensions, because each value would cost."""
        since = [self._since_last(reading) for reading in readings]
        shown = [reading for reading in since if reading.values or reading.metric.labels]
        metrics = [{"Name": reading.metric.cloudwatch, "Unit": reading.metric.unit.value} for reading in shown]
        directive = {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics}
        document: dict[str, Any] = {
            "_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]},
            DIMENSION: self._deployment,
            **{reading.metric.cloudwatch: _number(reading.one) for reading in shown},
            **{_title(reading): _largest(reading) for reading in shown if _tells(reading)},
        }
        return json.dumps(document, separators=(",", ":"))

    def _since_last(self, reading: Reading) -> Reading:
        if reading.metric.kind is Kind.GAUGE:
            return reading
        before = self._told.get(reading.metric.name, {})
        self._told[reading.metric.name] = reading.values
        return Reading(
            reading.metric, {labels: _added(value, before.get(labels, 0)) for labels, value in reading.values.items()}
        )


def _added(now: float, before: float) -> float:
    """A counter that fell began anew: a worker was replaced."""
    return now - before if now >= before else now


def _number(value: float) -> float:
    return int(value) if math.isfinite(value) and value == int(value) else round(value, 3)


def _title(reading: Reading) -> str:
    """Such as `GapsByReason`."""
    return f"{reading.metric.cloudwatch}By{''.join(label.title() for label in reading.metric.labels)}"


def _tells(reading: Reading) -> bool:
    return reading.metric.kind is Kind.COUNTER and bool(reading.metric.labels) and reading.one > 0


def _largest(reading: Reading) -> dict[str, float]:
    """The largest few: a line may have 256 KB."""
    ordered = sorted(reading.values.items(), key=lambda item: -item[1])[:_LABELS_SHOWN]
    return {" ".join(labels): _number(value) for labels, value in ordered if value > 0}
