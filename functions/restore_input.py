"""The input of an execution of `restore`: a request, or the name of a run to go on with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from millpond.errors import WrongUsage
from millpond.restore.request import RestoreRequest, parse_request

EXAMPLE = '{"topics": ["orders"], "prefix": "restored."}'
_RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an execution is for.

    Attributes:
        run_id: The run to make, or to go on with.
        request: What it is for; None where it goes on with one that was planned before.
    """

    run_id: str
    request: RestoreRequest | None


def read_input(document: Any, execution: str) -> Asked:
    """What the input of this execution asks for; `WrongUsage` says which field is wrong and shows an example."""
    if not isinstance(document, dict):
        raise WrongUsage("the input of a restore is one JSON object", hint=f"an example: {EXAMPLE}")
    if "resume" in document:
        return Asked(_resumed(document), None)
    if not _RUN_ID.fullmatch(execution):
        raise WrongUsage(
            "the name of the execution is the id of the run, and this one cannot be",
            hint="1 to 80 letters, digits, and . _ - ; without a name the console makes one",
        )
    return Asked(execution, parse_request(document))


def _resumed(document: dict[Any, Any]) -> str:
    if others := sorted(str(field) for field in document if field != "resume"):
        raise WrongUsage(
            f"resume goes on with what its run was asked for, and takes no other field: {', '.join(others)}",
            hint='an example: {"resume": "restore-2026-01-31"}',
        )
    run_id = document["resume"]
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise WrongUsage("resume: is no id of a run", hint="runs/restore/ in the archive has a folder for each run")
    return run_id
