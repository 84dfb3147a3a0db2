"""Workers as Batch runs them: tried again after 75, one that fails for good beside others, state of earlier runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from local.processes import wait_until
from millpond.errors import MillpondError, RefusedForSafety
from millpond.storage.folder import FolderStore
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.faults.restore_process import REPOSITORY, Process
from tests.faults.s3_proxy import Call, Fault, FaultyS3, Rule
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


class Jobs:
    """The array jobs of one run on S3."""

    def __init__(self, aws: LocalAws, restore: Restore, bucket: str, units: int) -> None:
        self.aws, self.restore, self.bucket, self.units = aws, restore, bucket, units

    def start(self, unit: int, **more: str) -> subprocess.Popen[bytes]:
        told = {
            "MILLPOND_ARCHIVE": f"s3://{self.bucket}/kafka",
            "MILLPOND_TO_BROKERS": self.restore.bootstrap,
            "MILLPOND_RUN_ID": self.restore.run_id,
            "MILLPOND_UNITS": str(self.units),
            "AWS_BATCH_JOB_ARRAY_INDEX": str(unit),
        }
        env = {**self.aws.env(), **told, **more}
        return subprocess.Popen(
            [sys.executable, "-m", "batch_jobs.restore"], cwd=REPOSITORY, env=env, stderr=subprocess.PIPE
        )

    def run(self, **more: str) -> list[int]:
        """Exit codes of all units, side by side."""
        workers = [self.start(unit, **more) for unit in range(self.units)]
        said = [worker.communicate(timeout=90)[1].decode() for worker in workers]
        print("\n".join(said))
        assert not any("Traceback" in text for text in said)
        return [int(worker.returncode) for worker in workers]


def rows_of(partitions: int) -> dict[int, list[Any]]:
    return {number: make_rows(0, 300 + number, size=100) for number in range(partitions)}


@pytest.fixture
def archive(kafka: KafkaCluster, s3: Any, unique_name: Name) -> Restore:
    """In a bucket without versions."""
    bucket = unique_name("b")[:63]
    s3.create_bucket(Bucket=bucket)
    return Restore(kafka.bootstrap(), S3Store(bucket, client=s3))


def prepared(restore: Restore, topic: str, sent: Mapping[int, list[Any]], **more: Any) -> list[list[str]]:
    keys = []
    for number, rows in sent.items():
        keys.append([restore.add(topic, rows[at : at + 100], number) for at in range(0, len(rows), 100)])
    restore.plan(topic, **more)
    restore.prepare()
    return keys


def holds(restore: Restore, topic: str, sent: Mapping[int, list[Any]], target: str = "") -> None:
    where = oracle.Restored(restore.bootstrap, target or topic, topic)
    oracle.assert_restored(sent, restore.store, restore.layout, where)


def only_windows(bucket: str, rule: Rule) -> Rule:
    """Plan, chunks and results are spared, so that work begins."""
    return lambda call: rule(call) if unquote(call.path).startswith(f"/{bucket}/kafka/topics/") else None


def test_a_job_that_ends_with_75_is_tried_again_by_batch_and_ends_well(
    archive: Restore, aws: LocalAws, unique_name: Name
) -> None:
    """The store cuts its replies in the middle of each partition, then refuses everything, then nothing more."""
    topic, sent = unique_name("again"), rows_of(2)
    keys = prepared(archive, topic, sent)
    bucket = archive.store.bucket  # type: ignore[attr-defined]
    jobs = Jobs(aws, archive, bucket, 1)

    def third_window(call: Call) -> Fault | None:
        return Fault(cut_after=700) if any(key[2] in unquote(call.path) for key in keys) else None

    with FaultyS3(aws.url, third_window) as proxy:
        assert jobs.run(AWS_ENDPOINT_URL=proxy.url) == [75]
        assert archive.ends(topic) == {0: 200, 1: 200}
        proxy.rule = lambda _: Fault(status=503, code="SlowDown")
        assert jobs.run(AWS_ENDPOINT_URL=proxy.url) == [75]
        proxy.rule = lambda _: None
        assert jobs.run(AWS_ENDPOINT_URL=proxy.url) == [0]
        assert jobs.run(AWS_ENDPOINT_URL=proxy.url) == [0], "a job that is tried once more finds nothing to do"
    holds(archive, topic, sent)
    assert archive.reconcile()["written"] == 601


def test_one_unit_that_fails_for_good_leaves_the_others_whole_and_is_named(
    archive: Restore, aws: LocalAws, unique_name: Name
) -> None:
    topic, sent = unique_name("child"), rows_of(3)
    keys = prepared(archive, topic, sent)
    key, bucket = keys[1][1], archive.store.bucket  # type: ignore[attr-defined]
    jobs = Jobs(aws, archive, bucket, 3)
    damaged = lambda call: Fault(content=b"Obj\x01") if unquote(call.path).endswith(key) else None  # noqa: E731
    with FaultyS3(aws.url, only_windows(bucket, damaged)) as proxy:
        for _ in range(2):
            assert jobs.run(AWS_ENDPOINT_URL=proxy.url) == [0, 3, 0]
    holds(archive, topic, {0: sent[0], 2: sent[2]})
    with pytest.raises(MillpondError) as caught:
        archive.reconcile()
    assert "1 of 3" in str(caught.value) and f"{topic}-1" in str(caught.value) and key in str(caught.value)
    assert jobs.run() == [0, 0, 0]
    holds(archive, topic, sent)
    assert archive.reconcile()["written"] == sum(map(len, sent.values()))


def test_a_killed_runs_state_is_refused_to_another_run_and_its_own_goes_on(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    restore, topic = Restore(kafka.bootstrap(), FolderStore(tmp_path), run_id="one"), unique_name("t")
    sent = {number: make_rows(0, 20_000, size=50) for number in range(2)}
    for number, rows in sent.items():
        for at in range(0, len(rows), 4000):
            restore.add(topic, rows[at : at + 4000], number, block_records=500)
    process = Process(restore, (topic,), {"prefix": "p."}, pause_s=0.1).start()
    target = f"p.{topic}"
    try:
        wait_until(lambda: restore.run.find("prepared", f"{target}.json"), "the topic is prepared", timeout_s=60)
        wait_until(lambda: sum(restore.ends(target).values()) > 3000, "records land", timeout_s=60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    time.sleep(0.5)
    there = restore.ends(target)
    other = replace(restore, run_id="two")
    other.plan(topic, prefix="p.")
    with pytest.raises(RefusedForSafety, match="holds records that this run did not write") as caught:
        other.prepare()
    assert "--run-id" in caught.value.hint and caught.value.exit_code == 4
    assert other.run.find("prepared", f"{target}.json") is None and restore.ends(target) == there
    (error, *_) = other.work()
    assert isinstance(error, RefusedForSafety) and restore.ends(target) == there
    assert restore.work() == []
    holds(restore, topic, sent, target)
    assert restore.reconcile()["written"] == 40_000
