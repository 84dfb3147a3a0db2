"""What a verb gives back, and how it is shown: text for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from millpond.archive.documents import Json
from millpond.errors import MillpondError

_LINE_EVERY_S = 10.0
_QUIET_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a verb.

    Attributes:
        document: With stable names, for `--json`.
        text: For people.
        exit_code: See `millpond.errors.EXIT_CODES`.
        written: The verb has written its output itself, as it went.
    """

    document: Json
    text: str
    exit_code: int = 0
    written: bool = False


def show(outcome: Outcome, *, as_json: bool) -> int:
    """Prints the outcome on standard output and returns its exit code."""
    if outcome.written:
        return outcome.exit_code
    sys.stdout.write(json.dumps(outcome.document, indent=1) + "\n" if as_json else outcome.text.rstrip() + "\n")
    return outcome.exit_code


def show_error(error: MillpondError, verb: str, *, as_json: bool) -> int:
    """Prints what went wrong and the hint, and returns the exit code."""
    if as_json:
        document = {"error": str(error.args[0]), "hint": error.hint, "exit_code": error.exit_code}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
    sys.stderr.write(f"millpond {verb}: {error}\n")
    return error.exit_code


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to be told (done, total), shown on standard error: a bar on a terminal, else now and then a line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    def __init__(self, what: str) -> None:
        self._what, self._next = what, time.monotonic() + _QUIET_S

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_EVERY_S
            share = f" ({100 * done / total:.0f} %)" if total else ""
            sys.stderr.write(f"{self._what}: {done} of {total}{share}\n")
            sys.stderr.flush()
