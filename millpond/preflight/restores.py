"""The probe of restores that were begun and left their target topics in a safe state."""

from __future__ import annotations

from millpond.archive.keys import Layout
from millpond.errors import MillpondError
from millpond.findings import Finding, named, passed, warned
from millpond.restore.targets.unfinished import unfinished_runs
from millpond.storage.contract import ObjectStore


def restores_finding(store: ObjectStore, layout: Layout) -> Finding:
    """Whether any is not finished; one that is running is not told from one that was given up."""
    try:
        found = unfinished_runs(store, layout)
    except MillpondError as error:
        return warned("restores", str(error.args[0]), error.hint)
    if found:
        told = [f"{run.run_id} ({len(run.topics)} topics)" for run in found]
        return warned(
            "restores",
            f"not finished: {named(told)}; nothing is deleted or compacted in their target topics",
            "go on with --run-id, or millpond restore --finish RUN_ID if all records are there",
        )
    return passed("restores", "none is left unfinished")
