"""What a metric is, apart from how it is shown: Prometheus and CloudWatch are both rendered from one definition.

A `Measure` joins a metric with the way to read it from a subject, such as the status of a backup. No library's global
registry is involved, so one process may watch several subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

S = TypeVar("S")

Labels: TypeAlias = tuple[str, ...]
"""Values of a metric's labels, in its order."""

Values: TypeAlias = Iterable[tuple[Labels, float]]


class Kind(StrEnum):
    COUNTER = "counter"
    """A sum that only grows while its process lives."""
    GAUGE = "gauge"


class Unit(StrEnum):
    """By CloudWatch's names."""

    COUNT = "Count"
    BYTES = "Bytes"
    SECONDS = "Seconds"


class Combined(StrEnum):
    """How the values of several partitions or tasks become one."""

    SUM = "Sum"
    MAX = "Maximum"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: In Prometheus; a counter's ends with `_total`.
        cloudwatch: In CloudWatch, where it has no label: a dimension of many values is a bill.
        combined: How it loses its labels for CloudWatch, and which statistic shows several tasks together.
        labels: In Prometheus.
    """

    name: str
    cloudwatch: str
    kind: Kind
    unit: Unit
    help: str
    combined: Combined = Combined.SUM
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure(Generic[S]):
    """A metric, and its values as of a subject and a time in epoch ms."""

    metric: Metric
    values: Callable[[S, int], Values]

    def read(self, subject: S, now_ms: int) -> Reading:
        """Values of equal labels become one, the largest: two workers may name a partition while it moves from one to
        the other, and Prometheus refuses a page that has the same series twice."""
        found: dict[Labels, float] = {}
        for labels, value in self.values(subject, now_ms):
            found[labels] = max(value, found.get(labels, value))
        return Reading(self.metric, found)


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric with its values at one time."""

    metric: Metric
    values: Mapping[Labels, float]

    @property
    def one(self) -> float:
        """All values as one; 0 where there is none."""
        if self.metric.combined is Combined.MAX:
            return max(self.values.values(), default=0)
        return sum(self.values.values())
