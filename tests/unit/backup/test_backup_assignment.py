"""What waits for a position, what was stopped, and when it is looked at again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from millpond.backup.assignment import Assignment, Stuck, find_each
from millpond.backup.positions import Start
from millpond.errors import DamagedArchive, TryAgain
from millpond.kafka.places import Place
from tests.unit.builders import a_partition

A, B, C = ("orders", 0), ("orders", 1), ("orders", 2)


def test_nothing_is_read_until_the_group_has_been_quiet_for_a_while() -> None:
    """Members that start together would each read what is another's a moment later."""
    found = Assignment(settle_s=5, retry_stopped_s=300)
    found.give({A, B, C}, 100.0)
    assert found.next_search(set(), 104.9) == []
    found.take({C}, 104.0)
    assert found.next_search(set(), 108.9) == []
    assert found.next_search(set(), 109.0) == [A, B]
    assert found.rebalances == 2


def test_a_place_whose_last_window_is_on_its_way_waits_for_it() -> None:
    found = Assignment(0, 300)
    found.give({A, B}, 0.0)
    assert found.next_search({A}, 0.0) == [B]


def test_what_a_search_did_not_find_is_looked_for_again_without_hurry() -> None:
    found = Assignment(0, 300)
    found.give({A}, 0.0)
    found.searched(10.0)
    assert found.next_search(set(), 10.9) == []
    assert found.next_search(set(), 11.0) == [A]


def test_a_stopped_place_is_tried_again_after_its_time_and_never_when_the_group_took_it() -> None:
    found = Assignment(0, retry_stopped_s=300)
    found.give({A, B}, 0.0)
    found.stop(A, "no rights", 10.0)
    found.stop(B, "no rights", 10.0)
    assert (found.without_start, found.stopped[A].reason) == (set(), "no rights")
    found.take({B}, 20.0)
    found.try_stopped_again(309.9)
    assert set(found.stopped) == {A}
    found.try_stopped_again(310.0)
    assert (found.without_start, found.stopped) == ({A}, {})


def test_what_has_no_topic_any_more_rests_until_the_topic_is_there_again_or_the_group_takes_it() -> None:
    found = Assignment(0, retry_stopped_s=300)
    visits = {("visits", 0), ("visits", 1), ("visits", 2)}
    found.give({A} | visits, 0.0)
    found.stop(("visits", 1), "no rights", 10.0)
    found.follow({"orders"})
    assert (found.without_start, found.stopped, found.without_topic) == ({A}, {}, visits)
    assert not found.has(("visits", 0)), "nothing is to be read of it, and nobody to be told that it is not"
    found.take({("visits", 2)}, 20.0)
    found.follow({"orders", "visits"})
    assert (found.without_start, found.without_topic) == ({A, ("visits", 0), ("visits", 1)}, set())


def test_a_position_that_is_refused_again_and_again_is_not_believed() -> None:
    found = Assignment(0, 300)
    refused = [found.refused(a_partition(), 7, now) for now in (0.0, 1.0, 2.0, 3.0)]
    assert refused == [False, False, False, True]
    assert not found.refused(a_partition(), 8, 4.0), "another position"
    assert not found.refused(a_partition(), 7, 100.0), "long after"


class Finder:
    """Fails for some places."""

    def __init__(self, damaged: set[Place], error: Exception | None = None) -> None:
        self.damaged, self.error, self.calls = damaged, error, 0

    def find(self, wanted: Sequence[Place], now_ms: int) -> list[Start]:
        self.calls += 1
        if self.error:
            raise self.error
        if found := self.damaged & set(wanted):
            raise DamagedArchive(f"{sorted(found)[0][1]} is damaged")
        return [Start(a_partition(*place), 0) for place in wanted]


def test_one_place_that_cannot_be_found_does_not_keep_the_others_from_theirs() -> None:
    places = [("orders", number) for number in range(10)]
    found = find_each(Finder({("orders", 3), ("orders", 8)}), places, 0)  # type: ignore[arg-type]
    assert [one.place for one in found] == places
    assert [one for one in found if isinstance(one, Stuck)] == [
        Stuck(("orders", 3), "3 is damaged"),
        Stuck(("orders", 8), "8 is damaged"),
    ]


def test_brokers_that_do_not_answer_are_no_fault_of_a_place() -> None:
    finder = Finder(set(), TryAgain("no answer"))
    with pytest.raises(TryAgain):
        find_each(finder, [A, B], 0)  # type: ignore[arg-type]
    assert finder.calls == 1


def test_what_waits_or_was_stopped_is_still_ours_until_the_group_takes_it() -> None:
    """Where the first partition of all is stopped, its owner still is the one that takes snapshots."""
    found = Assignment(0, 300)
    found.give({A, B}, 0.0)
    found.stop(A, "no right to read", 1.0)
    assert found.has(A) and found.has(B) and not found.has(C)
    found.take({A, B}, 2.0)
    assert not found.has(A) and not found.has(B)
