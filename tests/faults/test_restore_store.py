"""An S3 that answers late, wrongly, half or not at all while a worker restores: what passes goes unnoticed, what does
not ends with 75, and the run that is started again is exact.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from millpond.errors import MillpondError, TryAgain
from millpond.restore.writing import target
from millpond.storage.s3 import SETTINGS, S3Store
from tests import oracle
from tests.faults.s3_proxy import Call, Fault, FaultyS3, Rule
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
FAULTS = {
    "slow down": Fault(status=503, code="SlowDown"),
    "internal error": Fault(status=500, code="InternalError"),
    "reset": Fault(reset=True),
    "answer lost": Fault(forward=True, status=500, code="InternalError"),
    "timeout": Fault(delay_s=0.5),
    "latency": Fault(delay_s=0.05),
    "cut": Fault(cut_after=600),
    "altered": Fault(flip_byte=-90),
}
PASSING = ("slow down", "internal error", "reset", "answer lost", "timeout", "latency")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here, and no long waits between botocore's tries."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr("millpond.storage.s3.random.uniform", lambda *_: 0.01)


class Rig:
    """An archive on S3, planned and prepared, and workers that see it through the proxy."""

    def __init__(self, aws: LocalAws, s3: Any, bucket: str, bootstrap: str, topic: str) -> None:
        self.aws, self.topic = aws, topic
        self.restore = Restore(bootstrap, S3Store(bucket, client=s3))
        self.sent = {number: make_rows(0, 400 + number, size=60) for number in range(3)}
        for number, rows in self.sent.items():
            for at in range(0, len(rows), 100):
                self.restore.add(topic, rows[at : at + 100], number, block_records=20)

    def ready(self) -> None:
        self.restore.plan(self.topic)
        self.restore.prepare()

    def through(self, proxy: FaultyS3, **more: Any) -> Restore:
        """more: settings of botocore."""
        quick = SETTINGS.merge(Config(**more))
        session = boto3.Session("test", "test", region_name="us-east-1")
        store = S3Store(
            self.restore.store.bucket,  # type: ignore[attr-defined]
            client=session.client("s3", endpoint_url=proxy.url, config=quick),
        )
        return Restore(self.restore.bootstrap, store)

    def work(self, rule: Rule, **more: Any) -> list[MillpondError]:
        """One worker; what it raises counts as what it returns."""
        with FaultyS3(self.aws.url, rule) as proxy:
            try:
                return self.through(proxy, **more).work()
            except TryAgain as error:
                return [error]

    def assert_restored(self) -> None:
        where = oracle.Restored(self.restore.bootstrap, self.topic, self.topic)
        oracle.assert_restored(self.sent, self.restore.store, LAYOUT, where)
        assert self.restore.reconcile()["written"] == sum(map(len, self.sent.values()))


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"))


def of_each_key(count: int, faults: list[Fault]) -> Rule:
    """The first calls of each method to each key go wrong, in another way each."""
    chance, lock = random.Random(1), threading.Lock()

    def rule(call: Call) -> Fault | None:
        with lock:
            return chance.choice(faults) if call.nth <= count else None

    return rule


def test_what_passes_after_some_tries_goes_unnoticed_from_the_plan_to_the_report(rig: Rig) -> None:
    """Of every object and listing the first two calls fail."""
    with FaultyS3(rig.aws.url, of_each_key(2, [FAULTS[name] for name in PASSING])) as proxy:
        restore = rig.through(proxy, read_timeout=0.3, retries={"mode": "standard", "total_max_attempts": 30})
        restore.plan(rig.topic)
        restore.prepare()
        assert restore.work() == []
        assert restore.reconcile()["written"] == sum(map(len, rig.sent.values()))
        assert sum(call.nth == 3 for call in proxy.calls) > 20
    rig.assert_restored()


@pytest.mark.parametrize("name", ["slow down", "reset", "cut", "altered"])
def test_what_does_not_pass_ends_with_75_and_the_next_worker_goes_on(rig: Rig, name: str) -> None:
    """From the third window of a partition on nothing is read any more."""
    rig.ready()

    def rule(call: Call) -> Fault | None:
        window = call.method == "GET" and "/topics/" in call.path
        return FAULTS[name] if window and "0000000000000000200-" in call.path else None

    errors = rig.work(rule)
    assert len(errors) == 3 and {error.exit_code for error in errors} == {75}
    assert set(rig.restore.ends(rig.topic).values()) <= set(range(200, 301))
    assert rig.restore.work() == []
    rig.assert_restored()


def test_a_store_that_takes_no_chunk_and_no_result_leaves_a_run_that_goes_on(rig: Rig) -> None:
    """Also what went wrong cannot be written down then."""
    rig.ready()
    for part in ("/offset-map/", "/results/", "/runs/"):

        def rule(call: Call, part: str = part) -> Fault | None:
            return FAULTS["slow down"] if call.method == "PUT" and part in call.path else None

        errors = rig.work(rule)
        assert errors and {error.exit_code for error in errors} == {75}, part
    assert rig.restore.work() == []
    rig.assert_restored()


@pytest.mark.parametrize("at", [5, -90])
def test_a_plan_that_is_altered_on_its_way_is_read_again_later(rig: Rig, at: int) -> None:
    """In its first line and in its last: such a line may be no JSON any more, and nobody may take it for damaged."""
    rig.ready()
    altered = Fault(flip_byte=at)
    errors = rig.work(lambda call: altered if call.method == "GET" and call.path.endswith("plan.jsonl") else None)
    assert [error.exit_code for error in errors] == [75] and "checksum" in str(errors[0])
    assert rig.restore.work() == []
    rig.assert_restored()


def test_random_faults_in_a_storm_end_with_every_record_once(rig: Rig) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance, lock, faults = random.Random(seed), threading.Lock(), list(FAULTS.values())
    rig.ready()

    def storm(call: Call) -> Fault | None:
        with lock:
            return chance.choice(faults) if chance.random() < 0.3 else None

    for _ in range(60):
        errors = rig.work(storm, read_timeout=0.3)
        assert {error.exit_code for error in errors} <= {75}, errors
        if not errors:
            break
    else:
        assert rig.restore.work() == []
    rig.assert_restored()
