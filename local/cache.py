"""The folder that keeps what was fetched or prepared once: jars, the JVM's ahead-of-time cache, the CDK CLI."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """`MILLPOND_CACHE`, or else `millpond` in the user's cache folder; made when missing."""
    chosen = os.environ.get("MILLPOND_CACHE")
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    folder = Path(chosen).expanduser().absolute() if chosen else user_cache / "millpond"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Only one process on this machine is inside, for each name: two test runs must not fetch the same thing."""
    with (cache_folder() / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
