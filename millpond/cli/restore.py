"""`millpond restore`: the archive to topics, from the plan to the report."""

from __future__ import annotations

import sys
import time
from functools import partial

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cli.outcome import Outcome, progress
from millpond.clock import now_ms
from millpond.errors import WrongUsage
from millpond.findings import Finding, State
from millpond.kafka.admin import Cluster
from millpond.restore.planning.plan import make_plan, plan_restore
from millpond.restore.repartition.placing import MURMUR2
from millpond.restore.repartition.user_function import load_function
from millpond.restore.reporting.report import FAILED
from millpond.restore.request import RestoreRequest
from millpond.restore.run import finish_and_report, run_restore
from millpond.restore.targets.preflight import preflight_plan
from millpond.restore.writing.memory import keep_small
from millpond.restore.writing.processes import restore_all
from millpond.settings.restore import RestoreSettings
from millpond.storage.contract import ObjectStore
from millpond.telemetry.logs import start_logging

Settings = RestoreSettings


def run(settings: RestoreSettings) -> Outcome:
    store, layout, cluster = _ways(settings)
    if settings.finish:
        return _finish(settings, store, layout, cluster)
    if settings.dry_run:
        return _dry_run(settings, store, layout, cluster)
    run_id, request = _run_id(settings), _request(settings)
    cluster.cluster_id()  # brokers that cannot be reached are told before a plan is written
    plan = plan_restore(store, layout, request, run_id=run_id, now_ms=now_ms(), refuse_nothing=True)
    sys.stderr.write(f"restore run {run_id}: --run-id {run_id} goes on with it if it is interrupted\n")
    with progress("records restored") as told:
        added = _Sum(told, plan["offsets"])
        work = partial(
            restore_all, partial(_ways_of_worker, settings), run_id=run_id, workers=settings.workers, progress=added
        )
        report = run_restore(store, layout, cluster, run_id=run_id, work=work)
    return Outcome(report, _report_text(report, layout))


def _finish(settings: RestoreSettings, store: ObjectStore, layout: Layout, cluster: Cluster) -> Outcome:
    """The final settings alone. They do not make a run whole whose other steps are not done: that ends with 1."""
    if settings.dry_run:
        raise WrongUsage("--finish cannot be tried with --dry-run", hint="leave one of the two out")
    report = finish_and_report(store, layout, cluster, run_id=settings.finish)
    return Outcome(report, _report_text(report, layout), 1 if report["status"] == FAILED else 0)


def _ways(settings: RestoreSettings) -> tuple[ObjectStore, Layout, Cluster]:
    keep_small()
    return *settings.open_archive(), settings.cluster()


def _ways_of_worker(settings: RestoreSettings) -> tuple[ObjectStore, Layout, Cluster]:
    """In a process of its own, which has no log yet."""
    start_logging(settings.log_level, settings.log_format)
    return _ways(settings)


def _request(settings: RestoreSettings) -> RestoreRequest:
    """A function of the user's that is not there is told before anything is made."""
    request = settings.request()
    if request.repartition and request.repartition.by != MURMUR2:
        load_function(request.repartition.by, 1)
    return request


def _run_id(settings: RestoreSettings) -> str:
    return settings.run_id or time.strftime("%Y%m%d-%H%M%S", time.gmtime())


def _dry_run(settings: RestoreSettings, store: ObjectStore, layout: Layout, cluster: Cluster) -> Outcome:
    """The plan, and what speaks against it on the target; 3 where a restore would be refused there."""
    made = make_plan(store, layout, _request(settings), run_id=_run_id(settings), now_ms=now_ms())
    made.refuse_nothing()
    findings = preflight_plan(store, layout, cluster, made.document, made.whole_lines(), now_ms=now_ms())
    document = made.document | {"preflight": [finding.document() for finding in findings]}
    text = "\n".join([_plan_text(made.document), *map(_finding_text, findings), "nothing was written"])
    return Outcome(document, text, 3 if any(finding.state is State.FAILED for finding in findings) else 0)


def _finding_text(finding: Finding) -> str:
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"  {finding.state.value:<8} {finding.probe}: {finding.text}{hint}"


class _Sum:
    """Adds up what workers tell. Offsets are an upper bound of records."""

    def __init__(self, told: object, total: int) -> None:
        self._told, self._done, self._total = told, 0, total

    def __call__(self, count: int) -> None:
        self._done += count
        self._told(self._done, self._total)  # type: ignore[operator]


def _plan_text(plan: Json) -> str:
    lines = [f"restore run {plan['run_id']} of archive {plan['archive_id']}"]
    for topic in plan["topics"]:
        lines.append(f"  {topic['topic']} ({topic['topic_id']}) -> {topic['target']}, {topic['partitions']} partitions")
    lines.append(f"  {plan['objects']} objects, {plan['bytes']} bytes, at most {plan['offsets']} records")
    estimate, units = plan["estimate"], plan["units"]
    lines.append(f"  roughly {estimate['seconds']} s with {units} workers, and {estimate['usd']:.2f} USD")
    lines.append(f"  digest of the plan {plan['digest'][:16]}")
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in plan["warnings"])])


def _report_text(report: Json, layout: Layout) -> str:
    key = layout.run(report["kind"], report["run_id"], "report.html")
    if report["status"] == FAILED:
        return f"run {report['run_id']} is not over: {'; '.join(report['reasons'])}"
    lines = [f"restored {report['written']} records in run {report['run_id']}; every digest is equal"]
    for part in report["partitions"]:
        name = f"{part['target']}-{part['partition']}"
        lines.append(f"  {name}: {part['written']} records, digest {part['digest_target'][:16]}")
    lines += _groups_text(report["groups"] or {})
    lines += [f"  exception: {exception['text']}" for exception in report["exceptions"]]
    lines += [f"  warning: {warning}" for warning in report["warnings"]]
    return "\n".join([*lines, f"  the page to look at: {key}"])


def _groups_text(groups: Json) -> list[str]:
    if not groups.get("asked"):
        return []
    counts = ", ".join(f"{count} {status}" for status, count in groups["offsets"].items() if count)
    return [f"  {len(groups['groups'])} groups: {counts or 'no offsets'}"]
