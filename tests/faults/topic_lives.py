"""A topic that is deleted and made again within moments, and whose records the archive holds under which life."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from local.processes import wait_until
from millpond.backup import run
from millpond.backup.consumer import BackupConsumer
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import read
from tests import oracle
from tests.integration.backup_runs import QUICK, Backup

Written = dict[tuple[int, int], bytes]
"""Values by partition and offset."""


class SlowToHear(Backup):
    """Its client asks for metadata as seldom as in operation, so it goes on in the belief that nothing has changed."""

    def cluster(self) -> Cluster:
        settings = {**QUICK, "topic.metadata.refresh.interval.ms": 10_000}
        return Cluster(ClusterAddress(self.bootstrap, {name: str(told) for name, told in settings.items()}))


@dataclass
class Topic:
    """One name and its lives, in order, with what was written in each."""

    bootstrap: str
    name: str
    partitions: int = 1
    lives: list[str] = field(default_factory=list)
    written: dict[str, Written] = field(default_factory=dict)

    def make(self) -> str:
        """The id of a new life; the one before ends at once."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **oracle.QUICK})
        if self.lives:
            admin.delete_topics([self.name])[self.name].result(30)
        admin.create_topics([NewTopic(self.name, self.partitions, 1)])[self.name].result(30)
        self.lives.append(wait_until(self._new_id, f"{self.name} is there again"))
        oracle.ends_of(self.bootstrap, self.name)  # its leaders take records
        self.written[self.lives[-1]] = {}
        return self.lives[-1]

    def _new_id(self) -> str:
        found = oracle.topic_id_of(self.bootstrap, self.name, self.partitions)
        return "" if found in self.lives else found

    def write(self, count: int, *, partition: int = 0, batches: int = 1) -> None:
        """To the present life. Each value tells life, partition and its own number."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0, **oracle.QUICK})
        life, number = self.written[self.lives[-1]], len(self.lives)

        def note(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            life[partition, message.offset()] = message.value()  # type: ignore[index,assignment]

        done = len(life)
        for batch in range(batches):
            for n in range(done + batch * count, done + (batch + 1) * count):
                producer.produce(self.name, b"life %d, %d" % (number, n), partition=partition, on_delivery=note)
            assert producer.flush(60) == 0

    def write_everywhere(self, chance: random.Random) -> None:
        for number in range(self.partitions):
            self.write(chance.randint(1, 12), partition=number, batches=chance.randint(1, 3))


@contextmanager
def seen_consumers() -> Iterator[list[Any]]:
    """The consumers that backups of this process make, the newest last; `told` is what each said of itself last."""
    made: list[Any] = []

    class Seen(BackupConsumer):
        def __init__(self, *told: object, **more: object) -> None:
            super().__init__(*told, **more)  # type: ignore[arg-type]
            self.told = self.status()
            made.append(self)

        def step(self) -> None:
            super().step()
            self.told = self.status()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "BackupConsumer", Seen)
        yield made


def wait_read(consumers: Sequence[Any], topic: str, position: int, partition: int = 0) -> None:
    """Until the newest consumer has read up to before the position, whatever it stored of it."""

    def reached() -> bool:
        told = consumers[-1].told.partitions if consumers else ()
        return any(one.position >= position for one in told if (one.topic, one.partition) == (topic, partition))

    wait_until(reached, f"{topic}-{partition} is read up to {position}")


def undecided(backup: Backup, topic: str, topic_id: str) -> dict[int, list[range]]:
    """Offsets that the archive says may be another life's, by partition."""
    found: dict[int, list[range]] = {}
    for key in backup.keys(f"topics/{topic}/{topic_id}/events"):
        said = json.loads(read(backup.store, key))
        if key.endswith("-recreated.json") and "undecided" in said:
            first, last = said["undecided"]
            found.setdefault(said["partition"], []).append(range(first, last + 1))
    return found


def assert_lives_are_apart(backup: Backup, topic: Topic) -> dict[str, Written]:
    """`assert_lives_are_apart_so_far`, and of the present life the archive holds all."""
    held = assert_lives_are_apart_so_far(backup, topic)
    backup.holds(topic.name)
    return held


def assert_lives_are_apart_so_far(backup: Backup, topic: Topic) -> dict[str, Written]:
    """What each life's folder holds: its own records from the first on without a hole, each once; others only where
    an event says that nobody could tell."""
    held: dict[str, Written] = {}
    for life in topic.lives:
        folders = backup.folders(topic.name, life)
        found = oracle.read_archive_records(backup.store, backup.layout, topic.name, life)
        held[life] = {(number, one.offset): one.value for number, ones in found.items() for one in ones}  # type: ignore[misc]
        doubtful = undecided(backup, topic.name, life)
        for (number, offset), value in held[life].items():
            if not any(offset in some for some in doubtful.get(number, [])):
                assert topic.written[life].get((number, offset)) == value, f"{life}: {number}, {offset}: {value!r}"
        for number, folder in folders.items():
            assert folder.holes() == [], f"{life}: {number}"
            read_of_it = {at: value for at, value in topic.written[life].items() if at[0] == number}
            explained = [range(first, last + 1) for first, last, _ in folder.markers]
            for (_, offset), value in read_of_it.items():
                if offset < folder.end and not any(offset in some for some in explained):
                    assert (number, offset) in held[life], f"{life}: {number}, {offset}: {value!r} is missing"
    return held
