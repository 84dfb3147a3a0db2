"""A function of the user's that places records: `module:function`, found in the working directory or on PYTHONPATH.

It is called with a key, as the bytes that it is, and the number of partitions, and returns the number of one. It must
return the same for the same key in every process: `hash` does not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from millpond.errors import WrongUsage

_HINT = "--repartition takes murmur2, or MODULE:FUNCTION in the working directory or on PYTHONPATH"


class Misplaced(ValueError):
    """Why there is no partition for a key. Tells nothing of the key."""


def load_function(by: str, partitions: int) -> Callable[[bytes], int]:
    """The function for so many partitions, which raises `Misplaced` where the user's tells no partition.

    Raises:
        WrongUsage: There is no such function.
    """
    place = _function(by)

    def place_key(key: bytes) -> int:
        try:
            found = place(key, partitions)
        except Exception as failure:  # noqa: BLE001  # it may raise anything, with the key in its words
            raise Misplaced(f"raises {type(failure).__name__}") from None
        if not isinstance(found, int) or isinstance(found, bool):
            raise Misplaced(f"returns {type(found).__name__} and no int")
        if not 0 <= found < partitions:
            raise Misplaced(f"returns no partition between 0 and {partitions - 1}")
        return found

    return place_key


def _function(by: str) -> Callable[[Any, int], Any]:
    module, _, name = by.partition(":")
    # A request may come from afar: it shall not have keys handed to, say, subprocess.call.
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise WrongUsage(f"cannot place records by {by}: it is a part of Python", hint=_HINT)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found = getattr(import_module(module), name)
    except Exception as failure:
        raise WrongUsage(f"cannot load {by}: {type(failure).__name__}: {failure}", hint=_HINT) from failure
    if not callable(found):
        raise WrongUsage(f"cannot place records by {by}: it is no function", hint=_HINT)
    return found  # type: ignore[no-any-return]
