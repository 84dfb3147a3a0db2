"""A backup of a real broker on the local AWS's S3, on a folder, and through outages; `tests.oracle` is the judge."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.backup import consumer as backup_consumer
from millpond.backup import waiting
from millpond.errors import MillpondError, RefusedForSafety, TryAgain
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, read
from millpond.storage.memory import MemoryStore
from millpond.storage.s3 import SETTINGS, S3Store
from millpond.storage.urls import open_store
from tests.faults.s3_proxy import Call, Fault, FaultyS3
from tests.integration.backup_runs import Backup
from tests.oracle import (
    commits,
    delete_topic,
    ends_of,
    incarnations,
    make_topic,
    produce,
    produce_odd_records,
    produce_transaction,
    read_archive_records,
    read_topic,
    starts_of,
    topic_id_of,
)
from tests.unit.builders import a_partition, make_window, put_window

Name = Callable[[str], str]
MANY = 3_000


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def topic(unique_name: Name) -> str:
    return unique_name("t")


@pytest.fixture
def backup(bootstrap: str, topic: str, tmp_path: Path) -> Backup:
    """Of the test's topic, to memory."""
    return Backup(MemoryStore(), bootstrap, tmp_path / "spool", (topic,))


def another(backup: Backup, tmp_path: Path, **more: Any) -> Backup:
    """A second process of the same archive, or with `more` of another."""
    told = {"store": backup.store, "topics": backup.topics, "layout": backup.layout} | more
    return Backup(bootstrap=backup.bootstrap, spool=tmp_path / "spool-2", **told)


def markers(backup: Backup, topic: str) -> dict[int, list[tuple[int, int, str]]]:
    return {number: folder.markers for number, folder in backup.folders(topic).items() if folder.markers}


def without_records(backup: Backup, topic: str) -> dict[int, list[tuple[int, int]]]:
    """Windows that are there for their epoch alone."""
    folders = backup.folders(topic).items()
    found = {n: [(w.first, w.end) for w in folder.windows if "-t-1--1.avro" in w.key] for n, folder in folders}
    return {number: spans for number, spans in found.items() if spans}


# -- once


def test_once_holds_odd_records_field_by_field_and_a_second_run_adds_only_what_is_new(
    bootstrap: str, topic: str, tmp_path: Path, s3: Any, bucket: str
) -> None:
    make_topic(bootstrap, topic, 4)
    produce_odd_records(bootstrap, topic, partitions=2, seed=time.time_ns() % 1000)
    produce_transaction(bootstrap, topic, [b"never seen"] * 3, partition=2, commit=False)
    backup = Backup(S3Store(bucket, client=s3), bootstrap, tmp_path / "spool", (topic,))
    ends = backup.once()
    assert ends == {(topic, number): end for number, end in ends_of(bootstrap, topic).items()}
    held = backup.holds(topic)
    assert {n for n in held if held[n]} == {0, 1}, "partition 2 has an empty window, the idle partition 3 nothing"
    assert (without_records(backup, topic), markers(backup, topic)) == ({2: [(0, 3)]}, {})

    before = set(backup.keys("topics"))
    backup.once()
    assert set(backup.keys("topics")) == before
    produce(bootstrap, topic, [b"new"], partition=1)
    produce(bootstrap, topic, [b"first"], partition=3)
    backup.once()
    new = set(backup.keys("topics")) - before
    assert sorted(key.split("/")[-2] for key in new) == ["1", "3"]
    backup.holds(topic)
    assert list((tmp_path / "spool").glob("*.blocks")) == []


def test_once_holds_odd_records_in_a_folder(bootstrap: str, topic: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    make_topic(bootstrap, topic, 2)
    produce_odd_records(bootstrap, topic, partitions=2, count=60, seed=2)
    store, prefix = open_store(f"file://{tmp_path}/archive")
    backup = Backup(store, bootstrap, tmp_path / "spool", (topic,), Layout(prefix))
    backup.once()
    backup.holds(topic)


def test_once_stops_before_an_open_transaction_and_goes_on_when_it_is_over(backup: Backup, topic: str) -> None:
    make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"a", b"b"])
    open_one = Producer({"bootstrap.servers": backup.bootstrap, "transactional.id": topic, "linger.ms": 0})
    open_one.init_transactions(30)
    open_one.begin_transaction()
    open_one.produce(topic, b"undecided")
    assert open_one.flush(60) == 0
    produce(backup.bootstrap, topic, [b"behind"])
    assert backup.once() == {(topic, 0): 2}
    assert [r.value for r in backup.holds(topic)[0]] == [b"a", b"b"]
    open_one.commit_transaction(60)
    wait_until(lambda: ends_of(backup.bootstrap, topic)[0] == 5, "its end is in the log")
    assert backup.once() == {(topic, 0): 5}
    assert [r.value for r in backup.holds(topic)[0]] == [b"a", b"b", b"undecided", b"behind"]


def test_a_change_of_the_timestamp_type_parts_windows(backup: Backup, topic: str) -> None:
    make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"a", b"b"])
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin = AdminClient({"bootstrap.servers": backup.bootstrap})  # its futures end with it
    admin.incremental_alter_configs([resource])[resource].result(10)
    produce(backup.bootstrap, topic, [b"c"])
    wait_until(lambda: ends_of(backup.bootstrap, topic)[0] == 3, "all is written")
    backup.once()
    backup.holds(topic)
    kinds = [w.key for w in backup.folders(topic)[0].windows]
    assert len(kinds) == 2


def test_a_record_of_10_mib(backup: Backup, topic: str) -> None:
    make_topic(backup.bootstrap, topic, max_message_bytes=str(12 << 20))
    produce(backup.bootstrap, topic, [b"before", bytes(10 << 20), b"behind"])
    backup.once()
    assert [len(r.value) for r in backup.holds(topic)[0]] == [6, 10 << 20, 6]


def test_excluded_topics_are_left_out(bootstrap: str, unique_name: Name, tmp_path: Path) -> None:
    base = unique_name("x")
    for name in ("orders", "orders.secret", "other"):
        make_topic(bootstrap, f"{base}.{name}")
        produce(bootstrap, f"{base}.{name}", [b"x"])
    told = (f"{base}\\.orders.*",), Layout("kafka"), (r".*\.secret",)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", *told)
    assert backup.once() == {(f"{base}.orders", 0): 1}
    assert {key.split("/")[2] for key in backup.keys("topics")} == {f"{base}.orders"}


def test_a_hole_in_the_middle_is_filled_by_the_next_run(backup: Backup, topic: str) -> None:
    """`once` used to end at once where the newest window reached the end."""
    make_topic(backup.bootstrap, topic)
    for n in range(3):
        produce(backup.bootstrap, topic, [b"%d" % n] * 5)
        backup.once()
    (second,) = [w.key for w in backup.folders(topic)[0].windows if w.first == 5]
    backup.store.delete_version(second, "")
    info = backup.store.head(second)
    assert info
    backup.store.delete_version(second, info.version)
    assert backup.folders(topic)[0].holes() == [5, 6, 7, 8, 9]
    backup.once()
    backup.holds(topic)


# -- while running


def test_a_record_alone_reaches_s3_within_its_age_without_further_traffic(
    bootstrap: str, topic: str, tmp_path: Path, s3: Any, bucket: str
) -> None:
    make_topic(bootstrap, topic, 2)
    produce(bootstrap, topic, [b"first"])
    backup = Backup(S3Store(bucket, client=s3), bootstrap, tmp_path / "spool", (topic,), max_age_s=1.0)
    with backup.running():
        backup.wait_covered(topic)
        took = []
        for end in range(2, 7):  # the best of five, on a machine that does other things
            produce(bootstrap, topic, [b"alone"])
            began = time.monotonic()
            backup.wait_covered(topic, {0: end})
            took.append(time.monotonic() - began)
        assert min(took) < 1.2 * backup.max_age_s + backup.confirm_after_s + 1.5, "age, a fifth, confirmation, upload"
        group = "millpond-" + json.loads(read(backup.store, backup.layout.identity))["archive_id"]
        wait_until(lambda: commits(bootstrap, group).get((topic, 0), (0, ""))[0] == 6, "the commit follows")
        produce_transaction(bootstrap, topic, [b"never"], partition=1, commit=False)
        backup.wait_covered(topic, {1: 2})
    backup.holds(topic)
    assert (without_records(backup, topic), markers(backup, topic)) == ({1: [(0, 1)]}, {})


def test_new_topics_and_partitions_are_found_and_read_from_their_beginning(
    bootstrap: str, unique_name: Name, tmp_path: Path
) -> None:
    base = unique_name("found")
    old, new = f"{base}-old", f"{base}-new"
    make_topic(bootstrap, old)
    produce(bootstrap, old, [b"x"])
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", (f"{base}-.*",))
    with backup.running():
        backup.wait_covered(old)
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_partitions([NewPartitions(old, 3)])[old].result(10)
        make_topic(bootstrap, new, 2)
        wait_until(lambda: topic_id_of(bootstrap, old, 3), "three partitions")
        for number in (1, 2):
            produce(bootstrap, old, [b"early"] * 5, partition=number)
        for number in (0, 1):
            produce(bootstrap, new, [b"early"] * 5, partition=number)
        backup.wait_covered(new)
        backup.wait_covered(old)
    backup.holds(old)
    backup.holds(new)


@pytest.mark.parametrize(
    ("partitions", "records", "discover_every_s"),
    [(2, 2, 0.5), (2, 40, 0.5), (2, 40, 600.0), (1, 40, 0.5)],
    ids=["shorter", "longer", "longer, found by the confirmation", "fewer partitions"],
)
def test_a_topic_made_again_while_running_keeps_both_lives_apart(
    backup: Backup, topic: str, partitions: int, records: int, discover_every_s: float
) -> None:
    """`longer` is the silent case: the consumer goes on inside the new life. With fewer partitions than the group hands
    out, the search for positions used to end the whole backup."""
    bootstrap = backup.bootstrap
    first = make_topic(bootstrap, topic, 2)
    for number in (0, 1):
        produce(bootstrap, topic, [b"old"] * 10, partition=number)
    with backup.running(discover_every_s=discover_every_s):
        backup.wait_covered(topic)
        delete_topic(bootstrap, topic)
        second = make_topic(bootstrap, topic, partitions)
        produce(bootstrap, topic, [b"new"] * records)
        backup.wait_covered(topic)
    assert {r.value for r in backup.holds(topic)[0]} == {b"new"}
    old = read_archive_records(backup.store, backup.layout, topic, first)
    assert {number: [r.value for r in found] for number, found in old.items()} == {n: [b"old"] * 10 for n in (0, 1)}
    (event,) = backup.keys(f"topics/{topic}/{second}/events")
    assert json.loads(read(backup.store, event))["earlier"] == [first]
    assert event.endswith("-recreated.json")


def test_a_topic_made_again_while_stopped_is_read_from_its_beginning(backup: Backup, topic: str) -> None:
    first = make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"old"] * 5)
    backup.once()
    delete_topic(backup.bootstrap, topic)
    second = make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"new"] * 9)
    backup.once()
    assert [r.value for r in backup.holds(topic)[0]] == [b"new"] * 9
    assert incarnations(backup.store, backup.layout, topic) == sorted([first, second])
    assert len(read_archive_records(backup.store, backup.layout, topic, first)[0]) == 5


# -- what Kafka removes


def test_records_deleted_before_they_were_read_are_a_gap_and_no_error(backup: Backup, topic: str) -> None:
    make_topic(backup.bootstrap, topic, 2)
    for number in (0, 1):
        produce(backup.bootstrap, topic, [b"x"] * 10, partition=number)
    backup.once()
    produce(backup.bootstrap, topic, [b"lost"] * 10 + [b"kept"] * 5)
    produce(backup.bootstrap, topic, [b"lost"] * 10, partition=1)
    admin = AdminClient({"bootstrap.servers": backup.bootstrap})
    doomed = [TopicPartition(topic, 0, 20), TopicPartition(topic, 1, 20)]
    for future in admin.delete_records(doomed).values():
        future.result(60)
    assert starts_of(backup.bootstrap, topic) == {0: 20, 1: 20}
    backup.once()
    backup.holds(topic)
    assert markers(backup, topic) == {0: [(10, 19, "retention")], 1: [(10, 19, "retention")]}


def test_records_deleted_under_a_running_backup_are_a_gap(
    bootstrap: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is slow, so the backup is paused with most of the topic unread."""
    read_in_small_steps(monkeypatch)
    store = Gated()
    backup = Backup(store, bootstrap, tmp_path / "spool", (topic,))
    make_topic(bootstrap, topic, segment_bytes=str(1 << 20))
    produce_many(bootstrap, topic)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    with backup.running(max_bytes=1 << 10, block_bytes=1 << 12):
        assert store.asked.wait(90)
        time.sleep(0.5)
        for future in admin.delete_records([TopicPartition(topic, 0, MANY - 10)]).values():
            future.result(60)
        store.open_gate()
        backup.wait_covered(topic)
    backup.holds(topic)
    ((first, last, reason),) = markers(backup, topic)[0]
    assert (0 < first < last, last, reason) == (True, MANY - 11, "retention")


def test_compaction_while_stopped(kafka_factory: Callable[..., KafkaCluster], tmp_path: Path) -> None:
    kafka = kafka_factory(config={"log.cleaner.backoff.ms": 100})
    bootstrap = kafka.bootstrap()
    compacted = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "segment_bytes": "1048576"}
    make_topic(bootstrap, "t", segment_ms="200", **compacted)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t",))
    keys = [b"%d" % (n % 5) for n in range(50)]
    produce(bootstrap, "t", [b"v%d" % n for n in range(50)], keys=keys)
    backup.once()
    produce(bootstrap, "t", [b"w%d" % n for n in range(50)], keys=keys)

    def cleaned() -> bool:
        time.sleep(0.3)
        produce(bootstrap, "t", [b"roll"], keys=[b"roll"])
        return len(read_topic(bootstrap, "t")[0]) < 40

    wait_until(cleaned, "the log is compacted", timeout_s=60)
    backup.once()
    held = [r.value for r in backup.holds("t")[0]]
    assert held[:50] == [b"v%d" % n for n in range(50)], "what was archived before it was compacted stays"


# -- leaders and members


def test_control_records_of_a_new_leader_behind_the_last_record_do_not_stop_the_next_run(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    """The window of the old epoch is extended over them; the next start names that epoch."""
    kafka = kafka_factory()
    bootstrap = kafka.bootstrap()
    make_topic(bootstrap, "t")
    produce(bootstrap, "t", [b"x"] * 5)
    kafka.kill(1)
    kafka.start_node(1)
    kafka.wait_ready()
    produce_transaction(bootstrap, "t", [b"never"] * 3, commit=False)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t",))
    backup.once()
    produce(bootstrap, "t", [b"after"])
    backup.once()
    assert [r.value for r in backup.holds("t")[0]] == [b"x"] * 5 + [b"after"]
    epochs = [window.epoch for window in backup.folders("t")[0].windows]
    assert len(epochs) == 2 and epochs[0] < epochs[1]


def test_a_cluster_that_went_back_in_time_stops_the_partition(backup: Backup, topic: str) -> None:
    """The archive holds records of a later leader than Kafka does, as after its disks were put back."""
    topic_id = make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"x"] * 10)
    rows = [(offset, 1, None, b"other branch", ()) for offset in range(5)]
    put_window(
        backup.store, make_window(rows, partition=a_partition(topic, 0, topic_id), epoch=5), layout=backup.layout
    )
    with pytest.raises(MillpondError, match="Kafka's log ends with epoch 0: the cluster went back in time"):
        backup.once()


def test_members_that_come_and_go_under_load_hold_every_record(backup: Backup, topic: str, tmp_path: Path) -> None:
    make_topic(backup.bootstrap, topic, 6)
    other, stop = another(backup, tmp_path), threading.Event()

    def load() -> None:
        seed = 0
        while not stop.is_set():
            seed += 1
            produce_odd_records(backup.bootstrap, topic, partitions=6, count=3, seed=seed)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        with backup.running():
            for _ in range(2):
                time.sleep(0.5)
                with other.running():
                    time.sleep(1.5)
    finally:
        stop.set()
        loading.join()
    backup.once()
    backup.holds(topic)


def test_a_partition_that_is_not_read_may_be_taken_by_another_member(
    backup: Backup, topic: str, tmp_path: Path
) -> None:
    """The client gave back what it did not read, failed, and the process ended with a SystemError."""
    topic_id = make_topic(backup.bootstrap, topic, 4)
    for number in range(4):
        produce(backup.bootstrap, topic, [b"x"], partition=number)
        name = f"{topic}-{number}-{0:019d}-{99:019d}-empty.gap"  # beyond Kafka's end: the partition is stopped
        backup.store.put_if_absent(backup.layout.under("topics", topic, topic_id, str(number), name), b"{}")
    with backup.running():
        time.sleep(1)
        with another(backup, tmp_path).running():
            time.sleep(1.5)


# -- refusals


def test_a_group_of_another_archive_is_refused(backup: Backup, topic: str, tmp_path: Path) -> None:
    make_topic(backup.bootstrap, topic)
    produce(backup.bootstrap, topic, [b"x"])
    backup.group_id = topic
    with backup.running():
        wait_until(lambda: commits(backup.bootstrap, topic), "a commit")
    second = another(backup, tmp_path, store=MemoryStore(), group_id=topic)
    with pytest.raises(RefusedForSafety, match=f"group {topic} commits for archive") as caught:
        second.once()
    assert caught.value.exit_code == 4
    assert second.keys() == []
    backup.once()


def test_another_cluster_is_refused(backup: Backup, topic: str) -> None:
    make_topic(backup.bootstrap, topic)
    identity = {"format": 1, "archive_id": "a", "cluster_id": "another", "created": 0, "continues": ""}
    backup.store.put_if_absent(backup.layout.identity, json.dumps(identity).encode())
    with pytest.raises(RefusedForSafety, match="the archive holds cluster another") as caught:
        backup.once()
    assert caught.value.exit_code == 4
    assert backup.keys() == [backup.layout.identity]


# -- a store that is away


class Gated(MemoryStore):
    """Windows and markers wait until the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = threading.Event(), threading.Event()

    def open_gate(self) -> None:
        self.gate.set()

    def put_if_absent(self, key: str, body: Body, metadata: Any = NO_METADATA) -> ObjectInfo:
        if "/topics/" in f"/{key}" and "/events/" not in key:
            self.asked.set()
            assert self.gate.wait(60)
        return super().put_if_absent(key, body, metadata)


def read_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_consumer, "_BATCH", 50)
    monkeypatch.setattr(backup_consumer, "_TICK_S", 0.0)


def produce_many(bootstrap: str, topic: str) -> None:
    """More than a backup reads before it waits for the store."""
    chance = random.Random(1)
    produce(bootstrap, topic, [chance.randbytes(2000) for _ in range(MANY)])


def s3_through(proxy: FaultyS3, bucket: str) -> S3Store:
    quick = SETTINGS.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))
    session = boto3.Session("test", "test", region_name="us-east-1")
    return S3Store(bucket, client=session.client("s3", endpoint_url=proxy.url, config=quick))


def test_s3_that_is_down_for_a_while_loses_nothing_and_no_commit_is_ahead(
    bootstrap: str, topic: str, tmp_path: Path, aws: LocalAws, s3: Any, bucket: str
) -> None:
    down = threading.Event()

    def rule(call: Call) -> Fault | None:
        return Fault(status=503, code="SlowDown", forward=call.nth % 2 == 0) if down.is_set() else None

    make_topic(bootstrap, topic, 2)
    with FaultyS3(aws.url, rule) as proxy:
        backup = Backup(s3_through(proxy, bucket), bootstrap, tmp_path / "spool", (topic,))
        true = Backup(S3Store(bucket, client=s3), bootstrap, tmp_path / "none", (topic,))
        with backup.running():
            produce_odd_records(bootstrap, topic, partitions=2, count=30, seed=1)
            true.wait_covered(topic)
            down.set()
            for seed in (2, 3):
                produce_odd_records(bootstrap, topic, partitions=2, count=30, seed=seed)
                time.sleep(0.6)
            true.holds(topic, complete=False)
            down.clear()
            true.wait_covered(topic)
        true.holds(topic)


def test_a_stop_while_s3_is_down_ends_with_try_again_and_the_next_start_goes_on(
    bootstrap: str, topic: str, tmp_path: Path, aws: LocalAws, s3: Any, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    down = threading.Event()
    make_topic(bootstrap, topic)
    with FaultyS3(aws.url, lambda _: Fault(reset=True) if down.is_set() else None) as proxy:
        backup = Backup(s3_through(proxy, bucket), bootstrap, tmp_path / "spool", (topic,))
        true = Backup(S3Store(bucket, client=s3), bootstrap, tmp_path / "none", (topic,))
        running = backup.running()
        running.__enter__()
        produce(bootstrap, topic, [b"a"])
        true.wait_covered(topic)
        down.set()
        produce(bootstrap, topic, [b"b"])
        wait_until(lambda: "will try to store" in caplog.text, "the store has refused")
        began = time.monotonic()
        with pytest.raises(TryAgain):
            running.__exit__(None, None, None)
        assert time.monotonic() - began < 25
        down.clear()
        backup.once()
        true.holds(topic)


def test_a_topic_deleted_before_it_was_read_to_its_end_ends_once_with_an_error(
    bootstrap: str, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to wait for ever."""
    monkeypatch.setattr(waiting, "_LOOK_EVERY_S", 0.5)
    read_in_small_steps(monkeypatch)
    store = Gated()
    backup = Backup(store, bootstrap, tmp_path / "spool", (f"{topic}.*",))
    topic_id = make_topic(bootstrap, topic)
    make_topic(bootstrap, f"{topic}-other")
    produce_many(bootstrap, topic)
    produce(bootstrap, f"{topic}-other", [b"x"])

    def delete() -> None:
        assert store.asked.wait(90)
        time.sleep(0.5)
        delete_topic(bootstrap, topic)
        store.open_gate()

    deleting = threading.Thread(target=delete)
    deleting.start()
    told = ""  # on a busy machine the client may have fetched everything before the topic was gone
    try:
        backup.once(max_bytes=1 << 10, block_bytes=1 << 12)
    except MillpondError as error:
        told = str(error)
    deleting.join()
    backup.holds(f"{topic}-other")
    held = read_archive_records(store, backup.layout, topic, topic_id)[0]
    assert [r.offset for r in held] == list(range(len(held))) and len(held) > 0
    if len(held) < MANY:
        assert f"1 partitions were not read to their ends, because their topics were deleted: {topic}-0" in told
        assert "hint:" in told
