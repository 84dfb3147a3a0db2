"""The report of a restore, whether it came to its end or not, and what is told of it: counts, never content."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from functions.entry import started
from functions.run_failure import Failure
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import REPORT
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.restore.planning.plan import KIND
from millpond.restore.reporting.report import DONE, EXCEPTIONS, FAILED, report_restore
from millpond.settings.parts import ArchiveSettings
from millpond.storage.contract import ObjectStore

_COUNTS = ("read", "suppressed", "written")


class Event(BaseModel):
    """What the state machine knows of its run.

    Attributes:
        resumes: Whether the run was there before; None before the input was read.
        units: Of the plan; None before there is one.
        failure: The error that ended the run, if any.
        missing: What was found to be missing after that.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    run_id: str
    resumes: bool | None = None
    units: int | None = None
    failure: Failure | None = None
    missing: Failure | None = None

    @property
    def is_a_run(self) -> bool:
        """Whether the archive may have a folder for it: an input that cannot be read, or names no run, makes none."""
        return self.units is not None or self.resumes is False


@started(Event)
def handler(event: Event) -> Json:
    """Without a failure the message to send, else the error for the execution's end, with the message in it."""
    if event.failure is None:
        store, layout = ArchiveSettings.from_environment().open_archive()
        return _done(store, layout, event.run_id)
    reason = event.missing or event.failure
    cause = reason.reason if event.missing is None else f"{reason.reason}\n{event.failure.reason}"
    return {"Error": reason.error, "Cause": cause, "Message": _message_of_failure(event, reason)}


def _done(store: ObjectStore, layout: Layout, run_id: str) -> Json:
    report = report_restore(store, layout, run_id=run_id, now_ms=now_ms())
    if report["status"] not in (DONE, EXCEPTIONS):
        raise MillpondError(
            f"restore run {run_id} has not come to its end: {'; '.join(report['reasons'])}",
            hint=f'go on with {{"resume": "{run_id}"}}',
        )
    told = {"run_id": run_id, "status": report["status"], "partitions": len(report["partitions"])}
    counts = {name: report[name] for name in _COUNTS}
    return told | counts | {"report": layout.run(KIND, run_id, REPORT)}


def _message_of_failure(event: Event, reason: Failure) -> Json:
    message: Json = {"run_id": event.run_id, "status": FAILED, "error": reason.error, "reason": reason.words}
    if not event.is_a_run:
        return message
    store, layout = ArchiveSettings.from_environment().open_archive()
    at = now_ms()
    report = report_restore(
        store, layout, run_id=event.run_id, now_ms=at, reasons=[f"{reason.error}: {reason.words}".rstrip(": ")]
    )
    name = f"report-{at:013d}.json" if report["status"] == FAILED else REPORT
    left = {"not_restored": report["not_restored"]["partitions"]}
    return message | left | {"report": layout.run(KIND, event.run_id, name)}
