"""Topics that grow, vanish, are compacted, cut from the front, empty, or held up by a transaction that never ends.

MILLPOND_FAULT_ROUNDS says how many times a log is cut from the front under a backup that lags (3).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.backup.status import PartitionState, PartitionStatus
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.faults.backup_process import ROUNDS
from tests.faults.topic_lives import seen_consumers, wait_read
from tests.integration.backup_runs import Backup

Name = Callable[[str], str]


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def topic(unique_name: Name) -> str:
    return unique_name("t")


@pytest.fixture
def backup(bootstrap: str, topic: str, tmp_path: Path) -> Backup:
    return Backup(MemoryStore(), bootstrap, tmp_path / "spool", (f"{topic}.*",))


@pytest.fixture
def consumers() -> Iterator[list[Any]]:
    with seen_consumers() as made:
        yield made


@contextmanager
def under_load(write: Callable[[int], None]) -> Iterator[None]:
    """Calls it with rising numbers until the block ends."""
    stop, failed = threading.Event(), []

    def run() -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                write(number)
        except BaseException as error:  # noqa: BLE001  # raised again by the test
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def grow(bootstrap: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, **oracle.QUICK})
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)
    wait_until(lambda: oracle.topic_id_of(bootstrap, topic, partitions), f"{partitions} partitions")


def delete_before(bootstrap: str, topic: str, *firsts: int) -> None:
    """Of partition 0, 1, ..."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **oracle.QUICK})
    doomed = [TopicPartition(topic, number, first) for number, first in enumerate(firsts)]
    for future in admin.delete_records(doomed).values():
        future.result(30)


def values(backup: Backup, topic: str) -> list[bytes | None]:
    return [record.value for record in backup.holds(topic)[0]]


# -- topics that grow and vanish


def test_partitions_are_added_under_load_while_a_member_joins(backup: Backup, topic: str, tmp_path: Path) -> None:
    other = Backup(backup.store, backup.bootstrap, tmp_path / "other", backup.topics)
    oracle.make_topic(backup.bootstrap, topic, 2)
    partitions = [2]

    def write(seed: int) -> None:
        oracle.produce_odd_records(backup.bootstrap, topic, partitions=partitions[0], count=3, seed=seed)

    with under_load(write), backup.running():
        backup.wait_covered(topic, {0: 1})
        with other.running():
            for count in (4, 5):
                grow(backup.bootstrap, topic, count)
                partitions[0] = count
                time.sleep(0.5)
        grow(backup.bootstrap, topic, 6)
        partitions[0] = 6
        backup.wait_covered(topic, dict.fromkeys(range(6), 1), timeout_s=60)
    backup.once()
    backup.holds(topic)


def test_a_topic_that_is_deleted_under_load_keeps_what_was_read_and_others_go_on(
    backup: Backup, topic: str, consumers: list[Any]
) -> None:
    doomed, other = f"{topic}-doomed", f"{topic}-other"
    doomed_id = oracle.make_topic(backup.bootstrap, doomed)
    oracle.make_topic(backup.bootstrap, other)

    def write(seed: int) -> None:
        oracle.produce_odd_records(backup.bootstrap, other, count=3, seed=seed)

    backup.max_age_s = 2.0
    with under_load(write), backup.running():
        oracle.produce(backup.bootstrap, doomed, [b"%d" % n for n in range(20)])
        wait_read(consumers, doomed, 20)
        oracle.delete_topic(backup.bootstrap, doomed)
        backup.wait_covered(doomed, {0: 20}, topic_id=doomed_id)
        oracle.produce(backup.bootstrap, other, [b"later"])
        backup.wait_covered(other, {0: oracle.ends_of(backup.bootstrap, other)[0]})
    backup.once()
    backup.holds(other)
    held = oracle.read_archive_records(backup.store, backup.layout, doomed, doomed_id)[0]
    assert [(one.offset, one.value) for one in held] == [(n, b"%d" % n) for n in range(20)]
    assert backup.folders(doomed, doomed_id)[0].markers == []


# -- compaction

COMPACTED = {
    "cleanup_policy": "compact",
    "min_cleanable_dirty_ratio": "0.01",
    "segment_bytes": "1048576",
    "segment_ms": "200",
    "min_compaction_lag_ms": "5000",  # what a test writes at once is read before it is compacted
}


@pytest.fixture
def compacting(kafka_factory: Callable[..., KafkaCluster], tmp_path: Path) -> Backup:
    """Of a broker that compacts at once, and its topic `t`."""
    bootstrap = kafka_factory(config={"log.cleaner.backoff.ms": 100}).bootstrap()
    oracle.make_topic(bootstrap, "t", **COMPACTED)
    return Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t",))


def write_keyed(bootstrap: str, letter: str, count: int = 50) -> list[bytes]:
    written = [f"{letter}{number}".encode() for number in range(count)]
    oracle.produce(bootstrap, "t", written, keys=[b"%d" % (number % 5) for number in range(count)])
    return written


def wait_compacted(bootstrap: str, gone: bytes) -> None:
    def cleaned() -> bool:
        time.sleep(0.3)
        oracle.produce(bootstrap, "t", [b"roll"], keys=[b"roll"])
        return gone not in [record.value for record in oracle.read_topic(bootstrap, "t")[0]]

    wait_until(cleaned, "the log is compacted")


def test_compaction_under_a_running_backup_takes_nothing_that_was_read(compacting: Backup) -> None:
    bootstrap = compacting.bootstrap
    with compacting.running():
        expected = write_keyed(bootstrap, "a")
        compacting.wait_covered("t")
        wait_compacted(bootstrap, b"a3")
        expected += write_keyed(bootstrap, "b")
        compacting.wait_covered("t")
        wait_compacted(bootstrap, b"b3")
        compacting.wait_covered("t")
    assert [value for value in values(compacting, "t") if value != b"roll"] == expected


def test_a_range_that_is_read_again_after_compaction_loses_nothing_of_the_older_window(compacting: Backup) -> None:
    """As if a member that was slow had put its window after another one had found the hole and filled it."""
    bootstrap, store = compacting.bootstrap, compacting.store
    expected = write_keyed(bootstrap, "a", 5)
    time.sleep(0.01)  # the two windows are to have different names
    expected += write_keyed(bootstrap, "b")
    compacting.once()
    (older,) = compacting.folders("t")[0].windows
    body, info = read(store, older.key), store.head(older.key)
    assert info is not None
    for one in list(store.list_versions(older.key)):
        store.delete_version(one.info.key, one.info.version)
    wait_compacted(bootstrap, b"b3")
    compacting.once()
    assert b"b3" not in values(compacting, "t")
    store.put_if_absent(older.key, body, info.metadata)
    for _ in range(2):
        assert [value for value in values(compacting, "t") if value != b"roll"] == expected
        compacting.once()


# -- what Kafka removes


class Slow(MemoryStore):
    """Each window and marker takes a while, so that the backup is paused with records in hand."""

    def put_if_absent(self, key: str, body: Body, metadata: Any = NO_METADATA) -> ObjectInfo:
        time.sleep(0.2 if "topics/" in key else 0)
        return super().put_if_absent(key, body, metadata)


def test_logs_cut_from_the_front_again_and_again_under_a_backup_that_lags(
    bootstrap: str, topic: str, tmp_path: Path, consumers: list[Any]
) -> None:
    """Sometimes the archive is far behind the new start, sometimes ahead; what was read before it went is kept."""
    chance = random.Random()
    backup = Backup(Slow(), bootstrap, tmp_path / "spool", (topic,))
    oracle.make_topic(bootstrap, topic, segment_bytes=str(1 << 20))
    written: list[bytes] = []
    with backup.running(max_bytes=1 << 12, block_bytes=1 << 12):
        for _ in range(2 * ROUNDS):
            some = [chance.randbytes(1000) for _ in range(chance.randint(50, 1500))]
            oracle.produce(bootstrap, topic, some)
            written += some
            time.sleep(chance.uniform(0, 0.5))
            start = oracle.starts_of(bootstrap, topic)[0]
            delete_before(bootstrap, topic, chance.randint(start, len(written)))
        backup.wait_covered(topic, timeout_s=60)
    held = {record.offset: record.value for record in backup.holds(topic)[0]}
    lost = [range(first, last + 1) for first, last, reason in backup.folders(topic)[0].markers if reason == "retention"]
    for offset, value in enumerate(written):
        explained = sum(offset in some for some in lost)
        assert (held.get(offset), explained) in [(value, 0), (None, 1)], f"offset {offset}"
    assert len(backup.folders(topic)[0].markers) == len(lost)


# -- topics without records


def test_topics_without_a_readable_record_are_done_at_once(backup: Backup, topic: str) -> None:
    """Nothing ever; only aborted; all deleted; deleted, then aborted."""
    bootstrap = backup.bootstrap
    oracle.make_topic(bootstrap, topic, 4)
    for number in (2, 3):
        oracle.produce(bootstrap, topic, [b"x"] * 10, partition=number)
    delete_before(bootstrap, topic, 0, 0, 10, 10)
    for number in (1, 3):
        oracle.produce_transaction(bootstrap, topic, [b"never"] * 3, partition=number, commit=False)
    for _ in range(2):
        assert backup.once() == {(topic, 0): 0, (topic, 1): 4, (topic, 2): 10, (topic, 3): 14}
        assert backup.holds(topic) == {1: [], 2: [], 3: []}
        folders = backup.folders(topic)
        markers = {number: folder.markers for number, folder in folders.items()}
        assert markers == {1: [], 2: [(0, 9, "retention")], 3: [(0, 9, "retention")]}
        windows = {number: [(w.first, w.end) for w in folder.windows] for number, folder in folders.items()}
        assert windows == {1: [(0, 3)], 2: [], 3: [(10, 13)]}, "without records"
    with backup.running():
        oracle.produce(bootstrap, topic, [b"first"])
        backup.wait_covered(topic)
    assert values(backup, topic) == [b"first"]


# -- a transaction that hangs


def test_a_hanging_transaction_holds_up_only_what_is_behind_it_until_it_times_out(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path, consumers: list[Any]
) -> None:
    bootstrap = kafka_factory(config={"transaction.abort.timed.out.transaction.cleanup.interval.ms": 200}).bootstrap()
    oracle.make_topic(bootstrap, "t", 2)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t",))
    settings = {"transactional.id": "hangs", "transaction.timeout.ms": 12_000}
    hanging = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, **settings, **oracle.QUICK})
    hanging.init_transactions(30)
    with backup.running():
        oracle.produce(bootstrap, "t", [b"before"] * 5)
        backup.wait_covered("t", {0: 5})
        hanging.begin_transaction()
        hanging.produce("t", b"never", partition=0)
        assert hanging.flush(30) == 0
        for number in (0, 1):
            oracle.produce(bootstrap, "t", [b"behind"] * 7, partition=number)
        backup.wait_covered("t", {0: 5, 1: 7})

        def told() -> PartitionStatus | None:
            found = {one.partition: one for one in consumers[-1].told.partitions}
            return found[0] if 0 in found and found[0].end >= 13 else None

        lagging = wait_until(told, "the end is told")
        if oracle.ends_of(bootstrap, "t") == {0: 5, 1: 7}:  # not timed out yet
            assert (lagging.state, lagging.position, lagging.end) == (PartitionState.READING, 5, 13)
        backup.wait_covered("t", {0: 14, 1: 7})
    assert values(backup, "t") == [b"before"] * 5 + [b"behind"] * 7
    backup.once()
    assert values(backup, "t") == [b"before"] * 5 + [b"behind"] * 7
