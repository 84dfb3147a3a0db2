"""`millpond runs show`: how far a run is, and what failed."""

from __future__ import annotations

from collections.abc import Iterator

from millpond.archive.documents import Json
from millpond.archive.runs import REPORT, Run
from millpond.cli.outcome import Outcome
from millpond.inspect.runs import failed_reports, find_run, state_of
from millpond.restore.planning.plan import KIND
from millpond.restore.reporting.progress import progress_of
from millpond.settings.runs import RunsShowSettings
from millpond.verify.happenings import moment

Settings = RunsShowSettings
_STATES = ("done", "failed", "begun", "waiting")


def run(settings: RunsShowSettings) -> Outcome:
    store, layout = settings.open_archive()
    found = find_run(store, layout, settings.run_name, settings.kind)
    state = state_of(found)
    document = {"kind": found.kind, "run_id": found.run_id, **state}
    if found.kind == KIND and state["state"] != "damaged" and state["lines"] is not None:
        document |= _of_restore(found)
    else:
        document["failures"] = _failures(found)
    return Outcome(document, "\n".join(_text(document, all_lines=settings.partitions)))


def _of_restore(found: Run) -> Json:
    report, failed = found.find(REPORT), failed_reports(found)
    last = found.find(failed[-1][1]) if failed and report is None else None
    return {
        "outcome": report["status"] if report is not None else None,
        "exceptions": report.get("exceptions", []) if report is not None else [],
        "last_failure": {"at": failed[-1][0], "reasons": last["reasons"]} if last is not None else None,
        "progress": progress_of(found),
    }


def _failures(found: Run) -> list[Json]:
    """The newest of each line that is not done."""
    done = {number for number, _ in found.results()}
    return [failure for number, failure in dict(found.failures()).items() if number not in done]


def _text(document: Json, *, all_lines: bool) -> Iterator[str]:
    lines = f", {document['done']} of {document['lines']} lines done" if document.get("lines") is not None else ""
    outcome = f": {document['outcome']}" if document.get("outcome") else ""
    yield f"{document['kind']} run {document['run_id']}: {document['state']}{outcome}{lines}"
    for failure in document.get("failures", ()):
        yield f"  line {failure['line']} FAILED at {moment(failure['at'])}: {failure['reason']}"
    for exception in document.get("exceptions", ()):
        yield f"  exception: {exception['text']}"
    if (last := document.get("last_failure")) is not None:
        yield f"  the last try failed at {moment(last['at'])}: {'; '.join(last['reasons'])}"
    if "progress" in document:
        yield from _progress(document["progress"], all_lines=all_lines)


def _progress(progress: Json, *, all_lines: bool) -> Iterator[str]:
    yield f"  {progress['percent']} % of {progress['offsets']} offsets"
    for topic in progress["topics"]:
        counts = ", ".join(
            f"{topic[state]} {state}" for state in ("done", "failed", "begun", "waiting") if topic[state]
        )
        yield f"  {topic['percent']:5} %  {topic['topic']} -> {topic['target']}: {counts or 'nothing to restore'}"
        for line in progress["lines"]:
            if line["target"] == topic["target"] and (all_lines or line["state"] in ("failed", "begun")):
                yield _line(line)


def _line(line: Json) -> str:
    place = line["target"] if line["partition"] is None else f"{line['target']}-{line['partition']}"
    reached = f", source offset {line['last_offset']} reached" if line["last_offset"] is not None else ""
    why = f": {line['failure']['reason']}" if line["failure"] else ""
    return f"    {line['percent']:5} %  {place} {line['state']}{reached}{why}"
