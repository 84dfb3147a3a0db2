"""`python -m tests.bench [--records N] [--sets A,B,C] [--rounds N] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from tests.bench.datasets import SETS
from tests.bench.report import document, proof_share, table, targets, targets_table
from tests.bench.rounds import play
from tests.bench.stage import stage


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Millpond beside simpler programs")
    parser.add_argument("--records", type=int, default=200_000, help="records of set A (default %(default)s)")
    parser.add_argument("--sets", default="A,B,C", help="which of A (1 KiB), B (100 B) and C (10 KiB)")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each program; the median counts")
    parser.add_argument("--quick", action="store_true", help="20,000 records, only to see that everything runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser.parse_args()


def main() -> None:
    told, console = arguments(), Console(stderr=True, highlight=False)
    records = 20_000 if told.quick else told.records
    with stage() as where:
        start, sets = play(where, [SETS[name] for name in told.sets.split(",")], records, told.rounds, console)
    shown = Console(highlight=False, width=None if console.is_terminal else 140)
    shown.print(table(start, sets))
    for measured in sets:
        shown.print(f"{measured.data.name}: the proof is {100 * proof_share(start, measured):.0f} % of a restore's CPU")
    shown.print(targets_table(targets(start, sets)))
    shown.print("Two figures of one run may be compared; figures of two runs may not.")
    if told.json:
        told.json.write_text(json.dumps(document(start, sets, told.rounds), indent=1) + "\n")


if __name__ == "__main__":
    main()
