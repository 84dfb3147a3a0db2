"""What a person should know of a restore that has come to its end: what was allowed, refused, left as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from millpond.archive.documents import Json
from millpond.findings import named

_NAMED = 10
_OF_GROUPS = {
    "active": "left as they were because they have members; `millpond groups apply` sets them once these have left",
    "failed": "could not be set",
    "waiting": "wait for records",
}
_OF_TOPICS = {
    "partly": "without some of their settings",
    "refused": "without the settings that decide how they behave",
    "hidden": "that may not be described, so nobody knows their settings",
    "gone": "deleted since they were restored",
    "replaced": "deleted and made again since they were restored",
}


def exceptions_of(report: Json) -> Iterator[Json]:
    """Each with `about` (allowed, records, groups, settings, acls) and a `text`."""
    for warning in report["warnings"]:
        if warning.startswith("allowed: "):
            yield {"about": "allowed", "text": warning.removeprefix("allowed: ")}
    if count := report["known_deviations"].get("timestamp_zero_became_now"):
        text = f"{count} records with timestamp 0 have the time of writing: the Kafka client takes 0 for now"
        yield {"about": "records", "text": text}
    yield from _of_groups(report["groups"] or {})
    yield from _of_settings(report["settings"] or {})
    yield from _of_acls((report["settings"] or {}).get("acls") or {})


def _of_groups(groups: Json) -> Iterator[Json]:
    found: dict[str, list[str]] = {}
    for group in groups.get("groups", []):
        who = f" ({named(group['clients'])})" if group["status"] == "active" and group.get("clients") else ""
        found.setdefault(group["status"], []).append(group["target"] + who)
    for status, told in _OF_GROUPS.items():
        if names := found.get(status):
            yield {"about": "groups", "text": f"{_counted(len(names), 'group')} {told}: {_some(names)}"}
    if failed := groups.get("snapshot_failed"):
        text = f"{_counted(len(failed), 'part')} of the groups could not be read when the snapshot was taken"
        yield {"about": "groups", "text": text}


def _of_settings(settings: Json) -> Iterator[Json]:
    found: dict[str, list[str]] = {}
    for topic in settings.get("topics", []):
        refused = ", ".join(f"{name} {code}" for name, code in topic.get("refused", {}).items())
        found.setdefault(topic["status"], []).append(topic["topic"] + (f" ({refused})" if refused else ""))
    for status, told in _OF_TOPICS.items():
        if names := found.get(status):
            yield {"about": "settings", "text": f"{_counted(len(names), 'topic')} {told}: {_some(names)}"}


def _of_acls(acls: Json) -> Iterator[Json]:
    if acls.get("code"):
        yield {"about": "acls", "text": f"no access control could be added: {acls['code']}"}
    if failed := acls.get("failed"):
        codes = Counter(one["code"] for one in failed)
        told = ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))
        yield {"about": "acls", "text": f"{_counted(len(failed), 'entry')} of access control refused: {told}"}


def _counted(count: int, what: str) -> str:
    many = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{count} {what if count == 1 else many}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
