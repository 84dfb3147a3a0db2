"""Records that are hard to read: names that are no text, damaged batches, odd times and sizes, tangled transactions.

MILLPOND_FAULT_ROUNDS says how many rounds of transactions several producers tangle (3).
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.backup.health import backup_health
from millpond.backup.status import PartitionState
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.faults.backup_process import ROUNDS
from tests.faults.odd_producer import produce_stamps, produce_with_header
from tests.faults.topic_lives import seen_consumers
from tests.integration.backup_runs import Backup
from tests.integration.kafka_requests import limit_client

Name = Callable[[str], str]


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def topic(unique_name: Name) -> str:
    return unique_name("t")


@pytest.fixture
def backup(bootstrap: str, topic: str, tmp_path: Path) -> Backup:
    return Backup(MemoryStore(), bootstrap, tmp_path / "spool", (topic, f"{topic}-other"))


@pytest.fixture
def consumers() -> Iterator[list[Any]]:
    with seen_consumers() as made:
        yield made


def values(backup: Backup, topic: str, number: int = 0) -> list[tuple[int, bytes | None]]:
    found = oracle.read_archive_records(backup.store, backup.layout, topic)
    return [(record.offset, record.value) for record in found.get(number, [])]


def stopped(consumers: list[Any]) -> dict[tuple[str, int], str]:
    """Places that were stopped, and why; health and metrics are told from the same status."""
    told = consumers[-1].told if consumers else None
    found = told.partitions if told else ()
    return {(one.topic, one.partition): one.reason for one in found if one.state is PartitionState.STOPPED}


# -- header names that are not UTF-8

BAD = (b"\xff\xfe", b"\xed\xa0\x80", b"caf\xe9")


def produce_bad_names(bootstrap: str, topic: str) -> None:
    """Offsets 0-1 and 5 are fine, 2-4 are not; the other partition and topic have ten records."""
    oracle.make_topic(bootstrap, topic, 2)
    oracle.make_topic(bootstrap, f"{topic}-other")
    oracle.produce(bootstrap, topic, [b"0"])
    produce_with_header(bootstrap, topic, [b"name", *BAD])
    oracle.produce(bootstrap, topic, [b"5"])
    oracle.produce(bootstrap, topic, [b"x"] * 10, partition=1)
    oracle.produce(bootstrap, f"{topic}-other", [b"x"] * 10)


def warned(consumers: list[Any]) -> list[str]:
    """What the health warns of; for a moment of nothing while a stopped partition is tried again."""
    return [str(one["kind"]) for one in backup_health(consumers[-1].told, now_ms(), now_ms()).warnings]


def test_a_header_name_that_is_not_utf_8_stops_its_partition_alone_and_is_named(
    backup: Backup, topic: str, consumers: list[Any]
) -> None:
    """The client's answer used to end the whole process, and a second look at the record crashed the interpreter."""
    produce_bad_names(backup.bootstrap, topic)
    reason = "offset 2 cannot be read: a header name is not UTF-8; --skip-unreadable leaves it out"
    for _ in range(2):
        consumers.clear()
        with backup.running(retry_stopped_s=1.0):
            wait_until(lambda: stopped(consumers) == {(topic, 0): reason}, "the partition is stopped")
            wait_until(lambda: warned(consumers) == ["partition stopped"], "the health says so")
            backup.wait_covered(topic, {0: 2, 1: 10})
            backup.wait_covered(f"{topic}-other")
            seen = consumers[-1].told.counters.topic_errors[topic]
            wait_until(lambda seen=seen: consumers[-1].told.counters.topic_errors[topic] > seen, "it is tried again")
    with pytest.raises(MillpondError, match=f"1 partitions were stopped: {topic}-0: {reason}"):
        backup.once()
    assert values(backup, topic) == [(0, b"0"), (1, b"name")]
    assert backup.folders(topic)[0].end == 2
    oracle.assert_commits_are_not_ahead(backup.store, backup.layout, backup.bootstrap, topic)


def test_by_choice_a_record_with_such_a_name_is_left_out_and_a_marker_says_so(backup: Backup, topic: str) -> None:
    produce_bad_names(backup.bootstrap, topic)
    assert backup.once(skip_unreadable=True)[topic, 0] == 6
    for _ in range(2):
        assert values(backup, topic) == [(0, b"0"), (1, b"name"), (5, b"5")]
        folder = backup.folders(topic)[0]
        assert sorted(folder.markers) == [(n, n, "unreadable") for n in (2, 3, 4)]
        assert folder.holes() == [] and folder.end == 6
        oracle.assert_commits_are_not_ahead(backup.store, backup.layout, backup.bootstrap, topic)
        backup.once()  # what was left out stays left out, whatever is chosen later
    assert [offset for offset, _ in values(backup, topic, 1)] == list(range(10))


def test_such_a_name_behind_a_change_of_the_timestamp_type(backup: Backup, topic: str) -> None:
    """What had been taken of the batch before the change was taken once more, which stopped the partition for good."""
    oracle.make_topic(backup.bootstrap, topic)
    oracle.produce(backup.bootstrap, topic, [b"0", b"1"])
    set_stamps(backup.bootstrap, topic, "LogAppendTime")
    produce_with_header(backup.bootstrap, topic, [b"a", *BAD[:1], b"b"])
    backup.once(skip_unreadable=True)
    assert values(backup, topic) == [(0, b"0"), (1, b"1"), (2, b"a"), (4, b"b")]
    assert backup.folders(topic)[0].markers == [(3, 3, "unreadable")]


def set_stamps(bootstrap: str, topic: str, kind: str) -> None:
    told = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[told])
    admin = AdminClient({"bootstrap.servers": bootstrap, **oracle.QUICK})
    admin.incremental_alter_configs([resource])[resource].result(30)

    def known() -> bool:
        asked = ConfigResource(ResourceType.TOPIC, topic)
        found: Any = admin.describe_configs([asked])[asked].result(30)
        return bool(found["message.timestamp.type"].value == kind)

    wait_until(known, f"{topic} has {kind}")


# -- batches that are damaged on the broker's disk


def test_a_damaged_batch_stops_its_partition_alone_and_is_never_passed_over(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path, consumers: list[Any]
) -> None:
    kafka = kafka_factory()
    bootstrap = kafka.bootstrap()
    oracle.make_topic(bootstrap, "t", 2)
    oracle.make_topic(bootstrap, "t-other")
    for batch in (b"before", b"damaged here", b"behind"):
        oracle.produce(bootstrap, "t", [batch])
    oracle.produce(bootstrap, "t", [b"x"] * 10, partition=1)
    oracle.produce(bootstrap, "t-other", [b"x"] * 10)
    kafka.stop_node(1)
    (segment,) = (kafka.nodes[0].data / "t-0").glob("*.log")
    segment.write_bytes(segment.read_bytes().replace(b"damaged here", b"damaged herf"))
    kafka.start_node(1)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t", "t-other"))
    for _ in range(2):
        consumers.clear()
        with backup.running(retry_stopped_s=1.0):
            wait_until(lambda: "CRC" in stopped(consumers).get(("t", 0), ""), "the partition is stopped")
            backup.wait_covered("t", {0: 1, 1: 10})
            backup.wait_covered("t-other")
    with pytest.raises(MillpondError, match=r"1 partitions were stopped: t-0: .*CRC"):
        backup.once()
    assert values(backup, "t") == [(0, b"before")]
    assert backup.folders("t")[0].end == 1
    oracle.assert_commits_are_not_ahead(backup.store, backup.layout, bootstrap, "t")


# -- brokers that let little through


def test_a_client_that_the_brokers_throttle_gets_everything_in_the_end(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    bootstrap = kafka_factory().bootstrap()
    oracle.make_topic(bootstrap, "t", 2)
    chance = random.Random(1)
    for number in (0, 1):
        oracle.produce(bootstrap, "t", [chance.randbytes(10_000) for _ in range(100)], partition=number)
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", ("t",))
    limit_client(bootstrap, "consumer_byte_rate", 400_000)
    began = time.monotonic()
    backup.once(within_s=180)
    assert time.monotonic() - began > 1, "two megabytes at 400 kB/s: the brokers did throttle"
    limit_client(bootstrap, "consumer_byte_rate", None)
    backup.holds("t")


# -- times and sizes

FAR = 253_402_300_799_000  # the year 9999
STAMPS = (0, -1, 1, -5, FAR, 0, 2**61, -(2**61), 1_000)


def test_odd_times_are_kept_as_they_are(backup: Backup, topic: str) -> None:
    """Each in a batch of its own, then all in one."""
    oracle.make_topic(backup.bootstrap, topic)
    for stamps in [*([stamp] for stamp in STAMPS), STAMPS]:
        produce_stamps(backup.bootstrap, topic, stamps)
    with backup.running():
        backup.wait_covered(topic)
    assert [record.timestamp for record in backup.holds(topic)[0]] == [*STAMPS, *STAMPS]


def test_times_that_the_broker_gives_are_kept_among_those_of_producers(backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    kinds = ("LogAppendTime", "CreateTime") * 3
    for kind in kinds:
        set_stamps(backup.bootstrap, topic, kind)
        oracle.produce_odd_records(backup.bootstrap, topic, count=5, seed=5, transactions=False)
    backup.once()
    backup.holds(topic)
    assert len(backup.folders(topic)[0].windows) == len(kinds)


def test_records_of_10_mib_among_small_ones(backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic, 2, max_message_bytes=str(12 << 20))
    chance = random.Random(2)
    for number in (0, 1):
        large = [chance.randbytes(10 << 20), bytes(10 << 20)]
        for some in ([b"a"] * 100, large[:1], [b"b", b"", None], large[1:], [b"c"]):
            oracle.produce(backup.bootstrap, topic, some, partition=number)
    backup.once(block_bytes=64 << 10)
    backup.holds(topic)


def test_nothing_and_empty_differ_and_headers_keep_order_and_repeats(backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    producer = Producer({"bootstrap.servers": backup.bootstrap, **oracle.QUICK})
    headers = [("a", b"1"), ("", None), ("a", None), ("a", b""), ("a", b"1"), ("größe", b"\0\xff"), ("", b"")]
    contents = [(key, value) for key in (None, b"", b"k") for value in (None, b"", b"v")]
    for key, value in contents:
        for some in ([], headers, headers[::-1]):
            producer.produce(topic, value, key, partition=0, headers=some)
    assert producer.flush(30) == 0
    backup.once()
    held = backup.holds(topic)[0]
    assert [(record.key, record.value) for record in held[::3]] == contents
    expected = tuple((name.encode(), value) for name, value in headers)
    assert [record.headers for record in held[:3]] == [(), expected, expected[::-1]]


# -- transactions of several producers


def test_transactions_of_several_producers_in_a_tangle_under_a_running_backup(backup: Backup, topic: str) -> None:
    """Each over all partitions, some aborted, some open when the backup stops and starts again."""
    chance, partitions = random.Random(), 3
    oracle.make_topic(backup.bootstrap, topic, partitions)
    tangled = [Tangled(backup.bootstrap, topic, partitions, chance) for _ in range(3)]
    plain = Tangled(backup.bootstrap, topic, partitions, chance, transactional=False)
    for _ in range(ROUNDS):
        with backup.running():
            for _ in range(30):
                chance.choice([*tangled, plain]).step()
            time.sleep(chance.uniform(0, 1.0))
        backup.holds(topic, complete=False)
    for one in tangled:
        one.end(commit=chance.random() < 0.5)
        one.wait_ended()
    backup.once()
    held = {(number, record.value) for number, records in backup.holds(topic).items() for record in records}
    assert held == {place for one in [*tangled, plain] for place in one.committed}


class Tangled:
    """A producer that begins, writes, commits and aborts by chance."""

    def __init__(
        self, bootstrap: str, topic: str, partitions: int, chance: random.Random, *, transactional: bool = True
    ) -> None:
        more = {"transactional.id": uuid.uuid4().hex, "transaction.timeout.ms": 600_000} if transactional else {}
        self._name = {name: text for name, text in more.items() if name == "transactional.id"}
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, **oracle.QUICK, **more})
        self._bootstrap = bootstrap
        self._topic, self._partitions, self._chance, self._transactional = topic, partitions, chance, transactional
        self._open: list[tuple[int, bytes]] | None = None
        self.committed: list[tuple[int, bytes]] = []
        if transactional:
            self._producer.init_transactions(30)

    def step(self) -> None:
        if self._transactional and self._open is None:
            self._producer.begin_transaction()
        self._open = self._open or []
        for _ in range(self._chance.randint(1, 5)):
            place = self._chance.randrange(self._partitions), uuid.uuid4().bytes
            self._producer.produce(self._topic, place[1], partition=place[0])
            self._open.append(place)
        assert self._producer.flush(30) == 0
        if not self._transactional:
            self.end(commit=True)
        elif self._chance.random() < 0.4:
            self.end(commit=self._chance.random() < 0.6)

    def wait_ended(self) -> None:
        """Until the end of its last transaction is in the log."""
        if self._name:
            oracle.wait_ended(self._bootstrap, self._name)

    def end(self, *, commit: bool) -> None:
        if self._open is None:
            return
        if self._transactional and commit:
            self._producer.commit_transaction(30)
        elif self._transactional:
            self._producer.abort_transaction(30)
        self.committed += self._open if commit else []
        self._open = None


def test_a_log_of_aborted_transactions_alone_is_covered_while_it_grows(backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    with backup.running():
        for _ in range(5):
            oracle.produce_transaction(backup.bootstrap, topic, [b"never"] * 3, commit=False)
            backup.wait_covered(topic)
    assert backup.holds(topic) == {0: []}
    assert {reason for _, _, reason in backup.folders(topic)[0].markers} == {"empty"}
    delete = AdminClient({"bootstrap.servers": backup.bootstrap, **oracle.QUICK})
    delete.delete_records([TopicPartition(topic, 0, 10)])[TopicPartition(topic, 0, 10)].result(30)
    before = backup.keys("topics")
    backup.once()
    assert backup.keys("topics") == before
