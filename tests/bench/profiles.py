"""Where the time goes: `python -m tests.bench.profiles [--records N] [--set A]`, for a backup and a restore."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table

from tests.bench.datasets import SETS
from tests.bench.lineup import LINEUP, Round
from tests.bench.measure import run
from tests.bench.stage import Stage, stage

_PROFILED = "tests.bench.programs.profiled"
_COMMANDS = {program.name: program.command for program in LINEUP}


def profile(where: Stage, how: str, at: Round, name: str) -> dict[str, float]:
    """CPU seconds by thread or by function of one of `millpond`'s own commands."""
    flags = _COMMANDS[name](at)[1:]
    _, seen = run([_PROFILED, how, *flags], where.env)
    return {what: float(seconds) for what, seconds in seen.items()}


def show(title: str, seconds: dict[str, float], records: int, console: Console) -> None:
    table = Table(title=title)
    for column in ("what", "CPU s", "us/record"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, found in seconds.items():
        if found >= 0.005:
            table.add_row(what, f"{found:.2f}", f"{found / records * 1e6:.2f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profiles", description="Where Millpond's time goes.")
    parser.add_argument("--records", type=int, default=400_000, help="of set A; others have their share")
    parser.add_argument("--set", default="A", choices=SETS)
    told, console = parser.parse_args(), Console(highlight=False)
    data = SETS[told.set]
    records = data.records(told.records)
    with stage() as where:
        where.make_topic("bench")
        where.make_bucket("bench")
        fill = ["tests.bench.programs.fill", where.bootstrap, "bench", str(data.value_bytes), str(records)]
        run(fill, where.env)
        for how in ("threads", "functions"):
            for name in ("backup.millpond", "restore.millpond"):
                at = Round(where.bootstrap, "bench", f"restored-{how}", "bench", how)
                show(f"{name} by {how}", profile(where, how, at, name), records, console)


if __name__ == "__main__":
    main()
