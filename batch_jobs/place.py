"""Which of the workers of an array job this process is."""

from __future__ import annotations

from collections.abc import Mapping

from millpond.errors import WrongUsage


def unit_of(environment: Mapping[str, str], units: int) -> int:
    """The array index that AWS Batch gives; 0 for a job that is no array."""
    text = environment.get("AWS_BATCH_JOB_ARRAY_INDEX", "0")
    if not text.isdigit() or int(text) >= units:
        raise WrongUsage(f"array index {text} is none of {units} units", hint="MILLPOND_UNITS must be the array's size")
    return int(text)
