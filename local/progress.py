"""How long work on this machine shows on stderr: a bar on a terminal, plain lines elsewhere (CI logs)."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done before it is done, and how long it took afterwards."""
    say(f"{title} ...")
    began = time.monotonic()
    yield
    say(f"{title}: done in {time.monotonic() - began:.1f} s")


@contextlib.contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield what to call after each of `total` things."""
    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(title, total) as advance:
            yield advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def _lines(title: str, total: int) -> Iterator[Callable[[], None]]:
    done = 0
    every = max(1, total // 4)

    def advance() -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == total:
            say(f"{title}: {done} of {total} fetched")

    say(f"{title}: fetching {total}")
    yield advance
