"""`millpond info`: what is in the archive."""

from __future__ import annotations

from datetime import UTC, datetime

from millpond.archive.documents import Json
from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.settings.info import InfoSettings
from millpond.verify.coverage import coverage_of

Settings = InfoSettings
_FOUND_A_PROBLEM = 3


def run(settings: InfoSettings) -> Outcome:
    store, layout = settings.open_archive()
    report = coverage_of(store, layout, now_ms=now_ms())
    return Outcome(report, _text(report), _FOUND_A_PROBLEM if report["unexplained"] else 0)


def _text(report: Json) -> str:
    age = report["newest_object_age_s"]
    lines = [
        f"archive {report['archive_id']} of cluster {report['cluster_id']}",
        f"{report['partitions']} partitions, {report['objects']} objects, {report['bytes']} bytes, "
        + (f"newest object {age} s old" if age is not None else "no object yet"),
    ]
    for topic in sorted(report["topics"], key=lambda topic: (topic["topic"], topic["topic_id"])):
        gaps = ", ".join(f"{count} {reason}" for reason, count in sorted(topic["gaps"].items())) or "none"
        lines += [
            f"{topic['topic']} ({topic['topic_id']}): {topic['partitions']} partitions, {topic['offsets']} offsets,"
            f" {_time(topic['oldest_ms'])} to {_time(topic['newest_ms'])}, gaps: {gaps}"
        ]
        lines += [
            f"  MISSING without a reason: partition {hole['partition']} offsets {hole['first']} to {hole['last']}"
            for hole in topic["unexplained"]
        ]
    lines += [f"{count} events: {kind}" for kind, count in sorted(report["events"].items())]
    lines += [f"{report['foreign']} foreign objects are ignored"] if report["foreign"] else []
    return "\n".join(lines)


def _time(ms: int | None) -> str:
    if ms is None or not 0 <= ms < 253_402_300_800_000:
        return "no time" if ms is None else f"{ms} ms"
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
