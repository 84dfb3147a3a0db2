"""Numbers and ranges as they are typed on a command line."""

from __future__ import annotations

import re

from millpond.archive.coverage import Span
from millpond.errors import WrongUsage
from millpond.inspect.choice import LAST_OFFSET
from millpond.settings.parts import items

_RANGE = re.compile(r"(?P<first>[0-9]{1,19})(?P<dash>-(?P<last>[0-9]{1,19})?)?")
_NUMBERS = re.compile(r"(?P<first>[0-9]{1,9})(?:-(?P<last>[0-9]{1,9}))?")


def offsets_of(text: str) -> Span | None:
    """`first-last`, `first-` or one offset, both ends inclusive; None for "". `WrongUsage` for anything else."""
    if not text:
        return None
    match = _RANGE.fullmatch(text)
    if match:
        first = int(match["first"])
        last = int(match["last"]) if match["last"] else LAST_OFFSET if match["dash"] else first
        if first <= last <= LAST_OFFSET:
            return Span(first, last)
    raise WrongUsage(
        f"--offsets {text[:60]!r} is no range of offsets", hint="write first-last, first- or one offset, as in 100-199"
    )


def partitions_of(text: str) -> frozenset[int]:
    """Numbers and ranges of numbers: `0,3,8-11`. `WrongUsage` for anything else."""
    matches = [(item, _NUMBERS.fullmatch(item)) for item in items(text)]
    if wrong := [item for item, match in matches if not match or int(match["last"] or match["first"]) >= 1_000_000]:
        raise WrongUsage(f"--partitions has {wrong[0][:60]!r}", hint="write numbers and ranges, as in 0,3,8-11")
    spans = [(int(match["first"]), int(match["last"] or match["first"])) for _, match in matches if match]
    return frozenset(number for first, last in spans for number in range(first, last + 1))
