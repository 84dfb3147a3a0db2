"""An archive in a folder with verbs on it, and what a group's own consumer reads next: plain clients, no product."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_STORED, Consumer, KafkaError, KafkaException, TopicPartition

from millpond.cli.main import main
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectInfo
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.integration.backup_runs import Backup
from tests.integration.restore_runs import LAYOUT, Restore

Content = tuple[Any, ...]


class Groups:
    """One archive of one cluster, backed up, restored and asked on the command line."""

    def __init__(self, bootstrap: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.bootstrap, self._capsys, self._folder = bootstrap, capsys, folder
        (folder / "store").mkdir()
        (folder / "spool").mkdir()
        self.store = FolderStore(folder / "store")
        self.url = f"file://{folder}/store/{LAYOUT.prefix}"

    def backup(self, *topics: str) -> None:
        Backup(self.store, self.bootstrap, self._folder / "spool", topics, LAYOUT).once()

    def restore(self, run_id: str = "r") -> Restore:
        return Restore(self.bootstrap, self.store, LAYOUT, run_id)

    def run(self, *words: str) -> int:
        self.code = main([*words, "--archive", self.url])
        self.out, self.err = self._capsys.readouterr()
        return self.code

    def json(self, *words: str) -> Any:
        self.run(*words, "--json")
        return json.loads(self.out)

    def snapshot(self, *covered: str) -> Any:
        """Of the cluster, its topics and which of them the backup covers, and of the groups."""
        told = ("--topics", ",".join(covered)) if covered else ()
        assert self.run("cluster", "snapshot", "--brokers", self.bootstrap, *told) in (0, 1)
        return self.json("groups", "snapshot", "--brokers", self.bootstrap)

    def apply(self, *words: str) -> Any:
        return self.json("groups", "apply", "--to-brokers", self.bootstrap, *words)

    def objects(self, prefix: str = "") -> dict[str, str]:
        listed = self.store.list(LAYOUT.under(prefix))
        return {entry.key: entry.etag for entry in listed if isinstance(entry, ObjectInfo)}


def statuses(document: Any, group: str) -> dict[tuple[str, int], tuple[str, str]]:
    """Status and reason of each offset of a group, named as in the snapshot."""
    (found,) = [entry for entry in document["groups"] if entry["group"] == group]
    return {(e["topic"], e["partition"]): (e["status"], e["reason"]) for e in found["entries"]}


def next_records(bootstrap: str, group: str, places: Iterable[Place]) -> dict[Place, Content | None]:
    """What a consumer of the group reads first of each partition, in their order, None at an end.

    It never starts anywhere but at a commit: without one, or with one outside of the log, this raises.
    """
    wanted = list(places)
    left = set(wanted)
    found: dict[Place, Content | None] = {}
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        **oracle.QUICK,
    }
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(*place, OFFSET_STORED) for place in left])
        deadline = time.monotonic() + 30
        while left:
            assert time.monotonic() < deadline, f"{group} reads nothing of {sorted(left)} within 30 s"
            message = consumer.poll(0.2)
            if message is None:
                continue
            error, place = message.error(), (message.topic(), message.partition())
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if place in left:
                left.discard(place)
                found[place] = None if error is not None else _content(message)
    finally:
        consumer.close()
    return {place: found[place] for place in wanted}


def next_of_all(
    bootstrap: str, names: Iterable[str], places: Iterable[Place]
) -> dict[str, dict[Place, Content | None]]:
    """The same for many groups, some at a time."""
    groups, wanted = list(names), list(places)
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(groups, pool.map(lambda group: next_records(bootstrap, group, wanted), groups), strict=True))


def _content(message: Any) -> Content:
    return message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()
