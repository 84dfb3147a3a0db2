"""Target brokers that die, freeze, slow down or run out of room while a restore writes to them: no record is lost or
written twice, and what ends with an error goes on under the same run id.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.processes import wait_until
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.restore.writing import session, target
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.faults.restore_process import Process
from tests.faults.test_backup_disk import a_small_disk, fill
from tests.faults.three_nodes import ThreeNodes
from tests.integration.kafka_requests import limit_client
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]
IMPATIENT = {"socket.timeout.ms": "3000", "request.timeout.ms": "2000"}


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker is killed here unless a test says so, and none stands still."""
    monkeypatch.setattr(target, "_STILL_S", 0.2)
    monkeypatch.setattr(target, "LIMIT_S", 0)


@pytest.fixture(scope="module")
def nodes3() -> Iterator[KafkaCluster]:
    """Three nodes for this module, soon to give up a follower; each test leaves all of them running."""
    from local.kafka import KafkaCluster
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster(3, config={"replica.lag.time.max.ms": 2000}) as cluster:
        yield cluster.wait_for_groups()


class Rig:
    """A restore that takes some seconds, and something that happens when it has come so far."""

    def __init__(self, bootstrap: str, folder: Path, topic: str, *, partitions: int = 1, count: int = 12_000) -> None:
        self.topic = topic
        self.restore = Restore(bootstrap, FolderStore(folder))
        self.sent: dict[int, list[Row]] = {number: make_rows(0, count, size=100) for number in range(partitions)}
        for number, rows in self.sent.items():
            for at in range(0, count, 3000):
                self.restore.add(topic, rows[at : at + 3000], number, block_records=250)

    def ready(self, replication: int, **more: Any) -> None:
        if replication > 1:
            self.restore.archived(self.topic, partitions=len(self.sent), replication=3, min_insync_replicas="2")
        self.restore.plan(self.topic, replication=replication, **more)
        self.restore.prepare()

    def work(self, happenings: Mapping[int, Callable[[], object]]) -> list[MillpondError]:
        """One worker that gives some 5,000 records a second; happenings by the number of records given."""
        left, given = dict(happenings), [0]

        def progress(count: int) -> None:
            given[0] += count
            time.sleep(0.05)
            for at in [at for at in sorted(left) if given[0] >= at]:
                left.pop(at)()

        errors = self.restore.work(progress=progress)
        while left and errors:  # what happened first ended the try
            assert {error.exit_code for error in errors} <= {75}, errors
            errors = self.restore.work(progress=progress)
        assert left == {}, "everything has happened"
        return errors

    def finish(self, errors: list[MillpondError]) -> None:
        """What went wrong asked for another try, and that or the next one ends well."""
        for _ in range(4):
            assert {error.exit_code for error in errors} <= {75}, errors
            if not errors:
                break
            errors = self.restore.work()
        assert errors == []
        self.assert_restored()

    def assert_restored(self) -> None:
        where = oracle.Restored(self.restore.bootstrap, self.topic, self.topic)
        oracle.assert_restored(self.sent, self.restore.store, self.restore.layout, where)
        assert self.restore.reconcile()["written"] == sum(map(len, self.sent.values()))


def leader(kafka: KafkaCluster, topic: str) -> int:
    return int(ThreeNodes(kafka, topic).partition().leader)


def whole_again(kafka: KafkaCluster, topic: str) -> None:
    for node in (1, 2, 3):
        if not kafka._node(node).running:
            kafka.start_node(node)
    ThreeNodes(kafka, topic).wait_in_sync()


def test_a_leader_killed_while_it_is_written_to(nodes3: KafkaCluster, tmp_path: Path, unique_name: Name) -> None:
    rig = Rig(nodes3.bootstrap(), tmp_path, unique_name("killed"))
    rig.ready(3)
    errors = rig.work({3000: lambda: nodes3.kill(leader(nodes3, rig.topic))})
    whole_again(nodes3, rig.topic)
    rig.finish(errors)


def test_every_node_is_killed_or_restarted_in_turn_the_controller_among_them(
    nodes3: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    rig, chance = Rig(nodes3.bootstrap(), tmp_path, unique_name("turn")), random.Random()
    rig.ready(3)

    def lose(node: int) -> None:
        (nodes3.kill if chance.random() < 0.5 else nodes3.stop_node)(node)
        whole_again(nodes3, rig.topic)

    rig.finish(rig.work({2000 * node: lambda node=node: lose(node) for node in (1, 2, 3)}))  # type: ignore[misc]


@contextmanager
def frozen(kafka: KafkaCluster, node: int) -> Iterator[None]:
    """It says nothing and hears nothing, as behind a broken network; connections stay."""
    process = kafka._node(node).process
    assert process is not None
    process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send(signal.SIGCONT)


def freeze_for(kafka: KafkaCluster, node: int, seconds: float) -> threading.Thread:
    def run() -> None:
        with frozen(kafka, node):
            time.sleep(seconds)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("replication", [1, 3])
def test_a_leader_that_is_silent_for_longer_than_the_clients_wait(
    nodes3: KafkaCluster, tmp_path: Path, unique_name: Name, replication: int
) -> None:
    """Its records may have landed although nobody was told; one copy must wait for it, of three another leads."""
    rig = Rig(nodes3.bootstrap(), tmp_path, unique_name("silent"), count=6000)
    rig.restore.cluster = Cluster(ClusterAddress(rig.restore.bootstrap, {**IMPATIENT, **as_text(oracle.QUICK)}))
    rig.ready(replication)
    threads: list[threading.Thread] = []
    freeze = lambda: threads.append(freeze_for(nodes3, leader(nodes3, rig.topic), 7))  # noqa: E731
    errors = rig.work({2000: freeze})
    threads[0].join()
    rig.finish(errors)
    whole_again(nodes3, rig.topic)


def as_text(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items()}


def test_a_worker_killed_while_a_follower_is_silent(nodes3: KafkaCluster, tmp_path: Path, unique_name: Name) -> None:
    """What it wrote last shows only when the follower is given up: until then the end seems to stand still."""
    rig = Rig(nodes3.bootstrap(), tmp_path, unique_name("hidden"))
    rig.ready(3)
    node = next(node for node in (1, 2, 3) if node != leader(nodes3, rig.topic))
    process = Process(rig.restore, (), steps=("work",), pause_s=0.05).start()
    try:
        wait_until(lambda: rig.restore.ends(rig.topic)[0] > 2000, "records land", timeout_s=60)
        freezing = freeze_for(nodes3, node, 6)
        time.sleep(1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    errors = rig.restore.work()
    freezing.join()
    whole_again(nodes3, rig.topic)
    rig.finish(errors)


def test_a_quota_makes_it_slow_and_nothing_else(kafka: KafkaCluster, tmp_path: Path, unique_name: Name) -> None:
    rig = Rig(kafka.bootstrap(), tmp_path, unique_name("quota"), partitions=2, count=6000)
    rig.ready(1)
    limit_client(kafka.bootstrap(), "producer_byte_rate", 40_000)
    try:
        began = time.monotonic()
        assert rig.restore.work() == []
        assert time.monotonic() - began > 3, "the brokers held it back"
    finally:
        limit_client(kafka.bootstrap(), "producer_byte_rate", None)
    rig.assert_restored()


def test_a_limit_that_somebody_lowers_meanwhile_stops_the_partition_and_is_lifted_by_preparing_again(
    kafka: KafkaCluster, tmp_path: Path, unique_name: Name
) -> None:
    rig = Rig(kafka.bootstrap(), tmp_path, unique_name("limit"), partitions=2, count=6000)
    large = [(6000, 1, b"k", random.Random(1).randbytes(300_000), ())]
    rig.restore.add(rig.topic, large, 0)
    rig.sent[0] += large
    rig.ready(1)
    lower = lambda: rig.restore.cluster.set_topic_config(rig.topic, {"max.message.bytes": "200000"})  # noqa: E731
    (error,) = rig.work({2000: lower})
    assert "MSG_SIZE_TOO_LARGE" in str(error) and f"cannot restore {rig.topic}-0" in str(error) and error.exit_code == 1
    assert rig.restore.ends(rig.topic) == {0: 6000, 1: 6000}
    rig.restore.prepare()
    assert rig.restore.work() == []
    rig.assert_restored()


def test_a_broker_whose_disk_is_full_ends_the_try_and_the_run_goes_on_when_there_is_room(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker stops when it cannot write: with one copy the partition has to wait for it."""
    with a_small_disk(tmp_path / "disk", "size=64m") as disk:
        kafka = kafka_factory(directory=disk / "kafka", config={"log.index.size.max.bytes": 1 << 16})
        (tmp_path / "archive").mkdir()
        rig = Rig(kafka.bootstrap(), tmp_path / "archive", unique_name("full"), count=9000)
        rig.restore.cluster = Cluster(ClusterAddress(rig.restore.bootstrap, {**IMPATIENT, **as_text(oracle.QUICK)}))
        rig.ready(1)
        try:
            with monkeypatch.context() as patch:
                full = lambda: (fill(disk / "ballast"), patch.setattr(session, "_FLUSH_S", 4))  # noqa: E731
                (error,) = rig.work({3000: full})
            assert error.exit_code == 75, error
            (disk / "ballast").unlink()
            if kafka._node(1).running:
                kafka.kill(1)
            kafka.start_node(1)
            assert rig.restore.work() == []
            rig.assert_restored()
        finally:
            kafka.stop(clean=False)
