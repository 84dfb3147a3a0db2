"""The table, the targets of `docs/performance.md` with what was reached, and the JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import confluent_kafka
from rich.table import Table

from tests.bench.lineup import LINEUP
from tests.bench.rounds import Measured, rate

_PACKAGES = ("confluent-kafka", "fastavro", "boto3", *(["backports.zstd"] if sys.version_info < (3, 14) else []))
Sets = dict[str, Measured]
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Something to reach.

    Attributes:
        most: Whether the bound may not be exceeded; otherwise it may not be missed from below.
    """

    title: str
    data: str
    bound: float
    most: bool
    reached: Callable[[Sets, str], float]
    unit: str = "x"


def _cpu(ours: str, other: str) -> Callable[[Sets, str], float]:
    return lambda sets, data: (
        rate(sets[data], sets["start"], ours).cpu_us / rate(sets[data], sets["start"], other).cpu_us
    )


def _stored(sets: Sets, data: str) -> float:
    return sets[data].stored_bytes["backup.millpond"] / sets[data].source_bytes


def _memory(name: str) -> Callable[[Sets, str], float]:
    return lambda sets, data: sets[data].cost(name).peak_rss_bytes / MIB


def _pace(ours: str, other: str) -> Callable[[Sets, str], float]:
    return lambda sets, data: (
        (rate(sets[data], sets["start"], ours).records_s or 0) / (rate(sets[data], sets["start"], other).records_s or 1)
    )


TARGETS = (
    Target("backup, CPU a record against the yardstick", "A", 1.1, True, _cpu("backup.millpond", "backup.yardstick")),
    Target("backup, the fastavro loop's CPU against ours", "A", 5, False, _cpu("backup.fastavro", "backup.millpond")),
    Target("backup, records/s against the fastavro loop", "A", 5, False, _pace("backup.millpond", "backup.fastavro")),
    Target("backup, CPU a record against the yardstick", "B", 0.8, True, _cpu("backup.millpond", "backup.yardstick")),
    Target("stored bytes of source bytes", "A", 0.37, True, _stored),
    Target("restore, CPU against the yardstick", "A", 1.0, True, _cpu("restore.millpond", "restore.yardstick")),
    Target(
        "restore to zstd, CPU against the yardstick",
        "A",
        1.0,
        True,
        _cpu("restore.millpond.zstd", "restore.yardstick.zstd"),
    ),
    Target("redaction scan, fastavro's CPU against ours", "A", 4, False, _cpu("scan.fastavro", "scan.millpond")),
    Target("memory of the backup", "A", 300, True, _memory("backup.millpond"), "MiB"),
    Target("memory of the restore", "A", 256, True, _memory("restore.millpond"), "MiB"),
    Target("memory of the restore to zstd", "A", 256, True, _memory("restore.millpond.zstd"), "MiB"),
    Target("memory of the backup, large records", "C", 300, True, _memory("backup.millpond"), "MiB"),
    Target("memory of the restore, large records", "C", 256, True, _memory("restore.millpond"), "MiB"),
    Target("memory of the restore to zstd, large records", "C", 256, True, _memory("restore.millpond.zstd"), "MiB"),
)


def table(start: Measured, sets: list[Measured]) -> Table:
    """One section for each set."""
    found = Table(title="what the start costs is taken off all but wall and memory")
    for column in ("program", "records/s", "MB/s", "CPU us/record", "peak MiB", "stored", "wall s", "CPU s of a start"):
        found.add_column(column, justify="left" if column == "program" else "right")
    for measured in sets:
        data = measured.data
        found.add_section()
        found.add_row(f"{data.name}: {measured.records} x {data.value_bytes} B", style="bold")
        for program in LINEUP:
            if program.name in measured.costs:
                found.add_row(f"  {program.name} ({program.title})", *_cells(measured, start, program.name))
    return found


def _cells(measured: Measured, start: Measured, name: str) -> Iterator[str]:
    found, cost = rate(measured, start, name), measured.cost(name)
    wait_s = next(program.wait_s for program in LINEUP if program.name == name)
    stored = measured.stored_bytes.get(name)
    yield f"{found.records_s:,.0f}" if found.records_s else "too short"
    yield f"{found.megabytes_s:,.0f}" if found.megabytes_s else ""
    yield f"{found.cpu_us:.2f}"
    yield f"{cost.peak_rss_bytes / MIB:.0f}"
    yield f"{stored / measured.source_bytes:.3f}" if stored else ""
    yield f"{cost.wall_s:.1f}" + (f" ({cost.wall_s - wait_s:.1f})" if wait_s else "")
    yield f"{start.cost(name).cpu_s:.2f}"


def targets(start: Measured, sets: list[Measured]) -> list[dict[str, Any]]:
    """Each target that these sets can tell."""
    known = {measured.data.name: measured for measured in [start, *sets]}
    found = []
    for target in TARGETS:
        if target.data in known:
            reached = target.reached(known, target.data)
            met = reached <= target.bound if target.most else reached >= target.bound
            found.append(
                {
                    "target": target.title,
                    "set": target.data,
                    "bound": f"{'<=' if target.most else '>='} {target.bound:g} {target.unit}",
                    "reached": round(reached, 3),
                    "met": met,
                }
            )
    return found


def targets_table(found: list[dict[str, Any]]) -> Table:
    shown = Table(title="targets")
    for column in ("target", "set", "bound", "reached", ""):
        shown.add_column(column, justify="right" if column in ("bound", "reached") else "left")
    for item in found:
        reached = f"{item['reached']:.0f}" if "MiB" in item["bound"] else f"{item['reached']:.2f}"
        shown.add_row(item["target"], item["set"], item["bound"], reached, "met" if item["met"] else "missed")
    return shown


def proof_share(start: Measured, measured: Measured) -> float:
    """How much of a restore's CPU is the proof."""
    whole, unproven = (rate(measured, start, name).cpu_us for name in ("restore.millpond", "restore.unproven"))
    return 1 - unproven / whole


def document(start: Measured, sets: list[Measured], rounds: int) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "machine": {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "librdkafka": confluent_kafka.libversion()[0],
            **{name: version(name) for name in _PACKAGES},
        },
        "rounds": rounds,
        "start": {name: asdict(start.cost(name)) for name in start.costs},
        "sets": {measured.data.name: _set(measured, start) for measured in sets},
        "targets": targets(start, sets),
    }


def _set(measured: Measured, start: Measured) -> dict[str, Any]:
    waits = {program.name: program.wait_s for program in LINEUP}
    return {
        "records": measured.records,
        "value_bytes": measured.data.value_bytes,
        "source_bytes": measured.source_bytes,
        "proof_share": round(proof_share(start, measured), 3),
        "programs": {
            name: {
                **asdict(measured.cost(name)),
                "wall_without_wait_s": measured.cost(name).wall_s - waits[name],
                **asdict(rate(measured, start, name)),
                "stored_bytes": measured.stored_bytes.get(name),
                "rounds": [asdict(cost) for cost in measured.costs[name]],
            }
            for name in measured.costs
        },
    }
