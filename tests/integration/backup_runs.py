"""A backup in this process: once, or on a thread until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.backup import consumer
from millpond.backup.options import BackupOptions, Rotation
from millpond.backup.run import run_backup
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.kafka.selection import Selection
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo, ObjectStore
from tests import oracle

# A member that only left must not hold up the next one, brokers come back soon, new partitions are seen soon.
QUICK = {
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "300",
    "topic.metadata.refresh.interval.ms": "500",
    **oracle.QUICK,
}


@contextmanager
def short_steps() -> Iterator[None]:
    """The consumer's thread waits 0.2 s for records: long, where each test waits for several such steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(consumer, "_BATCH_WAIT_S", 0.03)
        yield


@dataclass
class Backup:
    """Where from, where to, and how; `once` and `running` may be used as often as wanted."""

    store: ObjectStore
    bootstrap: str
    spool: Path
    topics: tuple[str, ...]
    layout: Layout = field(default_factory=lambda: Layout("kafka"))
    exclude: tuple[str, ...] = ()
    group_id: str = ""
    max_age_s: float = 0.4
    confirm_after_s: float = 0.2

    def options(self, **more: Any) -> BackupOptions:
        told = {
            "selection": Selection.of(self.topics, self.exclude),
            "spool": self.spool,
            "group_id": self.group_id,
            "rotation": Rotation(self.max_age_s, more.pop("max_bytes", 64 << 20)),
            "confirm_after_s": self.confirm_after_s,
            "discover_every_s": 0.5,
        }
        return BackupOptions(**(told | more))

    def cluster(self) -> Cluster:
        return Cluster(ClusterAddress(self.bootstrap, {k: str(v) for k, v in QUICK.items()}))

    def once(self, *, within_s: float = 200, **more: Any) -> dict[Place, int]:
        """`--once`. Raises what the run raises; `AssertionError` where it does not end."""
        late = threading.Event()
        alarm = threading.Timer(within_s, late.set)
        alarm.start()
        try:
            with short_steps():
                ends = run_backup(self.store, self.layout, self.cluster(), self.options(once=True, **more), late)
        finally:
            alarm.cancel()
        assert not late.is_set(), f"`--once` did not end within {within_s} s"
        return ends

    @contextmanager
    def running(self, **more: Any) -> Iterator[threading.Event]:
        """The continuous mode; ends as SIGTERM ends it. What it raised is raised here."""
        stop, failed = threading.Event(), []

        def run() -> None:
            try:
                run_backup(self.store, self.layout, self.cluster(), self.options(**more), stop)
            except BaseException as error:  # noqa: BLE001  # raised again by the test
                failed.append(error)

        thread = threading.Thread(target=run, name="backup under test")
        thread.start()
        try:
            with short_steps():
                yield stop
        finally:
            stop.set()
            thread.join(120)
            if failed:  # rather than what the test missed because of it
                raise failed[0]
        assert not thread.is_alive(), "the backup did not stop within two minutes"

    def folders(self, topic: str, topic_id: str = "") -> dict[int, oracle.Folder]:
        topic_id = topic_id or oracle.topic_id_of(self.bootstrap, topic)
        return oracle.read_folders(self.store, self.layout, topic, topic_id)

    def covers(self, topic: str, ends: dict[int, int] | None = None, topic_id: str = "") -> bool:
        """Whether coverage of each partition reaches these ends, or Kafka's."""
        wanted = oracle.ends_of(self.bootstrap, topic) if ends is None else ends
        found = self.folders(topic, topic_id)
        return all(found.get(number, oracle.Folder()).end >= end for number, end in wanted.items())

    def wait_covered(self, topic: str, ends: dict[int, int] | None = None, timeout_s: float = 90, **more: Any) -> None:
        wait_until(lambda: self.covers(topic, ends, **more), f"{topic} is covered", timeout_s=timeout_s, pause_s=0.1)

    def holds(self, topic: str, **more: Any) -> dict[int, list[Any]]:
        """`oracle.assert_backup_holds` for this backup."""
        group = self.group_id or None
        return oracle.assert_backup_holds(self.store, self.layout, self.bootstrap, topic, group_id=group, **more)

    def keys(self, prefix: str = "") -> list[str]:
        below = self.layout.under(prefix)
        return [entry.key for entry in self.store.list(below) if isinstance(entry, ObjectInfo)]


MakeBackup = Callable[..., Backup]
