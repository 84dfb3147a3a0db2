"""Readings as a page that Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from millpond.telemetry.metric import Kind, Reading


class _Readings(Collector):
    """Asked for values at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> list[CounterMetricFamily]:
        """Nothing, so that registering asks for no values."""
        return []

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        return map(_family, self._read())


class PrometheusPage:
    """The page of `/__/metrics`, over a registry of its own."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Readings(read))

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, in the form that the header `Accept` of the request asks for."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _family(reading: Reading) -> CounterMetricFamily | GaugeMetricFamily:
    metric = reading.metric
    made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = made(metric.name, metric.help, labels=metric.labels)
    for labels, value in reading.values.items():
        family.add_metric(labels, value)
    return family
