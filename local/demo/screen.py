"""What the demo shows while it works: one line a step, with its time, and a moving line where something is awaited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.status import Status
from rich.table import Table

Told = Callable[[str], None]


@dataclass(slots=True)
class Screen:
    """Steps on standard error.

    Attributes:
        seconds: How long each step took.
    """

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[Told]:
        """A step; yields what to tell how far it is. On no terminal that is shown at the end only."""
        began, last = time.monotonic(), ""
        with self.console.status(title) as status:

            def told(text: str) -> None:
                nonlocal last
                last = text
                _show(status, title, text, time.monotonic() - began)

            yield told
        self.seconds[title] = round(time.monotonic() - began, 1)
        detail = f"  ({last})" if last else ""
        self.console.print(f"[green]✓[/green] {self.seconds[title]:6.1f} s  {title}{detail}", soft_wrap=True)

    def note(self, text: str) -> None:
        self.console.print(f"           {text}", soft_wrap=True)


def _show(status: Status, title: str, text: str, seconds: float) -> None:
    status.update(f"{title}: {text}, {seconds:.0f} s")


def table_of(title: str, columns: list[str], rows: list[list[str]]) -> str:
    """A table as text."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=128, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
