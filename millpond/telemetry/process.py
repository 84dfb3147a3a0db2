"""CPU and memory of the processes that do the work, as the kernel counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.process_collector import ProcessCollector

from millpond.telemetry.metric import Kind, Measure, Metric, Unit

Pids = Callable[[], Iterable[int]]
"""The processes of one command, asked anew each time."""


def _use(sample: str) -> Callable[[Pids, int], Iterator[tuple[tuple[str, ...], float]]]:
    """The sum over the processes. One that has just ended counts for nothing; without /proc there is no value."""

    def values(pids: Pids, _: int) -> Iterator[tuple[tuple[str, ...], float]]:
        found = [value for pid in pids() for value in _samples(pid, sample)]
        if found:
            yield (), sum(found)

    return values


def _samples(pid: int, name: str) -> list[float]:
    families = ProcessCollector(pid=lambda: pid, registry=None).collect()
    return [sample.value for family in families for sample in family.samples if sample.name == name]


_CPU = Metric("process_cpu_seconds_total", "ProcessCpu", Kind.COUNTER, Unit.SECONDS, "CPU time, of workers too")
_MEMORY = Metric("process_resident_memory_bytes", "ProcessMemory", Kind.GAUGE, Unit.BYTES, "Memory, of workers too")

PROCESS: tuple[Measure[Pids], ...] = (Measure(_CPU, _use(_CPU.name)), Measure(_MEMORY, _use(_MEMORY.name)))
"""Under the names that Prometheus' own clients use."""
