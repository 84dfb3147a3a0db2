"""The runs of an archive: what each is, when it began, whether it is over. Names, and one small read for each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import DamagedArchive, WrongUsage
from millpond.storage.contract import ObjectInfo, ObjectStore

_AT_ONCE = 16
_PLAN, _REPORT = "plan.jsonl", "report.json"
_FAILED = re.compile(r"report-(?P<at>[0-9]{13})\.json")


def kinds_of_runs(store: ObjectStore, layout: Layout) -> list[str]:
    """The kinds that have a folder."""
    return _folders(store, layout.under("runs/"))


def runs_of(store: ObjectStore, layout: Layout, kind: str) -> list[Run]:
    """Those with a folder, by name."""
    return [Run(store, layout, kind, run_id) for run_id in _folders(store, layout.run(kind, ""))]


def newest_first(runs: list[Run]) -> list[tuple[int, Run]]:
    """When the plan, or the report where runs have no plan, was written, and the run; those with neither are left
    out."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        started = zip(pool.map(_started_ms, runs), runs, strict=True)
        found = [(at, run) for at, run in started if at is not None]
    return sorted(found, key=lambda pair: (pair[0], pair[1].run_id), reverse=True)


def find_run(store: ObjectStore, layout: Layout, run_id: str, kind: str = "") -> Run:
    """The run of this name; `WrongUsage` where there is none, or several kinds have one."""
    runs = [Run(store, layout, each, run_id) for each in ([kind] if kind else kinds_of_runs(store, layout))]
    found = [run for run in runs if next(iter(store.list(run.key(""))), None) is not None]
    if not found:
        raise WrongUsage(f"the archive has no run {run_id}", hint="`millpond runs list` shows those there are")
    if len(found) > 1:
        kinds = ", ".join(run.kind for run in found)
        raise WrongUsage(f"several runs are named {run_id}: {kinds}", hint="say which with --kind")
    return found[0]


def state_of(run: Run) -> Json:
    """`finished` with a report or receipt; `unfinished` otherwise, with the lines that are done; `damaged` without a
    readable plan."""
    try:
        plan = run.find_plan()
    except DamagedArchive:
        return {"state": "damaged"}
    lines = plan.get("lines") if plan else None
    done = sum(1 for _ in _objects(run.store, run.key("results", "")))
    failures = sum(1 for _ in _objects(run.store, run.key("failures", "")))
    state = "finished" if _is_over(run, plan or {}) else "unfinished"
    return {"state": state, "lines": lines, "done": done, "failed_tries": failures}


def failed_reports(run: Run) -> list[tuple[int, str]]:
    """Epoch ms and name of the reports of tries of a restore that failed, in order."""
    names = (info.key.rsplit("/", 1)[-1] for info in _objects(run.store, run.key("report-")))
    return [(int(match["at"]), match[0]) for match in map(_FAILED.fullmatch, names) if match]


def _is_over(run: Run, plan: Json) -> bool:
    """A redaction ends in the receipt of its request, every other run in a report."""
    if run.store.head(run.key(_REPORT)) is not None:
        return True
    request = plan.get("request")
    request_id = request.get("request_id") if isinstance(request, dict) else None
    return isinstance(request_id, str) and run.store.head(run.layout.receipt(request_id)) is not None


def _started_ms(run: Run) -> int | None:
    head = run.store.head(run.key(_PLAN)) or run.store.head(run.key(_REPORT))
    return head.modified_ms if head else None


def _folders(store: ObjectStore, prefix: str) -> list[str]:
    found = (entry for entry in store.list(prefix, delimiter="/") if isinstance(entry, str))
    return [folder.removeprefix(prefix).removesuffix("/") for folder in found]


def _objects(store: ObjectStore, prefix: str) -> Iterator[ObjectInfo]:
    return (entry for entry in store.list(prefix) if isinstance(entry, ObjectInfo))
