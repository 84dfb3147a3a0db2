"""An S3 that refuses, hangs or answers wrongly, and one whose objects vanish: nothing is lost or committed early."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.archive.facts import Redaction
from millpond.archive.keys import Layout
from millpond.archive.window import open_window
from millpond.backup.options import Rotation
from millpond.cli.main import main
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, read
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.faults.backup_process import Rig, s3_through
from tests.faults.s3_proxy import Call, Fault, FaultyS3
from tests.integration.backup_runs import Backup
from tests.unit.builders import make_window

Name = Callable[[str], str]


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the client between tries, and of the backup behind them."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)
    monkeypatch.setattr("millpond.backup.upload._LONGEST_PAUSE_S", 1.0)


def own(rig: Rig, store: Any = None) -> Backup:
    """Under the archive's own group, from this process."""
    told = (store or S3Store(rig.bucket, client=rig.s3), rig.bootstrap, rig.folder / "spool", (rig.topic,))
    return Backup(*told, Layout("kafka"))


class Switch:
    """A rule that can be turned on and off; it counts what it has spoilt."""

    def __init__(self, fault: Fault, concerns: Callable[[Call], bool]) -> None:
        self.fault, self.concerns, self.on, self.spoilt = fault, concerns, threading.Event(), 0

    def __call__(self, call: Call) -> Fault | None:
        if not self.on.is_set() or not self.concerns(call):
            return None
        self.spoilt += 1
        return self.fault

    @contextmanager
    def for_calls(self, count: int) -> Iterator[None]:
        """On until so many calls were spoilt at least."""
        self.on.set()
        yield
        wait_until(lambda: self.spoilt >= count, f"{count} calls are spoilt")
        self.on.clear()


def is_window(call: Call) -> bool:
    return call.method == "PUT" and "/topics/" in call.path


def is_listing(call: Call) -> bool:
    return call.method == "GET" and "list-type" in call.query and "topics" in call.query


# -- puts


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500, code="InternalError"),
        Fault(status=503, code="SlowDown"),
        Fault(status=503, code="SlowDown", forward=True),
        Fault(status=409, code="ConditionalRequestConflict"),
        Fault(status=403, code="AccessDenied"),
        Fault(status=404, code="NoSuchBucket"),
        Fault(status=400, code="ExpiredToken"),
        Fault(status=400, code="Odd"),
        Fault(delay_s=4.0),
        Fault(delay_s=4.0, forward=True),
        Fault(reset=True),
        Fault(reset=True, forward=True),
    ],
    ids=lambda f: (f.code or ("reset" if f.reset else "timeout")) + (" after it was done" if f.forward else ""),
)
def test_puts_that_fail_for_a_while_are_done_in_the_end_and_once(rig: Rig, fault: Fault) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    rule = Switch(fault, is_window)
    with FaultyS3(rig.aws.url, rule) as proxy:
        store = s3_through(proxy, rig.bucket, **({"read_timeout": 2} if fault.delay_s else {}))
        with own(rig, store).running():
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=20, seed=1)
            rig.backup.wait_covered(rig.topic)
            with rule.for_calls(8):
                oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=20, seed=2)
                time.sleep(0.5)
                rig.assert_holds(complete=False)
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=3, count=20, seed=3)
            rig.backup.wait_covered(rig.topic)
    rig.assert_every_record_once()


def test_a_put_that_hangs_holds_up_its_own_partition_alone(rig: Rig) -> None:
    """Of that one no more than a few windows are read; the others are stored at their times."""
    oracle.make_topic(rig.bootstrap, rig.topic, 3)
    gate = threading.Event()

    def rule(call: Call) -> Fault | None:
        if is_window(call) and f"{rig.topic}-0-" in call.path:
            gate.wait(280)
        return None

    values = [bytes([n % 256]) * 1000 for n in range(200)]
    with FaultyS3(rig.aws.url, rule) as proxy:
        backup = own(rig, s3_through(proxy, rig.bucket, read_timeout=300))
        with backup.running(rotation=Rotation(0.4, max_records=50)):
            for _ in range(10):
                for number in range(3):
                    oracle.produce(rig.bootstrap, rig.topic, values, partition=number)
            rig.backup.wait_covered(rig.topic, {1: 2000, 2: 2000})
            assert rig.backup.folders(rig.topic).get(0) is None
            oracle.assert_commits_are_not_ahead(backup.store, backup.layout, rig.bootstrap, rig.topic)
            gate.set()
            rig.backup.wait_covered(rig.topic)
    rig.assert_every_record_once()


def test_puts_that_take_long_keep_everything_in_order(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 6)
    slow = Switch(Fault(delay_s=1.5), is_window)
    slow.on.set()
    with FaultyS3(rig.aws.url, slow) as proxy, own(rig, s3_through(proxy, rig.bucket)).running():
        for seed in range(4):
            oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=6, count=10, seed=seed)
            time.sleep(0.5)
        oracle.assert_commits_are_not_ahead(rig.backup.store, Layout("kafka"), rig.bootstrap, rig.topic)
        rig.backup.wait_covered(rig.topic)
    rig.assert_every_record_once()


# -- listings


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, code="SlowDown"),
        Fault(status=403, code="AccessDenied"),
        Fault(cut_after=100),
        Fault(reset=True),
        Fault(delay_s=4.0),
    ],
    ids=["SlowDown", "AccessDenied", "cut", "reset", "timeout"],
)
def test_an_archive_that_cannot_be_listed_is_not_an_empty_one(rig: Rig, fault: Fault) -> None:
    """Nothing is read before the position is known, so nothing is stored twice."""
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=20, seed=1)
    own(rig).once()
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=2, count=20, seed=2)
    before = set(rig.backup.keys("topics"))
    rule = Switch(fault, is_listing)
    with FaultyS3(rig.aws.url, rule) as proxy:
        store = s3_through(proxy, rig.bucket, **({"read_timeout": 2} if fault.delay_s else {}))
        rule.on.set()
        with own(rig, store).running(retry_stopped_s=1.0):
            wait_until(lambda: rule.spoilt >= 4, "listings fail")
            assert set(rig.backup.keys("topics")) == before
            rule.on.clear()
            rig.backup.wait_covered(rig.topic)
    rig.assert_every_record_once()


# -- somebody else's window under the name


class Rival(S3Store):
    """Another worker is always a moment faster with a window: it has what `made` makes of ours."""

    def __init__(self, bucket: str, client: Any, made: Callable[..., Any]) -> None:
        super().__init__(bucket, client=client)
        self._made = made

    def put_if_absent(self, key: str, body: Body, metadata: Any = NO_METADATA) -> ObjectInfo:
        if key.endswith(".avro") and "-d" not in key.rsplit("/", 1)[1][-15:]:
            content = body.read() if not isinstance(body, bytes) else body
            window = open_window(io.BytesIO(content))
            rows = [row for block in window.blocks() for row in block.rows()]
            theirs = self._made(rows, window.facts)
            super().put_if_absent(key, theirs.data, theirs.facts.to_object_metadata())
            body = content
        return super().put_if_absent(key, body, metadata)


def built(rows: Any, facts: Any, **more: Any) -> Any:
    told = {"partition": facts.partition, "first": facts.first, "last": facts.last, "epoch": facts.leader_epoch}
    told |= {"timestamp_type": facts.timestamp_type, "archive_id": facts.archive_id}
    window = make_window(rows, **(told | more))
    stamps = {"min_timestamp": facts.min_timestamp, "max_timestamp": facts.max_timestamp}
    assert replace(window.facts, **stamps).name == facts.name
    return window


def same(rows: Any, facts: Any) -> Any:
    return built(rows, facts, codec="deflate")


def other(rows: Any, facts: Any) -> Any:
    return built([(*rows[0][:3], b"another value", *rows[0][4:]), *rows[1:]], facts)


def redacted(rows: Any, facts: Any) -> Any:
    return built(rows[:2] + rows[3:], facts, redactions=(Redaction("sweep", 1, 0, 0, 5),))


@pytest.mark.parametrize("made", [same, redacted])
def test_the_same_window_of_another_worker_serves_whatever_its_codec_and_salt_and_so_does_a_redacted_one(
    rig: Rig, made: Callable[..., Any]
) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 2)
    for number in range(2):
        oracle.produce(rig.bootstrap, rig.topic, [b"%d" % n for n in range(10)], partition=number)
    assert own(rig, Rival(rig.bucket, rig.s3, made)).once() == {(rig.topic, number): 10 for number in range(2)}
    assert rig.spans() == {number: [(0, 9)] for number in range(2)}
    held = oracle.read_archive_records(rig.backup.store, Layout("kafka"), rig.topic)
    offsets = [n for n in range(10) if made is same or n != 2]
    assert {number: [r.offset for r in records] for number, records in held.items()} == {0: offsets, 1: offsets}
    oracle.assert_commits_are_not_ahead(rig.backup.store, Layout("kafka"), rig.bootstrap, rig.topic)
    before = rig.backup.keys("topics")
    own(rig).once()
    assert rig.backup.keys("topics") == before


def test_other_records_under_the_name_stay_and_ours_go_beside_them_once(rig: Rig) -> None:
    topic_id = oracle.make_topic(rig.bootstrap, rig.topic)
    oracle.produce(rig.bootstrap, rig.topic, [b"%d" % n for n in range(10)])
    own(rig, Rival(rig.bucket, rig.s3, other)).once()
    before = rig.backup.keys("topics")
    own(rig).once()
    assert rig.backup.keys("topics") == before
    archive_id = json.loads(read(rig.backup.store, Layout("kafka").identity))["archive_id"]
    windows = rig.backup.folders(rig.topic)[0].windows
    told = (archive_id, rig.topic, topic_id, 0)
    found = [oracle.read_window_object(rig.backup.store, window, *told)[2] for window in windows]
    true = oracle.read_topic(rig.bootstrap, rig.topic)[0]
    assert sorted(records == true for records in found) == [False, True]


# -- objects that vanish


def three_windows(rig: Rig) -> list[str]:
    """Offsets 0 to 14; their keys in order."""
    oracle.make_topic(rig.bootstrap, rig.topic)
    for n in range(3):
        oracle.produce(rig.bootstrap, rig.topic, [b"%d" % n] * 5)
        own(rig).once()
    return sorted(window.key for window in rig.backup.folders(rig.topic)[0].windows)


def events(rig: Rig) -> list[tuple[str, Any]]:
    keys = [key for key in rig.backup.keys(f"topics/{rig.topic}") if "/events/" in key]
    return [(key.split("-")[-1], json.loads(read(rig.backup.store, key)).get("missing")) for key in keys]


def info(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `millpond info`."""
    for name, value in rig.aws.settings().items():
        monkeypatch.setenv(name, value)
    return main(["info", "--archive", f"s3://{rig.bucket}/kafka"])


VANISHED: dict[str, tuple[slice, list[list[int]]]] = {
    "newest": (slice(2, 3), [[10, 14]]),
    "middle": (slice(1, 2), [[5, 9]]),
    "all": (slice(0, 3), [[0, 14]]),
}


@pytest.mark.parametrize("which", VANISHED)
def test_objects_that_vanished_are_filled_from_kafka_and_told(
    rig: Rig, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, missing = VANISHED[which]
    keys = three_windows(rig)
    rig.vanish(*keys[gone])
    assert info(rig, monkeypatch) == (3 if which == "middle" else 0), "names alone show a hole, not a lost end"
    oracle.produce(rig.bootstrap, rig.topic, [b"new"] * 5)
    own(rig).once()
    rig.assert_every_record_once()
    assert events(rig) == [("missing.json", missing)]
    assert rig.backup.folders(rig.topic)[0].markers == []
    own(rig).once()
    assert len(events(rig)) == 1, "told once"
    assert info(rig, monkeypatch) == 0


@pytest.mark.parametrize("which", VANISHED)
def test_objects_that_kafka_has_no_more_either_stay_a_hole(
    rig: Rig, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention has passed them since, but was not why they are not there."""
    gone, missing = VANISHED[which]
    keys = three_windows(rig)
    rig.vanish(*keys[gone])
    oracle.produce(rig.bootstrap, rig.topic, [b"new"] * 5)
    admin = AdminClient({"bootstrap.servers": rig.bootstrap})
    for future in admin.delete_records([TopicPartition(rig.topic, 0, 15)]).values():
        future.result(10)
    own(rig).once()
    folder = rig.backup.folders(rig.topic)[0]
    assert folder.markers == []
    assert folder.holes() == list(range(missing[0][0], missing[0][1] + 1))
    assert folder.end == 20
    assert events(rig) == [("missing.json", missing)]
    assert info(rig, monkeypatch) == 3
    own(rig).once()
    assert len(events(rig)) == 1, "told once"
    oracle.assert_commits_are_not_ahead(rig.backup.store, Layout("kafka"), rig.bootstrap, rig.topic)


@pytest.mark.parametrize("which", VANISHED)
def test_objects_that_vanish_under_a_running_backup_are_filled_by_the_next_start(rig: Rig, which: str) -> None:
    gone, _ = VANISHED[which]
    keys = three_windows(rig)
    with own(rig).running():
        oracle.produce(rig.bootstrap, rig.topic, [b"x"] * 5)
        rig.backup.wait_covered(rig.topic)
        keys = sorted(window.key for window in rig.backup.folders(rig.topic)[0].windows)
        rig.vanish(*(keys if which == "all" else keys[gone]))
        oracle.produce(rig.bootstrap, rig.topic, [b"y"] * 5)
        rig.backup.wait_covered(rig.topic)
    own(rig).once()
    rig.assert_every_record_once()
    assert [kind for kind, _ in events(rig)] == ["missing.json"]
    assert rig.backup.folders(rig.topic)[0].markers == []
