"""A broker's log is cut and goes on with other records: its disk is put back to an older state between two starts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.kafka import KafkaCluster
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.integration.backup_runs import Backup
from tests.oracle import ends_of, make_topic, produce, produce_transaction, topic_id_of


class Broker:
    """One node with one topic `t`, whose disk can be kept and put back."""

    def __init__(self, kafka: KafkaCluster, folder: Path) -> None:
        self.kafka, self.bootstrap, self._kept = kafka, kafka.bootstrap(), folder / "kept"
        self._disk = kafka.nodes[0].data / "t-0"
        make_topic(self.bootstrap, "t")

    def write(self, letter: str, count: int) -> None:
        produce(self.bootstrap, "t", [f"{letter}{number}".encode() for number in range(count)])

    def keep_disk(self) -> None:
        self.kafka.stop_node(1)
        shutil.copytree(self._disk, self._kept)
        self.kafka.start_node(1)

    def put_disk_back(self) -> None:
        self.kafka.stop_node(1)
        shutil.rmtree(self._disk)
        shutil.copytree(self._kept, self._disk)
        for checkpoint in self.kafka.nodes[0].data.glob("*-checkpoint"):  # they tell of offsets that are gone
            checkpoint.unlink()
        self.kafka.start_node(1)


@pytest.fixture
def broker(kafka_factory: Callable[..., KafkaCluster], tmp_path: Path) -> Broker:
    return Broker(kafka_factory(), tmp_path)


@pytest.fixture
def backup(broker: Broker, tmp_path: Path) -> Backup:
    return Backup(MemoryStore(), broker.bootstrap, tmp_path / "spool", ("t",))


def truncations(backup: Backup) -> list[tuple[int, int]]:
    """Branch point and end of what was archived, of each event."""
    topic_id = topic_id_of(backup.bootstrap, "t")
    keys = [key for key in backup.keys(f"topics/t/{topic_id}/events") if key.endswith("-truncated.json")]
    said: list[dict[str, Any]] = [json.loads(read(backup.store, key)) for key in keys]
    return [(one["branch_point"], one["archived_to"]) for one in said]


def values(backup: Backup) -> list[str]:
    return [record.value.decode() for record in backup.holds("t")[0]]


def numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


def test_a_log_that_was_cut_and_has_grown_past_the_position_is_noticed(broker: Broker, backup: Backup) -> None:
    """Nothing in the client tells: reading on would keep dead records and miss new ones."""
    broker.write("a", 30)
    broker.keep_disk()
    broker.write("b", 30)
    backup.once()
    broker.put_disk_back()
    broker.write("c", 50)
    for _ in range(2):
        backup.once()
        assert values(backup) == numbered("a", 30) + numbered("c", 50)
    assert truncations(backup) == [(30, 59)], "once"


def test_a_log_that_was_cut_and_is_shorter_than_the_archive_goes_on_where_it_was_cut(
    broker: Broker, backup: Backup
) -> None:
    broker.write("a", 30)
    broker.keep_disk()
    broker.write("b", 30)
    backup.once()
    broker.put_disk_back()
    for _ in range(2):
        assert backup.once() == {("t", 0): 30}
    assert truncations(backup) == [(30, 59)], "although nothing new was there to be stored"
    broker.write("c", 3)
    backup.once()
    assert values(backup) == numbered("a", 30) + numbered("c", 3)


def test_a_cut_inside_a_window_among_many(broker: Broker, backup: Backup) -> None:
    for letter in "abcdefg":
        broker.write(letter, 10)
        if letter == "d":
            broker.write("x", 5)
            broker.keep_disk()
            broker.write("y", 5)
        backup.once()
    assert len(backup.folders("t")[0].windows) >= 7
    broker.put_disk_back()
    broker.write("z", 60)
    backup.once()
    expected = [name for letter in "abcd" for name in numbered(letter, 10)] + numbered("x", 5) + numbered("z", 60)
    assert values(backup) == expected
    assert truncations(backup) == [(45, 79)]


def test_a_log_that_is_cut_twice(broker: Broker, backup: Backup) -> None:
    broker.write("a", 20)
    broker.keep_disk()
    for letter in "bc":
        broker.write(letter, 15)
        backup.once()
        broker.put_disk_back()
    broker.write("d", 2)
    backup.once()
    assert values(backup) == numbered("a", 20) + numbered("d", 2)
    assert truncations(backup) == [(20, 34), (20, 34)]


def test_a_new_leader_that_cut_nothing_is_no_truncation(broker: Broker, backup: Backup) -> None:
    """The window before is extended over what the new leader wrote, so brokers refuse its epoch there."""
    broker.write("a", 10)
    broker.kafka.restart(1)
    produce_transaction(broker.bootstrap, "t", [b"never"] * 3, commit=False)
    backup.once()
    before = backup.keys("topics")
    broker.kafka.restart(1)
    backup.once()
    assert backup.keys("topics") == before
    broker.write("b", 1)
    backup.once()
    assert values(backup) == [*numbered("a", 10), "b0"]
    assert truncations(backup) == []
    assert ends_of(broker.bootstrap, "t") == {0: 15}
