"""The consumer as a process of its own, records that keep coming, and what holds after any fault."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from local.aws import LocalAws
from local.processes import Child, wait_until
from millpond.archive.keys import Layout
from millpond.errors import TryAgain
from millpond.storage.s3 import SETTINGS, S3Store
from tests import oracle
from tests.faults.s3_proxy import FaultyS3
from tests.integration.backup_runs import Backup

ROUNDS = int(os.environ.get("MILLPOND_FAULT_ROUNDS", "3"))
COMMAND = ("tests.faults.crashing_backup",)


class Process:
    """The consumer as ECS runs it, with settings in the environment.

    Args:
        instance: Static membership, so that a restart need not wait for the session's end; "" for none.
        session_ms: Longer where nobody dies, so that a busy machine does not look like it.
        endpoint: Of S3, where it is not the local AWS's own.
    """

    def __init__(
        self,
        aws: LocalAws,
        bucket: str,
        bootstrap: str,
        topic: str,
        folder: Path,
        *,
        instance: str = "one",
        session_ms: int = 6000,
        endpoint: str = "",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.spool, self.log = folder / "spool", folder / "log"
        client = {"session.timeout.ms": str(session_ms), "heartbeat.interval.ms": "300"}
        client |= {k: str(v) for k, v in oracle.QUICK.items()} | ({"group.instance.id": instance} if instance else {})
        self._env = {
            **aws.env(),
            **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
            "MILLPOND_METRICS_PORT": "0",
            "MILLPOND_ARCHIVE": f"s3://{bucket}/kafka",
            "MILLPOND_BROKERS": bootstrap,
            "MILLPOND_KAFKA": json.dumps(client),
            "MILLPOND_TOPICS": topic,
            "MILLPOND_SPOOL": str(self.spool),
            "MILLPOND_MAX_AGE": "0.3",
            "MILLPOND_MAX_BYTES": "20000",
            "MILLPOND_SNAPSHOT_EVERY": "0",
            "MILLPOND_LOG_LEVEL": "INFO",
        }

    def start(self, *words: str, **more: str) -> Child:
        command = [sys.executable, "-m", *(words or COMMAND)]
        return Child(command, output=self.log, env=self._env | more)

    def once(self, *flags: str, **more: str) -> int:
        """`millpond backup --once`; its exit code."""
        return self.start("millpond.cli.main", "backup", "--once", *flags, **more).wait(200)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_said(self, words: str, times: int = 1, timeout_s: float = 90) -> None:
        try:
            wait_until(lambda: self.said().count(words) >= times, f"{words!r} is said", timeout_s=timeout_s)
        except TryAgain as late:
            raise AssertionError(f"{late.args[0]}; it said:\n{self.said()[-20_000:]}") from late

    def blocks(self) -> list[Path]:
        return list(self.spool.rglob("*.blocks"))


@dataclass
class Rig:
    """One archive: the processes that write it, and the same archive seen from here.

    `backup` is of a group of its own, so that it need not wait for a dead member.
    """

    aws: LocalAws
    s3: Any
    bucket: str
    bootstrap: str
    topic: str
    folder: Path

    def process(self, name: str = "one", **more: Any) -> Process:
        return Process(self.aws, self.bucket, self.bootstrap, self.topic, self.folder / name, **more)

    @property
    def backup(self) -> Backup:
        store = S3Store(self.bucket, client=self.s3)
        told = (store, self.bootstrap, self.folder / "here", (self.topic,), Layout("kafka"))
        return Backup(*told, group_id=f"{self.topic}-after")

    def assert_holds(self, *, complete: bool = True) -> None:
        """The oracle, for the processes' own group; no object was ever written over or deleted."""
        backup = self.backup
        oracle.assert_backup_holds(backup.store, backup.layout, self.bootstrap, self.topic, complete=complete)
        versions = Counter(one.info.key for one in backup.store.list_versions("kafka/topics/"))
        assert {key: count for key, count in versions.items() if count > 1} == {}

    def vanish(self, *keys: str) -> None:
        """As if somebody deleted the objects with all their versions."""
        store = self.backup.store
        for key in keys:
            for one in list(store.list_versions(key)):
                store.delete_version(one.info.key, one.info.version)

    def spans(self) -> dict[int, list[tuple[int, int]]]:
        """What each object and marker covers, in order."""
        folders = self.backup.folders(self.topic)
        return {
            number: sorted([(w.first, w.last) for w in folder.windows] + [(m[0], m[1]) for m in folder.markers])
            for number, folder in folders.items()
        }

    def assert_every_record_once(self) -> None:
        """`assert_holds`, and no offset in two objects: nothing was written twice."""
        self.assert_holds()
        for number, spans in self.spans().items():
            firsts = [0] + [last + 1 for _, last in spans]
            assert [first for first, _ in spans] == firsts[:-1], f"{self.topic}-{number}: {spans}"

    @contextmanager
    def load(self, partitions: int, count: int = 4) -> Iterator[None]:
        """Odd records to each partition until the block ends."""
        stop, failed = threading.Event(), []

        def produce() -> None:
            seed = random.randrange(10**6)
            try:
                while not stop.is_set():
                    seed += 1
                    oracle.produce_odd_records(
                        self.bootstrap, self.topic, partitions=partitions, count=count, seed=seed
                    )
            except BaseException as error:  # noqa: BLE001  # raised again by the test
                failed.append(error)

        thread = threading.Thread(target=produce)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]


def s3_through(proxy: FaultyS3, bucket: str, **more: Any) -> S3Store:
    """Gives up after two tries, so that what is tested is the backup's patience."""
    quick = SETTINGS.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}, **more))
    session = boto3.Session("test", "test", region_name="us-east-1")
    return S3Store(bucket, client=session.client("s3", endpoint_url=proxy.url, config=quick))
