"""An archive in memory with whatever a test puts into it, and its plans."""

from __future__ import annotations

import json
from typing import Any

from millpond.archive.events import write_event
from millpond.archive.keys import Incarnation
from millpond.archive.runs import Run
from millpond.restore.planning.plan import KIND, make_plan, plan_restore
from millpond.restore.request import parse_request
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, TOPIC_ID, WRITTEN_MS, a_partition, make_rows, put_rows

NOW_MS = WRITTEN_MS + 1000


class Archive(MemoryStore):
    """An archive with an identity and whatever a test puts into it."""

    def __init__(self) -> None:
        super().__init__()
        identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1, "continues": ""}
        self.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())

    def add(self, topic: str, partition: int = 0, first: int = 0, count: int = 10, **more: Any) -> str:
        place = a_partition(topic, partition, more.pop("topic_id", TOPIC_ID))
        return put_rows(self, more.pop("rows", None) or make_rows(first, count), partition=place, **more)

    def add_event(self, topic: str, kind: str, topic_id: str = TOPIC_ID, **facts: Any) -> str:
        return write_event(self, LAYOUT, Incarnation(topic, topic_id), kind, WRITTEN_MS, facts)

    def add_snapshot(self, at: int, topic: str, partitions: int, topic_id: str = TOPIC_ID, **config: str) -> None:
        known = {"topic": topic, "topic_id": topic_id, "partitions": partitions, "replication": 1, "config": config}
        body = {"at": at, "cluster_id": "c", "topics": [known]}
        self.put_if_absent(LAYOUT.cluster(at), json.dumps(body).encode())

    def plan(self, *topics: str, run_id: str = "r", dry_run: bool = False, **more: Any) -> dict[str, Any]:
        request = parse_request({"topics": topics, **more} if topics else {"all": True, **more})
        if dry_run:
            return make_plan(self, LAYOUT, request, run_id=run_id, now_ms=NOW_MS).document
        return plan_restore(self, LAYOUT, request, run_id=run_id, now_ms=NOW_MS)

    def spans(self, run_id: str = "r") -> dict[tuple[str, int], list[tuple[int, int]]]:
        """First and last offset of each planned object, by partition."""
        return {
            (line["topic"], line["partition"]): [(item["first"], item["last"]) for item in line["objects"]]
            for line in self.lines(run_id)
        }

    def lines(self, run_id: str = "r") -> list[dict[str, Any]]:
        return [line for _, line in Run(self, LAYOUT, KIND, run_id).lines()]

    def keys(self) -> list[str]:
        return [entry.key for entry in self.list("") if isinstance(entry, ObjectInfo)]
