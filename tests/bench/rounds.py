"""Runs the line-up: once on a topic of twelve records, for what a start costs, then on each set, round by round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console

from tests.bench.datasets import PARTITIONS, DataSet
from tests.bench.lineup import LINEUP, Program, Round
from tests.bench.measure import Cost, run
from tests.bench.stage import Stage

START = DataSet("start", 1024, 0)
_TOO_SHORT_S = 0.25


@dataclass(slots=True)
class Measured:
    """All that was measured on one set.

    Attributes:
        source_bytes: Keys, values and headers of all records.
        costs: Of each program, one for each round.
        stored_bytes: Of each program that stores.
    """

    data: DataSet
    records: int
    source_bytes: int
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    stored_bytes: dict[str, int] = field(default_factory=dict)

    def cost(self, name: str) -> Cost:
        """The median of the rounds, figure by figure."""
        costs = self.costs[name]
        return Cost(
            median(cost.wall_s for cost in costs),
            median(cost.cpu_s for cost in costs),
            max(cost.peak_rss_bytes for cost in costs),
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A program on a set, what its start costs taken off; no pace where hardly anything is left then."""

    records_s: float | None
    megabytes_s: float | None
    cpu_us: float


def rate(measured: Measured, start: Measured, name: str) -> Rate:
    """The slope between twelve records and all of them."""
    cost, fixed = measured.cost(name), start.cost(name)
    records = measured.records - start.records
    wall_s, cpu_us = cost.wall_s - fixed.wall_s, max(1e-3, cost.cpu_s - fixed.cpu_s) / records * 1e6
    if wall_s < _TOO_SHORT_S:
        return Rate(None, None, cpu_us)
    return Rate(records / wall_s, measured.source_bytes / wall_s / 1e6, cpu_us)


def play(
    stage: Stage, sets: list[DataSet], of_a: int, rounds: int, console: Console
) -> tuple[Measured, list[Measured]]:
    """What a start costs, and the sets."""
    start = _measure(stage, START, PARTITIONS, rounds, console)
    return start, [_measure(stage, data, data.records(of_a), rounds, console) for data in sets]


def _measure(stage: Stage, data: DataSet, records: int, rounds: int, console: Console) -> Measured:
    topic, bucket = f"bench-{data.name}".lower(), f"bench-{data.name}".lower()
    stage.make_topic(topic)
    stage.make_bucket(bucket)
    console.print(f"set {data.name}: {records} records of {data.value_bytes} B", style="bold")
    fill = ["tests.bench.programs.fill", stage.bootstrap, topic, str(data.value_bytes), str(records)]
    _, told = run(fill, stage.env)
    measured = Measured(data, records, told["source_bytes"])
    for number in range(rounds):
        for program in programs_of(data):
            at = Round(stage.bootstrap, topic, f"{topic}-{program.name}-{number}", bucket, str(number))
            cost = _run(stage, program, at)
            measured.costs.setdefault(program.name, []).append(cost)
            if program.stores:
                measured.stored_bytes[program.name] = stage.stored_bytes(bucket, f"{at.prefix(program.stores)}/")
            console.print(f"  {program.name:24} {cost.wall_s:7.2f} s, CPU {cost.cpu_s:7.2f} s", style="dim")
    stage.empty(bucket)
    stage.delete_topic(topic)
    return measured


def programs_of(data: DataSet) -> Iterator[Program]:
    return (program for program in LINEUP if data is START or data.name in program.only)


def _run(stage: Stage, program: Program, at: Round) -> Cost:
    if program.target == "made":
        stage.make_topic(at.target)
    cost, _ = run(program.command(at), stage.env)
    if program.target:
        stage.delete_topic(at.target)
    return cost
