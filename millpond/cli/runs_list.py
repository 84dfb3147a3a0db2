"""`millpond runs list`: the runs of an archive, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cli.outcome import Outcome
from millpond.inspect.runs import kinds_of_runs, newest_first, runs_of, state_of
from millpond.settings.runs import RunsListSettings
from millpond.storage.contract import ObjectStore
from millpond.verify.happenings import moment

Settings = RunsListSettings


def run(settings: RunsListSettings) -> Outcome:
    store, layout = settings.open_archive()
    kinds = [settings.kind] if settings.kind else kinds_of_runs(store, layout)
    found = [entry for kind in kinds for entry in _entries(store, layout, kind, settings.limit)]
    found.sort(key=lambda entry: entry["started_ms"], reverse=True)
    return Outcome({"runs": found}, "\n".join(map(_line, found)) or "no run")


def _entries(store: ObjectStore, layout: Layout, kind: str, limit: int) -> Iterator[Json]:
    for at, found in islice(newest_first(runs_of(store, layout, kind)), limit):
        state = state_of(found)
        lines, done = state.get("lines"), state.get("done", 0)
        percent = round(100 * done / lines, 1) if lines else None
        yield {"kind": kind, "run_id": found.run_id, "started_ms": at, **state, "percent": percent}


def _line(entry: Json) -> str:
    done = f", {entry['done']} of {entry['lines']} lines done" if entry.get("lines") is not None else ""
    failed = f", {entry['failed_tries']} tries failed" if entry.get("failed_tries") else ""
    return f"{moment(entry['started_ms'])}  {entry['kind']}  {entry['run_id']}  {entry['state']}{done}{failed}"
