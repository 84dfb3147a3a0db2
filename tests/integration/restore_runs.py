"""A restore in this process, step by step or through the command line, and archives made by hand for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import MillpondError
from millpond.findings import Finding
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.records import Record, Row
from millpond.restore.planning.plan import KIND, plan_restore
from millpond.restore.reporting.reconcile import reconcile_restore
from millpond.restore.request import parse_request
from millpond.restore.targets.finish import finish_restore
from millpond.restore.targets.preflight import preflight_restore
from millpond.restore.targets.prepare import prepare_restore
from millpond.restore.writing.worker import restore_unit
from millpond.storage.contract import ObjectInfo, ObjectStore
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.unit.builders import ARCHIVE_ID, TOPIC_ID, a_partition, put_rows

LAYOUT = Layout("kafka")


@dataclass
class Restore:
    """A restore of one archive to one cluster. The default archive is in memory, made by hand, and empty."""

    bootstrap: str
    store: ObjectStore = field(default_factory=MemoryStore)
    layout: Layout = LAYOUT
    run_id: str = "r"

    def __post_init__(self) -> None:
        properties = {name: str(value) for name, value in oracle.QUICK.items()}
        self.cluster = Cluster(ClusterAddress(self.bootstrap, properties))
        if self.store.head(self.layout.identity) is None:
            identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1}
            self.store.put_if_absent(self.layout.identity, json.dumps(identity).encode())

    @property
    def run(self) -> Run:
        return Run(self.store, self.layout, KIND, self.run_id)

    def add(self, topic: str, rows: Sequence[Row], partition: int = 0, **more: Any) -> str:
        """A window made by hand; its key."""
        return put_rows(self.store, rows, partition=a_partition(topic, partition), layout=self.layout, **more)

    def archived(self, topic: str, *, partitions: int = 1, replication: int = 1, **config: str) -> None:
        """A snapshot that says so of the topic; `_` in names is a dot."""
        settings = {name.replace("_", "."): text for name, text in config.items()}
        told = {"topic": topic, "topic_id": TOPIC_ID, "partitions": partitions, "replication": replication}
        at = 1 + sum(1 for _ in self.store.list(self.layout.under("cluster/")))
        document = {"at": at, "topics": [{**told, "config": settings}]}
        self.store.put_if_absent(self.layout.cluster(at), json.dumps(document).encode())

    def plan(self, *topics: str, **more: Any) -> dict[str, Any]:
        request = parse_request({"topics": topics, **more})
        return plan_restore(self.store, self.layout, request, run_id=self.run_id, now_ms=1)

    def prepare(self) -> list[dict[str, Any]]:
        return prepare_restore(self.store, self.layout, self.cluster, run_id=self.run_id)

    def work(self, **more: Any) -> list[MillpondError]:
        return restore_unit(self.store, self.layout, self.cluster, run_id=self.run_id, **more)

    def reconcile(self) -> dict[str, Any]:
        return reconcile_restore(self.store, self.layout, run_id=self.run_id, now_ms=2)

    def preflight(self) -> dict[str, Finding]:
        """Findings by their probes."""
        found = preflight_restore(self.store, self.layout, self.cluster, run_id=self.run_id)
        return {finding.probe: finding for finding in found}

    def finish(self) -> dict[str, Any]:
        return finish_restore(self.store, self.layout, self.cluster, run_id=self.run_id, now_ms=3)

    def all(self, *topics: str, **more: Any) -> dict[str, Any]:
        """Everything, and the report."""
        self.plan(*topics, **more)
        self.prepare()
        for error in self.work():
            raise error
        return self.reconcile()

    def content(self) -> dict[str, str]:
        """Etags of all objects."""
        entries = [entry for entry in self.store.list("") if isinstance(entry, ObjectInfo)]
        return {entry.key: entry.etag for entry in entries}

    def target(self, topic: str) -> dict[int, list[Record]]:
        """The target topic; offsets must count up from 0, or from the log's start, without holes."""
        starts = oracle.starts_of(self.bootstrap, topic)
        found = oracle.read_topic(self.bootstrap, topic)
        for number, records in found.items():
            start = starts[number]
            assert [record.offset for record in records] == list(range(start, start + len(records))), number
        return found

    def holds(self, topic: str, expected: dict[int, list[Any]], *, same: Callable[[Any], Any] = lambda r: r) -> None:
        """The target topic holds exactly these records, in this order; offsets are not compared."""
        found = self.target(topic)
        for number in sorted(found.keys() | expected.keys()):
            want = [same(tuple(record)[1:]) for record in expected.get(number, [])]
            got = [same(tuple(record)[1:]) for record in found[number]]
            assert len(got) == len(want), f"{topic}-{number}: {len(got)} records, {len(want)} are due"
            assert got == want, f"{topic}-{number}"

    def ends(self, topic: str) -> dict[int, int]:
        return oracle.ends_of(self.bootstrap, topic)
