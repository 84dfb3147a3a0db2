"""A planned restore on one machine: the steps of the state machine, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.restore.comparing.compare import compare_restore
from millpond.restore.groups.step import restore_groups
from millpond.restore.reporting.reconcile import reconcile_restore
from millpond.restore.reporting.report import report_restore
from millpond.restore.targets.finish import finish_restore
from millpond.restore.targets.preflight import preflight_restore
from millpond.restore.targets.prepare import prepare_restore
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_NAMED = 5


def run_restore(
    store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str, work: Callable[[], Sequence[MillpondError]]
) -> Json:
    """Everything behind the plan; the report. May be repeated: it goes on where an earlier try stopped.

    A run that fails has a report of its own, `report-<ms>.json`, and can still end well.

    Args:
        work: Restores the lines of the plan and returns what went wrong, one error for each line that failed.

    Raises:
        MillpondError: A step failed.
    """
    try:
        preflight_restore(store, layout, cluster, run_id=run_id)
        prepare_restore(store, layout, cluster, run_id=run_id)
        _raise_together(work(), run_id)
        reconcile_restore(store, layout, run_id=run_id, now_ms=now_ms())
        compare_restore(store, layout, cluster, run_id=run_id, now_ms=now_ms())
        restore_groups(store, layout, cluster, run_id=run_id, now_ms=now_ms())
        return finish_and_report(store, layout, cluster, run_id=run_id)
    except MillpondError as error:
        _report_failure(store, layout, run_id, str(error.args[0]))
        raise


def finish_and_report(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str) -> Json:
    """The last two steps: final settings of the topics, and the report."""
    finish_restore(store, layout, cluster, run_id=run_id, now_ms=now_ms())
    return report_restore(store, layout, run_id=run_id, now_ms=now_ms())


def _report_failure(store: ObjectStore, layout: Layout, run_id: str, reason: str) -> None:
    """What failed is raised to the caller, whatever becomes of the report."""
    try:
        report_restore(store, layout, run_id=run_id, now_ms=now_ms(), reasons=[reason])
    except MillpondError as error:
        _LOG.error("the report of the failed run cannot be written: %s", error.args[0])


def _raise_together(failed: Sequence[MillpondError], run_id: str) -> None:
    if not failed:
        return
    if len(failed) == 1:
        raise failed[0]
    reasons = "; ".join(str(error.args[0]) for error in failed[:_NAMED])
    together = MillpondError(
        f"{len(failed)} partitions are not restored: {reasons}",
        hint=f"the others are; mend the cause and go on with --run-id {run_id}",
    )
    together.exit_code = max(error.exit_code for error in failed)
    raise together
