"""`millpond info`: what is in the archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from millpond.archive.documents import Json
from millpond.cli.outcome import Outcome, progress
from millpond.clock import now_ms
from millpond.inspect.heads import Heads
from millpond.inspect.overview import overview_of
from millpond.settings.info import InfoSettings
from millpond.verify.coverage import coverage_of
from millpond.verify.happenings import moment
from millpond.verify.partition_coverage import no_counts

Settings = InfoSettings
_FOUND_A_PROBLEM = 3


def run(settings: InfoSettings) -> Outcome:
    store, layout = settings.open_archive()
    selection = settings.selection()
    with progress("objects seen") as told, ExitStack() as stack:
        count = stack.enter_context(Heads(store)).counts if settings.count else no_counts
        report = coverage_of(store, layout, now_ms=now_ms(), selection=selection, count=count, told=told)
    report |= overview_of(store, layout)
    problem = report["unexplained"] or report["missing"] or report["missing_parts"]
    text = "\n".join(_text(report, partitions=settings.partitions))
    return Outcome(report, text, _FOUND_A_PROBLEM if problem else 0)


def _text(report: Json, *, partitions: bool) -> Iterator[str]:
    age = report["newest_object_age_s"]
    yield f"archive {report['archive_id']} of cluster {report['cluster_id']}"
    if age is None:
        yield "nothing archived yet"
    else:
        records = f"{report['records']} records, " if report["records"] is not None else ""
        yield (
            f"{report['partitions']} partitions, {report['objects']} objects, {report['bytes']} bytes, {records}"
            f"newest object {age} s old"
        )
    for topic in report["topics"]:
        yield from _topic(topic, partitions=partitions)
    yield from _beside(report)


def _topic(topic: Json, *, partitions: bool) -> Iterator[str]:
    gaps = ", ".join(
        f"{found['offsets']} offsets {reason} ({found['markers']} markers)" for reason, found in topic["gaps"].items()
    )
    yield (
        f"{topic['topic']} ({topic['topic_id']}): {topic['partitions']} partitions, {topic['offsets']} offsets,"
        f"{_records(topic)} {moment(topic['oldest_ms'])} to {moment(topic['newest_ms'])}, gaps: {gaps or 'none'}"
    )
    for part in topic["by_partition"] if partitions else ():
        yield _partition(part)
    for hole in topic["unexplained"]:
        yield f"  MISSING without a reason: partition {hole['partition']} offsets {hole['first']} to {hole['last']}"
    if more := topic["unexplained_ranges"] - len(topic["unexplained"]):
        yield f"  MISSING without a reason: {more} more ranges"
    yield from _parts(topic["parts"])
    yield from map(_event, topic["events"])


def _records(topic: Json) -> str:
    if topic["records"] is None:
        return ""
    bound = "" if topic["records_exact"] else "about "
    redacted = f" ({topic['redacted_objects']} objects redacted)" if topic["redacted_objects"] else ""
    return f" {bound}{topic['records']} records{redacted},"


def _partition(part: Json) -> str:
    if part["last"] is None:
        return f"  partition {part['partition']}: nothing that counts"
    gaps = "".join(f", {offsets} {reason}" for reason, offsets in part["gaps"].items())
    records = f", {part['records']} records" if part["records"] is not None else ""
    return (
        f"  partition {part['partition']}: offsets {part['first']} to {part['last']}, {part['offsets']} in windows"
        f"{gaps}{records}, {part['objects']} objects, {part['bytes']} bytes, "
        f"{moment(part['oldest_ms'])} to {moment(part['newest_ms'])}"
    )


def _parts(parts: Json) -> Iterator[str]:
    for key in parts["missing"]:
        yield f"  MISSING part of a window: {key}"
    if more := parts["missing_count"] - len(parts["missing"]):
        yield f"  MISSING parts of windows: {more} more"
    if parts["orphans"]:
        yield f"  {parts['orphans']} parts belong to no window and count for nothing ({parts['orphan_bytes']} bytes)"


def _event(event: Json) -> str:
    facts = ", ".join(
        f"{name} {value}" for name, value in event.items() if name not in ("kind", "at", "stands") and _is_short(value)
    )
    over = " OBJECTS ARE MISSING:" if event["stands"] else ""
    return f"  event{over} {event['kind']} at {moment(event['at'])}{': ' if facts else ''}{facts}"


def _is_short(value: object) -> bool:
    return isinstance(value, int | str) and len(str(value)) <= 80 and str(value).isprintable()


def _beside(report: Json) -> Iterator[str]:
    for name, told in (("cluster_snapshots", "cluster snapshots"), ("group_snapshots", "group snapshots")):
        found = report[name]
        if found["count"]:
            yield f"{found['count']} {told}, newest {moment(found['newest_ms'])}"
    for kind, last in report["runs"].items():
        done = f", {last['done']} of {last['lines']} lines done" if last.get("lines") is not None else ""
        failed = f", {last['failed_tries']} tries failed" if last.get("failed_tries") else ""
        yield f"last {kind} run: {last['run_id']}, {moment(last['started_ms'])}, {last['state']}{done}{failed}"
    if report["redaction_receipts"]:
        yield f"{report['redaction_receipts']} receipts of redactions"
    if report["foreign"]:
        yield f"{report['foreign']} foreign objects are ignored (`millpond ls` names them)"
