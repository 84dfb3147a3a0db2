"""Waiting for what others store: asked beside the consumer's thread, again where the store is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest

from local.processes import wait_until
from millpond.archive.keys import Incarnation, PartitionId
from millpond.backup import background, waiting
from millpond.backup.waiting import Waiting
from millpond.errors import MillpondError, TryAgain
from millpond.kafka.admin import TopicDescription
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, TOPIC_ID

PARTITIONS = [PartitionId(Incarnation("orders", TOPIC_ID), number) for number in range(40)]


class Slow(MemoryStore):
    """A store that has something to do before each listing."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before = before

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        self._before()
        return super().list(prefix, after=after, delimiter=delimiter)


class Cluster:
    """Has the topics that it was given."""

    def __init__(self, *topics: str) -> None:
        self._topics = topics

    def describe(self, topics: Iterable[str], *, refused: set[str]) -> dict[str, TopicDescription]:
        return {name: TopicDescription(name, TOPIC_ID, 40, 1, internal=False) for name in self._topics}


class Consumer:
    """Another member has all partitions."""

    def __init__(self) -> None:
        self.active: dict[Any, Any] = {}
        self.failed: dict[Any, str] = {}

    def holds(self, partition: PartitionId) -> bool:
        return False


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((waiting, "_LOOK_EVERY_S"), (waiting, "_CHECK_EVERY_S"), (background, "_PAUSE_S")):
        monkeypatch.setattr(module, name, 0.0)


def waiting_for(store: MemoryStore, cluster: Any) -> Waiting:
    return Waiting(store, LAYOUT, cluster, dict.fromkeys(PARTITIONS, 10), lambda _done, _total: None)


def test_listings_that_take_long_do_not_hold_up_the_consumer() -> None:
    listed: list[float] = []

    def slowly() -> None:
        time.sleep(0.5)
        listed.append(time.monotonic())

    consumer: Any = Consumer()
    with closing(waiting_for(Slow(slowly), Cluster("orders"))) as waits:
        began = time.monotonic()
        assert not any(waits.over(consumer) for _ in range(20))
        assert time.monotonic() - began < 0.3
        wait_until(lambda: len(listed) >= len(PARTITIONS), "each partition is listed", timeout_s=10)
        assert listed[len(PARTITIONS) - 1] - began < 0.5 * len(PARTITIONS) / 4, "many at once"


def test_a_store_that_is_away_is_asked_again_and_topics_that_are_gone_are_told_of() -> None:
    left = [TryAgain("the store is away")]

    def once_away() -> None:
        if left:
            raise left.pop()

    consumer: Any = Consumer()
    with closing(waiting_for(Slow(once_away), Cluster())) as waits:
        wait_until(lambda: waits.over(consumer), "none is waited for any more", timeout_s=10)
        assert not left
        with pytest.raises(MillpondError, match="40 partitions were not read to their ends"):
            waits.raise_for_gone()
