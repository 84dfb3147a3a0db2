"""A window is stored only when a later look at its topic says that the records are of its own life (format, 10.1)."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from millpond.backup.confirm import Confirmation, Seen, belongs
from millpond.backup.partition import PartitionBackup
from millpond.errors import TryAgain
from millpond.kafka.admin import TopicDescription
from millpond.kafka.places import Place
from tests.unit.backup.records import OpenAt, a_backup, messages
from tests.unit.builders import ORDERS_3, OTHER_TOPIC_ID, TOPIC_ID

PLACE = ("orders", 3)


@dataclass
class FakeCluster:
    """Topic ids and ends as told."""

    ids: dict[str, str] = field(default_factory=lambda: {"orders": TOPIC_ID})
    end: int = 0
    partitions: int = 12
    asked: list[set[str]] = field(default_factory=list)
    failing: bool = False
    silent: bool = False

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        self.asked.append(set(topics))
        if self.failing:
            raise TryAgain("the brokers are away")
        return {
            topic: TopicDescription(topic, self.ids[topic], self.partitions, 1, internal=False)
            for topic in topics
            if topic in self.ids
        }

    def ends(self, places: Iterable[Place], *, of_some: bool) -> dict[Place, int]:
        assert of_some
        return {} if self.silent else dict.fromkeys(places, self.end)


class Later(Executor):
    """Runs what was submitted when told to."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Any]] = []

    def submit(self, function: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, function))
        return future

    def run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future, function in waiting:
            try:
                future.set_result(function())
            except TryAgain as error:
                future.set_exception(error)


def read_and_closed(open_window: OpenAt, *at: float) -> PartitionBackup:
    """One window of one record each, closed at these times."""
    backup = a_backup(open_window)
    for offset, when in enumerate(at):
        backup.take(messages([offset]), when)
        backup.close(when)
    return backup


def confirmed(backup: PartitionBackup) -> list[bool]:
    return [closed.confirmed for closed in backup.closed]


def test_nothing_is_asked_before_the_time_has_come(open_window: OpenAt) -> None:
    cluster, pool = FakeCluster(), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 100.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 104.9)
    pool.run()
    assert cluster.asked == []
    confirmation.tick([backup], 105.0)
    pool.run()
    assert confirmation.tick([backup], 105.1) == []
    assert confirmed(backup) == [True]


def test_a_window_that_ripened_after_the_question_waits_for_the_next(open_window: OpenAt) -> None:
    cluster, pool = FakeCluster(), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 100.0, 103.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 105.0)
    pool.run()
    confirmation.tick([backup], 109.0)
    assert confirmed(backup) == [True, False]


def test_an_answer_says_nothing_of_topics_that_were_not_asked_for(open_window: OpenAt) -> None:
    """A question that waits for a thread was sent for what was ripe then: what ripens meanwhile was not in it, and a
    topic that is not in the answer must not look like one that is gone."""
    cluster, pool = FakeCluster(), Later()
    confirmation = Confirmation(cluster, pool, 5)  # type: ignore[arg-type]
    asked, late = read_and_closed(open_window, 0.0), read_and_closed(open_window, 0.5)
    confirmation.tick([asked], 5.0)
    pool.run()  # long after: its own clock would say that `late` was ripe
    confirmation.tick([asked, late], 900.0)
    assert (confirmed(asked), confirmed(late)) == ([True], [False])


def test_a_question_that_fails_is_asked_again(open_window: OpenAt) -> None:
    cluster, pool = FakeCluster(failing=True), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 0.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 5.0)
    pool.run()
    assert confirmation.tick([backup], 6.0) == []
    assert confirmed(backup) == [False]
    cluster.failing = False
    confirmation.tick([backup], 6.1)
    pool.run()
    assert len(cluster.asked) == 1, "after a pause"
    confirmation.tick([backup], 9.0)
    pool.run()
    confirmation.tick([backup], 9.1)
    assert confirmed(backup) == [True]


def test_all_windows_of_a_topic_that_was_made_again_and_is_longer_stay_unconfirmed(open_window: OpenAt) -> None:
    cluster, pool = FakeCluster(ids={"orders": OTHER_TOPIC_ID}, end=500), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 0.0, 1.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 10.0)
    pool.run()
    assert confirmation.tick([backup], 10.1) == [backup]
    assert confirmed(backup) == [False, False]


def test_a_topic_made_again_with_fewer_partitions_cannot_have_given_the_records(open_window: OpenAt) -> None:
    cluster, pool = FakeCluster(ids={"orders": OTHER_TOPIC_ID}, end=500, partitions=2), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 0.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 10.0)
    pool.run()
    assert confirmation.tick([backup], 10.1) == []
    assert confirmed(backup) == [True]


@pytest.mark.parametrize(
    ("ids", "end", "expected"),
    [
        ({"orders": TOPIC_ID}, 0, True),
        ({"orders": TOPIC_ID}, 10**6, True),
        ({}, 0, True),
        ({"orders": OTHER_TOPIC_ID}, 100, True),
        ({"orders": OTHER_TOPIC_ID}, 101, False),
        ({"orders": OTHER_TOPIC_ID}, 10**6, False),
    ],
    ids=["same id", "same id, long", "gone", "as long as what is confirmed", "one longer", "longer"],
)
def test_records_belong_where_no_other_life_can_have_given_them(
    open_window: OpenAt, ids: dict[str, str], end: int, expected: bool
) -> None:
    backup = a_backup(open_window, position=100)
    backup.take(messages([100, 101]), 0.0)
    backup.close(0.0)
    assert backup.partition == ORDERS_3
    assert belongs(backup, Seen(99.0, ids, {PLACE: end})) is expected


def test_a_partition_of_a_remade_topic_that_has_no_leader_yet_is_asked_again(open_window: OpenAt) -> None:
    """Nobody knows yet how long it is."""
    cluster, pool = FakeCluster(ids={"orders": OTHER_TOPIC_ID}, end=500, silent=True), Later()
    confirmation, backup = Confirmation(cluster, pool, 5), read_and_closed(open_window, 0.0)  # type: ignore[arg-type]
    confirmation.tick([backup], 10.0)
    pool.run()
    assert confirmation.tick([backup], 10.1) == []
    assert confirmed(backup) == [False]
    cluster.silent = False
    pool.run()
    assert confirmation.tick([backup], 10.2) == [backup]
