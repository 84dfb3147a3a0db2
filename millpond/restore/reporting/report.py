"""What a restore came to, as one document and as one page: plan, target, proof, comparison, groups and settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import COMPARED, GROUPS, RECONCILED, REPORT, SETTINGS, Run
from millpond.restore.planning.plan import KIND
from millpond.restore.reporting.exceptions import exceptions_of
from millpond.restore.reporting.page import page_of
from millpond.restore.reporting.reconcile import unrestored
from millpond.storage.contract import AlreadyThere, ObjectStore

DONE, EXCEPTIONS, FAILED = "done", "done-with-exceptions", "failed"
_NAMED = 1000
"""Partitions that a report of a failed run names."""


def report_restore(
    store: ObjectStore, layout: Layout, *, run_id: str, now_ms: int, reasons: Sequence[str] = ()
) -> Json:
    """Writes the report and its page, and returns the report. May be repeated: that of a run that is over stays.

    A run that has failed gets `report-<ms>.json` and `.html` instead, so that a later try of it can still end well.

    Args:
        reasons: Why the run has failed, as far as its documents do not tell. Any makes it a failed one.

    Raises:
        WrongUsage: The run was never planned, and no reason is given.
    """
    run = Run(store, layout, KIND, run_id)
    if (found := run.find(REPORT)) is not None:
        _write_page(run, found, "report.html")
        return found
    told = list(reasons)
    plan = (run.find_plan() if told else run.plan()) or {}
    steps = _Steps.of(run)
    undone = steps.undone(plan.get("request", {}))
    failed = bool(told or undone)
    partitions = list(_unrestored(run, steps)) if failed and plan else []
    document = _document(run_id, plan, steps, now_ms)
    exceptions = list(exceptions_of(document))
    document["exceptions"] = exceptions
    document["status"] = FAILED if failed else EXCEPTIONS if exceptions else DONE
    document["reasons"] = told + ([f"not done: {', '.join(undone)}"] if undone else [])
    document["not_restored"] = {"partitions": len(partitions), "first": partitions[:_NAMED]}
    name = f"report-{now_ms:013d}" if failed else "report"
    written = run.write_once(document, f"{name}.json")
    _write_page(run, written, f"{name}.html")
    return written


@dataclass(frozen=True, slots=True)
class _Steps:
    """What the steps of a run have left, as far as they came."""

    prepared: Mapping[str, Json]
    reconciled: Json | None
    compared: Json | None
    groups: Json | None
    settings: Json | None

    @classmethod
    def of(cls, run: Run) -> _Steps:
        plan = run.find_plan() or {"topics": []}
        names = [topic["target"] for topic in plan["topics"]]
        found = {name: run.find("prepared", f"{name}.json") for name in names}
        prepared = {name: document for name, document in found.items() if document is not None}
        return cls(prepared, *map(run.find, (RECONCILED, COMPARED, GROUPS, SETTINGS)))

    def undone(self, request: Json) -> list[str]:
        """The steps that the request asks for and that have not come to their end."""
        needed = {
            "the proof of the records": self.reconciled,
            "the final settings": self.settings,
            **({"the comparison": self.compared} if request.get("compare", "none") != "none" else {}),
            **({"the consumer groups": self.groups} if request.get("groups") else {}),
        }
        return [name for name, document in needed.items() if document is None]


def _unrestored(run: Run, steps: _Steps) -> Iterable[Json]:
    if steps.reconciled is not None:
        return []
    done = {number for number, _ in run.results()}
    return unrestored(run, ((number, line) for number, line in run.lines(whole=False) if number not in done))


def _document(run_id: str, plan: Json, steps: _Steps, now_ms: int) -> Json:
    proven = steps.reconciled or {}
    return {
        "kind": KIND,
        "run_id": run_id,
        "archive_id": plan.get("archive_id"),
        "source_cluster_id": plan.get("cluster_id"),
        "target_cluster_id": next((document["cluster_id"] for document in steps.prepared.values()), None),
        "times": _times(plan, steps, now_ms),
        "planned": {name: plan.get(name) for name in ("lines", "objects", "offsets", "bytes", "units", "digest")},
        **{name: proven.get(name) for name in ("read", "filtered", "suppressed", "written", "objects")},
        "known_deviations": proven.get("known_deviations", {}),
        "topics": list(_topics(plan, steps)),
        "partitions": proven.get("partitions", []),
        "compared": steps.compared,
        "groups": steps.groups,
        "settings": steps.settings,
        "warnings": plan.get("warnings", []),
        "request": plan.get("request"),
    }


def _times(plan: Json, steps: _Steps, now_ms: int) -> Json:
    """Epoch ms of what is known, and how long it took beside what was estimated, in seconds."""
    proven = steps.reconciled or {}
    planned_at = plan.get("planned_at")
    return {
        "planned_at": planned_at,
        "started_at": proven.get("started_at"),
        "work_finished_at": proven.get("work_finished_at"),
        "reconciled_at": proven.get("reconciled_at"),
        "compared_at": (steps.compared or {}).get("at"),
        "groups_at": (steps.groups or {}).get("at"),
        "settings_at": (steps.settings or {}).get("finished_at"),
        "finished_at": now_ms,
        "seconds": None if planned_at is None else round((now_ms - planned_at) / 1000, 3),
        "estimated_seconds": plan.get("estimate", {}).get("seconds"),
        "worker_seconds": proven.get("worker_seconds"),
    }


def _topics(plan: Json, steps: _Steps) -> Iterator[Json]:
    """Each topic: how far it reaches, what of it was restored, and what was left out."""
    by_target: dict[str, list[Json]] = {}
    for part in (steps.reconciled or {}).get("partitions", []):
        by_target.setdefault(part["target"], []).append(part)
    for topic in plan.get("topics", []):
        prepared, parts = steps.prepared.get(topic["target"], {}), by_target.get(topic["target"], [])
        yield {
            "topic": topic["topic"],
            "topic_id": topic["topic_id"],
            "target": topic["target"],
            "target_topic_id": prepared.get("topic_id"),
            "made": prepared.get("made"),
            "partitions": topic["partitions"],
            "target_partitions": len(prepared["base"]) if prepared else topic.get("target_partitions"),
            "newest_ms": stamp if (stamp := topic.get("newest_ms", -1)) >= 0 else None,
            "bytes": topic.get("bytes"),
            "offsets": topic.get("offsets"),
            "left_out": topic.get("left_out", {}),
            "written": sum(part["written"] for part in parts) if steps.reconciled is not None else None,
        }


def _write_page(run: Run, report: Json, name: str) -> None:
    with suppress(AlreadyThere):
        run.store.put_if_absent(run.key(name), page_of(report).encode())
