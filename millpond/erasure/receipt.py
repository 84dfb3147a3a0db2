"""The receipt of a request: what was searched, what was taken out, what was left, and what was not searched.

Numbers, names of objects and hashes of policies; no identifier and no hash of one.
"""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from millpond import __version__
from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import Layout, PartitionObject
from millpond.erasure.plan import SEARCHED
from millpond.erasure.policy import Policy
from millpond.erasure.sweep import DAMAGED
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectStore, read

COMPLETE = "COMPLETE"
COMPLETE_WITH_EXCEPTIONS = "COMPLETE_WITH_EXCEPTIONS"

NOT_SEARCHED = (
    {"what": "live cluster", "text": "the topics in Kafka itself, and what is read from them after the plan was made"},
    {"what": "restored and exported copies", "text": "clusters and files that earlier restores or exports wrote"},
    {
        "what": "undeclared copies",
        "text": "replicas, downloads and backups of the bucket that Millpond was not told of",
    },
    {"what": "undeclared places", "text": "parts of records that the policy does not name, headers among them"},
    {"what": "residual metadata", "text": "offsets and times of the records that were taken out"},
)

_COUNTS = ("records_in", "dropped", "tombstoned", "masked", "undecodable", "absent", "versions_purged")


def find_receipt(store: ObjectStore, layout: Layout, request_id: str) -> Json | None:
    try:
        return parse_object(read(store, layout.receipt(request_id)), layout.receipt(request_id))
    except NoSuchObject:
        return None


def write_receipt(store: ObjectStore, layout: Layout, receipt: Json) -> Json:
    """Writes the receipt, or finds the one of its request, and returns what counts."""
    key = layout.receipt(receipt["request_id"])
    with suppress(AlreadyThere):
        store.put_if_absent(key, json.dumps(receipt, indent=1).encode())
    return parse_object(read(store, key), key)


def receipt_of(
    document: Json, policy: Policy, layout: Layout, results: Iterable[Json], later: Mapping[str, int], now_ms: int
) -> Json:
    """The receipt.

    Args:
        document, results: Of the run; a result for every line.
        later: By topic, windows that were written behind what the plan covers.
    """
    request = document["request"]
    scope = {topic: dict(found) for topic, found in document["topics"].items()}
    for topic, found in scope.items():
        if found["class"] == SEARCHED:
            found |= _empty_counts(policy, topic, request["hashes"])
    exceptions = list(document["exceptions"])
    for result in results:
        _add(scope[_topic_of(layout, result["key"])], result)
        exceptions += [{**exception, "key": result["key"]} for exception in result["exceptions"]]
    searched = {topic: found for topic, found in scope.items() if found["class"] == SEARCHED}
    exceptions += _undecodable(searched)
    return {
        "request_id": request["request_id"],
        "reference": request["reference"],
        "status": COMPLETE_WITH_EXCEPTIONS if exceptions else COMPLETE,
        "archive_id": document["archive_id"],
        "run_id": document["run_id"],
        "policy": request["policy"],
        "subjects": {kind: len(hashes) for kind, hashes in request["hashes"].items()},
        "planned_at": _rfc_3339(document["planned_at"]),
        "completed_at": _rfc_3339(now_ms),
        "term": term(request["received_at"], now_ms),
        "objects": _totals(searched),
        "scope": scope,
        "exceptions": exceptions,
        "not_searched": _not_searched(document["ends"], later),
        "software": f"millpond {__version__}",
    }


def term(received_at: str, now_ms: int) -> Json:
    """Days used of the month that the law gives (GDPR article 12(3)), from receipt of the request to now, in UTC."""
    received = datetime.fromisoformat(received_at).date()
    now = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    due = _a_month_after(received)
    return {
        "received_at": received_at,
        "due": due.isoformat(),
        "days": (now - received).days,
        "days_allowed": (due - received).days,
        "in_time": now <= due,
    }


def _a_month_after(day: date) -> date:
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def _empty_counts(policy: Policy, topic: str, types: Iterable[str]) -> Json:
    searched = policy.searched(topic)
    places = searched.places_of(set(types)) if searched else ()
    none = {"matched": 0, "absent": 0, "undecodable": 0}
    counts = dict.fromkeys((*_COUNTS, "objects_rewritten", "objects_damaged", "objects_hidden"), 0)
    return {**counts, "places": [{**place.model_dump(mode="json", exclude_none=True), **none} for place in places]}


def _add(topic: dict[str, Any], result: Json) -> None:
    for name in _COUNTS:
        topic[name] += result[name]
    topic["objects_rewritten"] += result["dropped"] > 0
    topic["objects_damaged"] += any(exception["kind"] == DAMAGED for exception in result["exceptions"])
    topic["objects_hidden"] += result["hidden"]
    for place, counts in zip(topic["places"], result["places"], strict=True):
        for name, count in counts.items():
            place[name] += count


def _undecodable(searched: Mapping[str, Json]) -> list[Json]:
    """A record whose required place could not be read may be the subject's: it stays, and is no 'no match'."""
    return [
        {"kind": "undecodable records", "topic": topic, "records": found["undecodable"]}
        for topic, found in searched.items()
        if found["undecodable"]
    ]


def _totals(searched: Mapping[str, Json]) -> Json:
    names = ("objects", "objects_rewritten", "versions_purged", "records_in", "dropped", "tombstoned", "masked")
    return {name: sum(found[name] for found in searched.values()) for name in names}


def _not_searched(ends: Json, later: Mapping[str, int]) -> list[Json]:
    behind = {
        "what": "records behind the plan",
        "text": "records at or behind these offsets: they were archived after the plan was made, or will be",
        "from": ends,
        "windows": dict(later),
    }
    return [behind, *NOT_SEARCHED]


def _topic_of(layout: Layout, key: str) -> str:
    found = layout.parse(key)
    assert isinstance(found, PartitionObject)
    return found.partition.topic


def _rfc_3339(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
