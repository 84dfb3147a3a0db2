"""What a request has to look at: every version of every window of the topics that its policy searches.

The plan names objects and holds keyed hashes; it never holds an identifier, an etag or a digest. Keys that the grammar
does not know are counted only: their names may be anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import TypeAlias

from millpond.archive.documents import Json
from millpond.archive.identity import read_identity
from millpond.archive.keys import Layout, PartitionId, PartitionObject
from millpond.archive.names import WindowName
from millpond.archive.runs import Run, units_for
from millpond.erasure.plan_parts import ListOfParts, PartsPlanner
from millpond.erasure.policy import ExemptTopic, refuse_what_would_not_erase, store_policy
from millpond.erasure.request import RedactRequest
from millpond.erasure.secret import ErasureSecret, keyed_hash
from millpond.erasure.sweeps import redact_run
from millpond.erasure.versions import versions_by_key, with_content
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.storage.contract import NoSuchObject, ObjectStore, ObjectVersion, read

SEARCHED, EXEMPT, OTHER_TYPES, UNCLASSIFIED = "searched", "none", "other types", "unclassified"
"""What the policy says of an archived topic: places of the request's types; `none`; places of other types; nothing."""

BYTES_PER_UNIT = 1 << 30
"""Stored bytes that are worth a worker of their own."""

Ends: TypeAlias = dict[str, dict[str, dict[str, int]]]
"""First offset that was not archived at planning, by topic, topic id and partition."""


def plan_redaction(
    store: ObjectStore,
    layout: Layout,
    secret: ErasureSecret,
    request: RedactRequest,
    *,
    run_id: str,
    now_ms: int,
    compacted: Set[str] = frozenset(),
    bytes_per_unit: int = BYTES_PER_UNIT,
) -> Json:
    """Writes the plan of a redact run, or finds the one of an earlier try, and returns its document.

    Args:
        compacted: Topics archived with cleanup.policy=compact, from the cluster snapshot.

    Raises:
        WrongUsage: The policy has no place for one of the types, or a topic pattern fits nothing.
        RefusedForSafety: The run id, or the request id, was used for another request; or dropping would not erase.
    """
    run = redact_run(store, layout, run_id)
    archive_id, found = read_identity(store, layout).archive_id, run.find_plan()
    key_id = found["request"]["key_id"] if found else secret.newest
    asked = _asked(request, secret, archive_id, key_id)
    if found:
        return run.write_plan({"request": asked}, ())
    _refuse_a_second_run(store, layout, asked["request_id"], run_id)
    refuse_what_would_not_erase(
        request.policy, filter(request.selects, request.policy.topics), request.types, set(compacted)
    )
    survey = _Survey(layout, request)
    for key, versions in versions_by_key(store, layout.topics):
        survey.add(key, versions)
    _refuse_patterns_without_topics(request.topics, survey.topics)
    store_policy(store, layout, request.policy)
    lines = [{"key": key, "versions": versions} for key, versions in survey.lines]
    parts = PartsPlanner(store, layout, archive_id, request, secret, lines)
    return _written(run, asked, survey, parts, now_ms, bytes_per_unit)


def partition_end(ends: Ends, partition: PartitionId) -> int:
    """The first offset that the plan does not search; 0 for a partition that is newer than the plan."""
    return ends.get(partition.topic, {}).get(partition.incarnation.topic_id, {}).get(str(partition.partition), 0)


def _asked(request: RedactRequest, secret: ErasureSecret, archive_id: str, key_id: str) -> Json:
    """The request as it may be stored; equal for equal requests, whatever the order of the subjects."""
    keys = {kind: secret.derived(key_id, archive_id, kind) for kind in sorted(request.types)}
    hashes = {
        kind: sorted({keyed_hash(key, subject.canonical()) for subject in request.subjects if subject.type == kind})
        for kind, key in keys.items()
    }
    return {
        "request_id": str(request.request_id),
        "reference": request.reference,
        "received_at": request.received_text,
        "policy": request.policy.sha256,
        "topics": list(request.topics),
        "hashes": hashes,
        "key_id": key_id,
        "key_check": secret.check(key_id, archive_id),
    }


def _refuse_a_second_run(store: ObjectStore, layout: Layout, request_id: str, run_id: str) -> None:
    try:
        read(store, layout.receipt(request_id))
    except NoSuchObject:
        return
    raise RefusedForSafety(
        f"cannot plan redact run {run_id}: request {request_id} has its receipt already",
        hint="a person who asks again gets a new request id",
    )


def _refuse_patterns_without_topics(patterns: Iterable[str], topics: Iterable[str]) -> None:
    """A pattern with a typing error would give a receipt for nothing. It is told by its place, not by its text."""
    known = list(topics)
    for number, pattern in enumerate(patterns):
        if not any(re.fullmatch(pattern, topic) for topic in known):
            raise WrongUsage(
                f"topics.{number} of the request fits no archived topic", hint="it must fit the whole name"
            )


@dataclass(slots=True)
class _TopicScope:
    classified: str
    objects: int = 0
    versions: int = 0
    size_bytes: int = 0

    def as_json(self) -> Json:
        return {
            "class": self.classified,
            "objects": self.objects,
            "versions": self.versions,
            "bytes": self.size_bytes,
        }


@dataclass(slots=True)
class _Survey:
    """Sorts the keys of a version listing into lines and exceptions."""

    layout: Layout
    request: RedactRequest
    topics: dict[str, _TopicScope] = field(default_factory=dict)
    lines: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    lists: list[ListOfParts] = field(default_factory=list)
    ends: Ends = field(default_factory=dict)
    foreign: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, versions: list[ObjectVersion]) -> None:
        content = with_content(versions)
        what = self.layout.parse(key)
        if not content:
            return  # only delete markers: there is nothing to read
        if what is None:
            self.foreign[key.removeprefix(self.layout.topics).split("/", 1)[0]] += 1
        elif isinstance(what, PartitionObject) and isinstance(what.name, WindowName):
            self._add_window(key, versions, what.partition, what.name)

    def _add_window(self, key: str, versions: list[ObjectVersion], partition: PartitionId, name: WindowName) -> None:
        if not self.request.selects(partition.topic):
            return
        scope = self.topics.setdefault(partition.topic, _TopicScope(self._class(partition.topic)))
        scope.objects += 1
        scope.versions += len(versions)
        scope.size_bytes += sum(version.info.size_bytes for version in versions)
        if scope.classified == SEARCHED:
            if name.parts:
                self.lists.append(ListOfParts(key, versions, partition, name))
            else:
                self.lines.append((key, tuple(version.info.version for version in versions)))
            ends = self.ends.setdefault(partition.topic, {}).setdefault(partition.incarnation.topic_id, {})
            number = str(partition.partition)
            ends[number] = max(ends.get(number, 0), name.last + 1)

    def _class(self, topic: str) -> str:
        found = self.request.policy.topics.get(topic)
        if found is None:
            return UNCLASSIFIED
        if isinstance(found, ExemptTopic):
            return EXEMPT
        return SEARCHED if found.places_of(self.request.types) else OTHER_TYPES

    def exceptions(self) -> Iterator[Json]:
        for topic, scope in self.topics.items():
            if scope.classified == UNCLASSIFIED:
                yield {"kind": "unclassified topic", "topic": topic, "objects": scope.objects}
        known = {topic for topic in self.foreign if topic in self.topics or topic in self.request.policy.topics}
        for topic in sorted(known):
            if self.request.selects(topic):
                yield {"kind": "foreign objects", "topic": topic, "objects": self.foreign[topic]}
        elsewhere = sum(self.foreign[topic] for topic in self.foreign.keys() - known)
        if elsewhere and not self.request.topics:
            yield {"kind": "foreign objects", "topic": None, "objects": elsewhere}


def _written(run: Run, asked: Json, survey: _Survey, parts: PartsPlanner, now_ms: int, bytes_per_unit: int) -> Json:
    searched = [scope for scope in survey.topics.values() if scope.classified == SEARCHED]
    size_bytes = sum(scope.size_bytes for scope in searched)
    lines = parts.with_lists(survey.lists)
    totals = {
        "objects": len(lines),
        "versions": sum(scope.versions for scope in searched),
        "bytes": size_bytes,
    }
    document = {
        "request": asked,
        "run_id": run.run_id,
        "archive_id": parts.archive_id,
        "planned_at": now_ms,
        "lines": len(lines),
        "units": units_for(len(lines), size_bytes, bytes_per_unit=bytes_per_unit),
        "totals": totals | ({"skipped": parts.skipped} if parts.skipped else {}),
        "topics": {topic: scope.as_json() for topic, scope in survey.topics.items()},
        "ends": survey.ends,
        "exceptions": [*survey.exceptions(), *parts.exceptions()],
    }
    return run.write_plan(document, lines)
