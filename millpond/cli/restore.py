"""`millpond restore`: the archive to topics, from the plan to the report."""

from __future__ import annotations

import sys
import time

from millpond.archive.documents import Json
from millpond.cli.outcome import Outcome, progress
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.restore.plan import plan_restore
from millpond.restore.prepare import prepare_restore
from millpond.restore.reconcile import reconcile_restore
from millpond.restore.worker import restore_unit
from millpond.settings.restore import RestoreSettings

Settings = RestoreSettings


def run(settings: RestoreSettings) -> Outcome:
    store, layout = settings.open_archive()
    run_id = settings.run_id or time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    request, cluster = settings.request(), settings.cluster()
    if not settings.dry_run:
        cluster.cluster_id()  # brokers that cannot be reached are told before a plan is written
    plan = plan_restore(store, layout, request, run_id=run_id, now_ms=now_ms(), dry_run=settings.dry_run)
    if settings.dry_run:
        return Outcome(plan, _plan_text(plan) + "\nnothing was written")
    if not plan["lines"]:
        raise MillpondError(
            "there is nothing to restore: the chosen topics hold no records in the archive",
            hint="`millpond info` lists what is there",
        )
    sys.stderr.write(f"restore run {run_id}: --run-id {run_id} goes on with it if it is interrupted\n")
    prepare_restore(store, layout, cluster, run_id=run_id)
    with progress("records restored") as told:
        failed = restore_unit(store, layout, cluster, run_id=run_id, progress=_Sum(told, plan["offsets"]))
    if failed:
        raise failed[0] if len(failed) == 1 else _together(failed, run_id)
    report = reconcile_restore(store, layout, run_id=run_id, now_ms=now_ms())
    return Outcome(report, _report_text(report))


class _Sum:
    """Adds up what workers tell. Offsets are an upper bound of records."""

    def __init__(self, told: object, total: int) -> None:
        self._told, self._done, self._total = told, 0, total

    def __call__(self, count: int) -> None:
        self._done += count
        self._told(self._done, self._total)  # type: ignore[operator]


def _together(failed: list[MillpondError], run_id: str) -> MillpondError:
    reasons = "; ".join(str(error.args[0]) for error in failed[:5])
    together = MillpondError(
        f"{len(failed)} partitions are not restored: {reasons}",
        hint=f"the others are; mend the cause and go on with --run-id {run_id}",
    )
    together.exit_code = max(error.exit_code for error in failed)
    return together


def _plan_text(plan: Json) -> str:
    lines = [f"restore run {plan['run_id']} of archive {plan['archive_id']}"]
    for topic in plan["topics"]:
        lines.append(f"  {topic['topic']} ({topic['topic_id']}) -> {topic['target']}, {topic['partitions']} partitions")
    lines.append(f"  {plan['objects']} objects, {plan['bytes']} bytes, at most {plan['offsets']} records")
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in plan["warnings"])])


def _report_text(report: Json) -> str:
    lines = [f"restored {report['written']} records in run {report['run_id']}; every digest is equal"]
    for part in report["partitions"]:
        name = f"{part['target']}-{part['partition']}"
        lines.append(f"  {name}: {part['written']} records, digest {part['digest_target'][:16]}")
    zero = report["known_deviations"]["timestamp_zero_became_now"]
    if zero:
        lines.append(f"  known deviation: {zero} records with timestamp 0 have the time of writing")
    return "\n".join([*lines, *(f"  warning: {warning}" for warning in report["warnings"])])
