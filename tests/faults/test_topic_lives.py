"""Topics that are deleted and made again within moments: each record is archived under its own life, and once.

MILLPOND_FAULT_ROUNDS says how many times a topic is made again under load (3).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from local.kafka import KafkaCluster
from millpond.backup import member, run
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.faults.backup_process import ROUNDS
from tests.faults.odd_producer import produce_with_header
from tests.faults.topic_lives import (
    SlowToHear,
    Topic,
    assert_lives_are_apart,
    assert_lives_are_apart_so_far,
    seen_consumers,
    undecided,
    wait_read,
)
from tests.integration.kafka_requests import commit

Name = Callable[[str], str]


@pytest.fixture
def topic(kafka: KafkaCluster, unique_name: Name) -> Topic:
    return Topic(kafka.bootstrap(), unique_name("t"))


@pytest.fixture
def backup(topic: Topic, tmp_path: Path) -> SlowToHear:
    """Looks for topics so seldom that only confirmations find a new life."""
    return SlowToHear(MemoryStore(), topic.bootstrap, tmp_path / "spool", (topic.name,), confirm_after_s=1.5)


@pytest.fixture
def consumers() -> Iterator[list[Any]]:
    with seen_consumers() as made:
        yield made


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a client that hears nothing of a topic that was made again while it looked away; none with a slow broker."""
    monkeypatch.setattr("millpond.backup.leaving._ANSWER_WITHIN_S", 60.0)
    monkeypatch.setattr(member, "_SILENT_S", 2.0)
    monkeypatch.setattr(run, "_FIRST_PATIENCE_S", 1.0)
    monkeypatch.setattr(run, "_LATER_PATIENCE_S", 2.0)
    monkeypatch.setattr(run, "_RENEWED_EVERY_S", 0.5)


def delete_before(topic: Topic, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": topic.bootstrap, **oracle.QUICK})
    for future in admin.delete_records([TopicPartition(topic.name, 0, offset)]).values():
        future.result(60)


# -- while running


@pytest.mark.parametrize("records", [3, 40], ids=["fewer", "more"])
@pytest.mark.parametrize("discover_every_s", [0.5, 600.0], ids=["looked for", "found by the confirmation"])
def test_what_was_read_and_not_yet_confirmed_stays_with_the_life_that_ended(
    backup: SlowToHear, topic: Topic, consumers: list[Any], records: int, discover_every_s: float
) -> None:
    first = topic.make()
    topic.write(10)
    with backup.running(discover_every_s=discover_every_s):
        backup.wait_covered(topic.name)
        topic.write(5)
        wait_read(consumers, topic.name, 15)
        second = topic.make()
        topic.write(records)
        backup.wait_covered(topic.name, {0: records}, topic_id=second)
        backup.wait_covered(topic.name, {0: 15}, topic_id=first)
    held = assert_lives_are_apart(backup, topic)
    assert held == topic.written
    assert undecided(backup, topic.name, first) == {}


def test_records_of_the_new_life_that_were_read_as_the_old_ones(
    backup: SlowToHear, topic: Topic, consumers: list[Any]
) -> None:
    """Nothing tells the client: it goes on at offset 15 inside the new life. After that it mostly waits for the old one
    for ever, and only new connections help."""
    first = topic.make()
    topic.write(10)
    with backup.running(discover_every_s=600.0):
        backup.wait_covered(topic.name)
        topic.write(5)
        wait_read(consumers, topic.name, 15)
        second = topic.make()
        topic.write(20, batches=2)
        wait_read(consumers, topic.name, 40)
        backup.wait_covered(topic.name, {0: 40}, topic_id=second)
        backup.wait_covered(topic.name, {0: 15}, topic_id=first)
    assert assert_lives_are_apart(backup, topic) == topic.written
    assert undecided(backup, topic.name, first) == {}


def test_a_record_of_the_new_life_that_cannot_be_read_does_not_keep_the_lives_together(
    backup: SlowToHear, topic: Topic, consumers: list[Any]
) -> None:
    """To compare it with what the old life had at its offset used to end the backup."""
    first = topic.make()
    topic.write(10)
    with backup.running(skip_unreadable=True, discover_every_s=600.0):
        backup.wait_covered(topic.name)
        topic.write(5)
        wait_read(consumers, topic.name, 15)
        second = topic.make()
        topic.write(12)
        produce_with_header(topic.bootstrap, topic.name, [b"\xff"])
        topic.write(20)
        backup.wait_covered(topic.name, {0: 33}, topic_id=second)
        backup.wait_covered(topic.name, {0: 15}, topic_id=first)
    assert assert_lives_are_apart_so_far(backup, topic) == topic.written
    assert backup.folders(topic.name, second)[0].markers == [(12, 12, "unreadable")]


def test_a_stop_with_records_of_both_lives_in_hand(backup: SlowToHear, topic: Topic, consumers: list[Any]) -> None:
    first = topic.make()
    topic.write(10)
    with backup.running(discover_every_s=600.0):
        backup.wait_covered(topic.name)
        topic.write(5)
        wait_read(consumers, topic.name, 15)
        topic.make()
        topic.write(40)
        wait_read(consumers, topic.name, 40)
    held = assert_lives_are_apart_so_far(backup, topic)
    assert held[first] == topic.written[first], "what was read of the life that is gone is stored before the end"
    backup.once()
    assert assert_lives_are_apart(backup, topic) == topic.written


@pytest.mark.parametrize("kept", [10, 1], ids=["the log starts in what was read", "the log starts behind it"])
def test_lives_that_cannot_be_told_apart_any_more_are_named(
    backup: SlowToHear, topic: Topic, consumers: list[Any], kept: int
) -> None:
    """The new life lost its first records before anybody could compare."""
    backup.confirm_after_s = 8.0
    first = topic.make()
    topic.write(10)
    with backup.running(discover_every_s=600.0):
        backup.wait_covered(topic.name)
        topic.write(5)
        wait_read(consumers, topic.name, 15)
        second = topic.make()
        topic.write(30)
        if kept == 10:
            wait_read(consumers, topic.name, 30)
        topic.write(10)
        delete_before(topic, 40 - kept)
        backup.wait_covered(topic.name, {0: 40}, topic_id=second)
    assert_lives_are_apart(backup, topic)
    assert backup.folders(topic.name, second)[0].markers == [(0, 39 - kept, "retention")]
    (doubtful,) = undecided(backup, topic.name, first)[0]
    assert doubtful.start == 10 and doubtful.stop >= 15
    (event,) = [key for key in backup.keys(f"topics/{topic.name}/{first}/events") if "recreated" in key]
    assert json.loads(read(backup.store, event))["by"] == second


def test_a_topic_made_again_and_again_under_load(backup: SlowToHear, topic: Topic) -> None:
    chance = random.Random()
    topic.partitions, backup.confirm_after_s = 3, chance.choice([0.5, 1.5])
    topic.make()
    with backup.running(discover_every_s=chance.choice([0.5, 600.0])):
        for _ in range(ROUNDS):
            topic.write_everywhere(chance)
            # Of two lives that end within one confirmation nobody can tell the first from what came before it.
            backup.wait_covered(topic.name, dict.fromkeys(range(3), 1))
            time.sleep(chance.choice([0, 0.3, 1.0, 2.0]))
            topic.write_everywhere(chance)
            topic.make()
            topic.write_everywhere(chance)
        backup.wait_covered(topic.name)
        assert_lives_are_apart(backup, topic)
        topic.write_everywhere(chance)
        backup.wait_covered(topic.name)
    assert_lives_are_apart(backup, topic)


# -- while stopped


@pytest.mark.parametrize("records", [3, 15, 40], ids=["fewer", "as many", "more"])
def test_made_again_more_than_once_while_stopped(backup: SlowToHear, topic: Topic, records: int) -> None:
    """Also with the group's commits of the first life put back, as a member that did not know yet would do."""
    first = topic.make()
    topic.write(15)
    backup.once()
    archive_id = json.loads(read(backup.store, backup.layout.identity))["archive_id"]
    group = f"millpond-{archive_id}"
    _, note = oracle.commits(topic.bootstrap, group)[topic.name, 0]
    topic.make()
    topic.write(7)
    topic.make()
    topic.write(records)
    put_back = TopicPartition(topic.name, 0, 15, metadata=note)
    commit(topic.bootstrap, group, put_back)
    for _ in range(2):
        backup.once()
        held = assert_lives_are_apart(backup, topic)
        assert held[first] == topic.written[first]
        assert held[topic.lives[1]] == {}, "a life that no run has seen"
    topic.write(4)
    backup.once()
    assert_lives_are_apart(backup, topic)
