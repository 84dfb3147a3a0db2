"""One process of a backup in a model: the product's consumer on the edges of `model_client`."""

from __future__ import annotations

import gc
from functools import partial
from pathlib import Path

import pytest

from millpond.archive.identity import Identity
from millpond.backup import consumer, leaving, member, positions, upload, window
from millpond.backup.consumer import BackupConsumer
from millpond.backup.options import BackupOptions, Rotation
from millpond.backup.spool import SpoolFolder
from millpond.errors import MillpondError
from millpond.kafka import failures, probe
from millpond.kafka.selection import Selection
from millpond.storage.memory import MemoryStore
from tests.unit.backup.model_client import GROUP, PLACE, TOPIC, Admin, AtOnce, Client, Deadly, Kafka, Later
from tests.unit.builders import LAYOUT


class Clock:
    """The model's time in place of the module `time`; whoever sleeps lets the threads work."""

    def __init__(self, kafka: Kafka, threads: list[Later]) -> None:
        self._kafka, self._threads = kafka, threads

    def monotonic(self) -> float:
        return self._kafka.now

    def sleep(self, seconds: float) -> None:
        self._kafka.now += seconds
        for one in self._threads:
            one.run()


class Edges:
    """Puts the model's client, clock and threads in the place of the real ones until it is closed."""

    def __init__(self, kafka: Kafka) -> None:
        self.threads: list[Later] = []
        self._patch = pytest.MonkeyPatch()
        clock = Clock(kafka, self.threads)
        for module in (consumer, member, upload, probe):
            self._patch.setattr(module, "time", clock)
        self._patch.setattr(failures, "Consumer", partial(Client, kafka))
        for module in (consumer, upload):
            self._patch.setattr(module, "Background", self._later)
        for module, name in ((positions, "Background"), (leaving, "Background"), (window, "ThreadPoolExecutor")):
            self._patch.setattr(module, name, AtOnce)
        self._collecting = gc.get_threshold()

    def _later(self, *_: object) -> Later:
        self.threads.append(Later())
        return self.threads[-1]

    def close(self) -> None:
        self._patch.undo()
        gc.set_threshold(*self._collecting)


class Writer:
    """A process with a spool of its own."""

    def __init__(self, edges: Edges, kafka: Kafka, store: MemoryStore, identity: Identity, folder: Path) -> None:
        self._kafka, self.store, self._before = kafka, Deadly(store), len(edges.threads)
        self._spool = SpoolFolder(folder)
        options = BackupOptions(
            Selection.of([TOPIC]),
            folder,
            Rotation(max_age_s=10, max_records=5),
            group_id=GROUP,
            retry_stopped_s=30,
            discover_every_s=20,
            brokers_lost_s=1e9,
            spool_bytes=1 << 30,
        )
        self.backup = BackupConsumer(self.store, LAYOUT, Admin(kafka), identity, options, self._spool)  # type: ignore[arg-type]
        self.threads = edges.threads[self._before :]
        self.client: Client = self.backup.member._consumer  # type: ignore[assignment]
        self.backup.subscribe([TOPIC])
        kafka.owner = self.client

    def step(self, at_most: int, seconds: float, *, ahead: int = 0, slow: bool = False) -> None:
        """One round of the consumer's loop, after what its threads were asked before it, unless they are `slow`."""
        self._kafka.now += seconds
        self.client.at_most, self.client.ahead = at_most, ahead
        if not slow:
            for one in self.threads:
                one.run()
        self.backup.step()
        if not self._held():
            self.client.read_from.clear()

    def _held(self) -> set[str]:
        """Lives of which it holds something that is not stored."""
        return {one.partition.incarnation.topic_id for one in self.backup._everything() if one.stored < one.position}

    def has_stored(self, end: int) -> bool:
        """Whether it has read to there and nothing is on its way."""
        partition = self.backup.active.get(PLACE)
        return partition is not None and partition.stored >= end and not partition.closed and not self.leaving

    @property
    def leaving(self) -> bool:
        return any(partition is not self.backup.active.get(PLACE) for partition in self.backup._everything())

    @property
    def strayed(self) -> bool:
        """Whether it holds what it read of one life for what it has read of another."""
        return len(self._held() | self.client.read_from) > 1

    def stop(self) -> str:
        """Ends it as a signal does; returns why not all was stored, or ""."""
        try:
            self.backup.close()
        except MillpondError as error:
            return str(error.args[0])
        finally:
            self._spool.close()
        return ""

    def kill(self) -> None:
        self.client.close()
        for left in self.backup._everything():
            left.discard()
        self._spool.close()
