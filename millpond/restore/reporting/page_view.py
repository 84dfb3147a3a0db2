"""What the page of a report shows, worked out of the report: the verdict, shares, bars, phases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from millpond.archive.documents import Json

OPEN_UP_TO = 3
"""Topics whose partitions are shown at once; of more, a click shows them."""
BARS = 240
ROWS = 5000
"""Rows of partitions on a page; the document has all."""
GROUPS = 500

_PHASES = {
    "started_at": "waiting and preparing",
    "work_finished_at": "writing and reading back",
    "reconciled_at": "checking every result",
    "compared_at": "comparing once more",
    "groups_at": "consumer groups",
    "settings_at": "final settings",
    "finished_at": "report",
}
"""What comes to its end at which moment."""


def view_of(report: Json) -> Json:
    """Everything that the template needs beside the report itself."""
    by_target: dict[str, list[Json]] = {}
    for part in report["partitions"]:
        by_target.setdefault(part["target"], []).append(part)
    topics = list(_topics(report, by_target))
    return {
        "verdict": _verdict(report),
        "equal": sum(_is_equal(part) for part in report["partitions"]),
        "topics": topics,
        "partitions": sum(topic["target_partitions"] or 0 for topic in report["topics"]),
        "newest_ms": max((topic["newest_ms"] or -1 for topic in report["topics"]), default=-1),
        "left_out": _left_out(report),
        "phases": list(_phases(report)),
        "rate": _rate(report),
        "notes": [warning for warning in report["warnings"] if not warning.startswith("allowed: ")],
        "groups": _groups(report["groups"]),
        "settings": _settings(report["settings"]),
        "asked": {name: told for name, told in (report["request"] or {}).items() if told not in (None, [], {}, False)},
    }


def _verdict(report: Json) -> str:
    written = report["written"]
    if report["status"] == "failed":
        if written is None:
            return "The restore did not come to its end"
        return f"{written:,} records are restored and proven equal, but the restore did not come to its end"
    if not written:
        return "The restore is done; there was no record to restore"
    exceptions = len(report["exceptions"])
    more = f", with {exceptions} exception{'s' if exceptions > 1 else ''}" if exceptions else ""
    return f"{written:,} record{' is' if written == 1 else 's are'} restored and proven equal{more}"


def _is_equal(part: Json) -> bool:
    return bool(part["digest_archive"] == part["digest_target"])


def _topics(report: Json, by_target: dict[str, list[Json]]) -> Iterator[Json]:
    most, rows = max((topic["written"] or 0 for topic in report["topics"]), default=0), ROWS
    lacking = Counter(found["target"] for found in report["not_restored"]["first"])
    for topic in report["topics"]:
        parts = by_target.get(topic["target"], [])
        largest = max((part["written"] for part in parts), default=0)
        shown, rows = parts[:rows], max(0, rows - len(parts))
        yield {
            **topic,
            "share": _share(topic["written"] or 0, most),
            "of_all": _share(topic["written"] or 0, report["written"] or 0),
            "equal": sum(map(_is_equal, parts)),
            "proven": len(parts),
            "lacking": lacking[topic["target"]],
            "bars": _bars(parts[:BARS], largest),
            "parts": [{**part, "share": _share(part["written"], largest)} for part in shown],
            "unshown": len(parts) - len(shown),
            "open": len(report["topics"]) <= OPEN_UP_TO,
        }


def _share(part: float, whole: float) -> float:
    """In percent."""
    return round(100 * part / whole, 2) if whole else 0.0


def _bars(parts: Sequence[Json], largest: int) -> list[Json]:
    """Heights between 0 and 100; what holds any record can be seen."""
    return [
        {
            "height": max(4.0, _share(part["written"], largest)) if part["written"] else 0.0,
            "partition": part["partition"],
            "written": part["written"],
        }
        for part in parts
    ]


def _left_out(report: Json) -> list[tuple[str, int]]:
    found: Counter[str] = Counter()
    for topic in report["topics"]:
        found.update(topic["left_out"])
    return found.most_common()


def _phases(report: Json) -> Iterator[Json]:
    """From each moment that is known to the next one; what no moment parts goes together."""
    times = report["times"]
    began = times["planned_at"]
    if began is None:
        return
    whole, names = max(1, times["finished_at"] - began), []
    for colour, (end, name) in enumerate(_PHASES.items(), 1):
        names.append("until it failed" if end == "finished_at" and report["status"] == "failed" else name)
        if times[end] is not None and times[end] >= began:
            told = names[-1] if names[-1] == "until it failed" else ", ".join(names)
            yield {
                "name": told.capitalize(),
                "seconds": (times[end] - began) / 1000,
                "share": _share(times[end] - began, whole),
                "colour": colour,
            }
            began, names = times[end], []


def _rate(report: Json) -> float | None:
    """Records a second while they were written and read back."""
    times = report["times"]
    began = times["started_at"] or times["planned_at"]
    ended = times["work_finished_at"] or times["reconciled_at"]
    if not report["written"] or began is None or ended is None or ended <= began:
        return None
    return float(1000 * report["written"] / (ended - began))


def _groups(groups: Json | None) -> Json | None:
    if not groups or not groups.get("asked", True):
        return None
    listed: list[Json] = groups["groups"]
    order = {"failed": 0, "active": 1, "waiting": 2, "done": 3}
    ordered = sorted(listed, key=lambda group: order.get(group["status"], 4))
    states = Counter(group["status"] for group in listed)
    return {
        "snapshot_at": groups.get("snapshot_at"),
        "states": sorted(states.items(), key=lambda found: order.get(found[0], 4)),
        "rows": [{**group, "why": _why(group)} for group in ordered[:GROUPS]],
        "unshown": len(ordered) - GROUPS if len(ordered) > GROUPS else 0,
    }


def _why(group: Json) -> list[str]:
    return [f"{found['topic']}: {found['reason'] or found['status']}" for found in group["reasons"][:5]]


def _settings(settings: Json | None) -> Json | None:
    if not settings:
        return None
    topics: list[Json] = settings["topics"]
    states = Counter(topic["status"] for topic in topics)
    acls: dict[str, Any] = settings.get("acls") or {}
    counts = {name: len(acls.get(name, ())) for name in ("added", "there", "left_out", "failed")}
    return {
        "states": states.most_common(),
        "rows": [_setting(topic) for topic in sorted(topics, key=lambda topic: topic["status"] == "set")],
        "acls": {**counts, "code": acls.get("code")} if acls else None,
    }


def _setting(topic: Json) -> Json:
    return {
        "topic": topic["topic"],
        "status": topic["status"],
        "set": topic.get("set", {}),
        "held": topic.get("held", {}),
        "refused": topic.get("refused", {}),
    }
