"""Runs with everything their steps leave behind, written as documents, and their reports."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from millpond.archive.runs import Run
from millpond.restore.planning.plan import KIND
from millpond.restore.reporting.reconcile import reconcile_restore
from millpond.restore.reporting.report import report_restore
from millpond.restore.request import parse_request
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, TOPIC_ID

BEGAN_MS = 1_767_225_600_000
HOSTILE = "<script>document.title='broken'</script>\"><img src=https://example.com/x>"


@dataclass
class ReportedRun:
    """A run of so many records for each topic and partition.

    Attributes:
        topics: Records of each partition, by archived topic.
        request: What it is asked for, beside all topics.
    """

    topics: dict[str, Sequence[int]]
    request: dict[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    run: Run = field(default_factory=lambda: Run(MemoryStore(), LAYOUT, KIND, "drill-7"))

    def plan(self) -> ReportedRun:
        lines = [
            {"topic": topic, "topic_id": TOPIC_ID, "partition": number, "target": f"restored.{topic}", "objects": []}
            for topic, counts in self.topics.items()
            for number in range(len(counts))
        ]
        offsets = sum(map(sum, self.topics.values()))
        document = {
            "kind": KIND,
            "run_id": self.run.run_id,
            "archive_id": ARCHIVE_ID,
            "cluster_id": "source-cluster",
            "planned_at": BEGAN_MS,
            "request": parse_request({"all": True, "prefix": "restored.", **self.request}).model_dump(mode="json"),
            "topics": [self._topic(topic, counts) for topic, counts in self.topics.items()],
            "warnings": list(self.warnings),
            "lines": len(lines),
            "units": min(8, len(lines)),
            "estimate": {"seconds": 95, "usd": 0.01},
            "digest": "ab" * 32,
        }
        totals = {"objects": 3 * len(lines), "offsets": offsets, "bytes": 300 * offsets}
        self.run.write_plan(document | totals, lines)
        return self

    def _topic(self, topic: str, counts: Sequence[int]) -> dict[str, Any]:
        return {
            "topic": topic,
            "topic_id": TOPIC_ID,
            "target": f"restored.{topic}",
            "partitions": len(counts),
            "target_partitions": len(counts),
            "objects": 3 * len(counts),
            "offsets": sum(counts),
            "bytes": 300 * sum(counts),
            "newest_ms": BEGAN_MS - 3_600_000,
            "left_out": self.left_out,
        }

    def prepare(self) -> ReportedRun:
        for topic, counts in self.topics.items():
            base = {str(number): 0 for number in range(len(counts))}
            target = {"topic": f"restored.{topic}", "topic_id": "b" * 22, "cluster_id": "target-cluster"}
            self.run.write_once({**target, "made": True, "base": base}, "prepared", f"restored.{topic}.json")
        return self

    def work(self, *, but: Sequence[int] = (), **more: Any) -> ReportedRun:
        """Results of all lines but these."""
        line = 0
        for topic, counts in self.topics.items():
            for number, count in enumerate(counts):
                digest = hashlib.sha256(f"{topic}-{number}".encode()).hexdigest()
                result = {"topic": topic, "target": f"restored.{topic}", "partition": number, "base": 0, "end": count}
                result |= {"read": count, "suppressed": 0, "written": count, "objects": 3, "stamp_zero": 0}
                result |= {"digest_archive": digest, "digest_target": digest, "seconds": 12.5}
                result |= {"started_at": BEGAN_MS + 4_000, "finished_at": BEGAN_MS + 41_000}
                if line not in but:
                    self.run.write_result(line, result | more)
                line += 1
        return self

    def reconcile(self) -> ReportedRun:
        reconcile_restore(self.run.store, self.run.layout, run_id=self.run.run_id, now_ms=BEGAN_MS + 43_000)
        return self

    def compare(self) -> ReportedRun:
        totals = {"ranges": 40, "compared": 12, "by_digest": 12, "equal": 5_000, "differences": 0, "explained": {}}
        self.run.write_once({"mode": "sampled", "at": BEGAN_MS + 47_000, **totals, "partitions": []}, "compared.json")
        return self

    def groups(self, *groups: dict[str, Any]) -> ReportedRun:
        document = {"asked": True, "at": BEGAN_MS + 49_000, "snapshot_at": BEGAN_MS - 60_000, "groups": list(groups)}
        self.run.write_once({**document, "prefix": "", "offsets": {}, "snapshot_failed": []}, "groups.json")
        return self

    def finish(self, *topics: dict[str, Any], acls: dict[str, Any] | None = None) -> ReportedRun:
        listed = list(topics) or [a_setting(f"restored.{topic}") for topic in self.topics]
        document = {"finished_at": BEGAN_MS + 51_000, "topics": listed, "acls": acls}
        self.run.write_once(document, "settings.json")
        return self

    def whole(self) -> ReportedRun:
        """Every step, and nothing to complain of."""
        return self.plan().prepare().work().reconcile().compare().groups(a_group("billing")).finish()

    def report(self, now_ms: int = BEGAN_MS + 52_000, reasons: Sequence[str] = ()) -> dict[str, Any]:
        return report_restore(self.run.store, self.run.layout, run_id=self.run.run_id, now_ms=now_ms, reasons=reasons)


def a_group(name: str, status: str = "done", **more: Any) -> dict[str, Any]:
    told = {"group": name, "target": name, "status": status, "state": "Empty", "members": 0}
    return told | {"offsets": {"applied": 3}, "reasons": []} | more


def a_setting(topic: str, status: str = "set", **more: Any) -> dict[str, Any]:
    told = {"topic": topic, "status": status, "set": {"cleanup.policy": "compact"}, "removed": ["segment.ms"]}
    return told | {"held": {"retention.ms": "604800000"}, "left_out": {}, "refused": {}} | more
