"""What is told of partitions that nobody reads, and of topics that went."""

from __future__ import annotations

import logging

import pytest

from millpond.backup.standing import PartitionClocks, TopicsGone
from millpond.backup.status import Gone, GoneTopic, PartitionState, PartitionStatus
from millpond.kafka.places import Place

A, B = ("orders", 0), ("orders", 1)
FINDING, STOPPED, LOST = PartitionState.FINDING, PartitionState.STOPPED, PartitionState.LOST
DAY_MS = 86_400_000


def told(place: Place, state: PartitionState, complete_ms: int, since_ms: int, reason: str = "") -> PartitionStatus:
    return PartitionStatus(*place, state, unstored_since_ms=complete_ms, state_since_ms=since_ms, reason=reason)


# -- partitions


def test_a_partition_that_was_never_read_counts_from_when_it_was_given() -> None:
    clocks = PartitionClocks()
    assert clocks.unread(A, FINDING, 1_000) == told(A, FINDING, 1_000, 1_000)
    assert clocks.unread(A, FINDING, 9_000) == told(A, FINDING, 1_000, 1_000)


def test_a_partition_that_was_stopped_counts_from_when_all_of_it_was_stored() -> None:
    clocks = PartitionClocks()
    clocks.read(A, None, 5_000)
    assert clocks.unread(A, STOPPED, 6_000, reason="no") == told(A, STOPPED, 5_000, 6_000, "no")


def test_what_waited_when_a_partition_was_stopped_counts_from_since_it_waited() -> None:
    clocks = PartitionClocks()
    clocks.read(A, 2_000, 5_000)
    assert clocks.unread(A, STOPPED, 6_000) == told(A, STOPPED, 2_000, 6_000)


def test_a_stopped_partition_that_is_tried_again_in_vain_does_not_seem_younger() -> None:
    clocks = PartitionClocks()
    clocks.read(A, None, 1_000)
    clocks.unread(A, STOPPED, 2_000)
    assert clocks.unread(A, FINDING, 302_000) == told(A, FINDING, 1_000, 302_000)
    assert clocks.unread(A, STOPPED, 303_000) == told(A, STOPPED, 1_000, 303_000)


def test_a_partition_that_is_read_again_is_as_young_as_what_it_says() -> None:
    clocks = PartitionClocks()
    clocks.unread(A, STOPPED, 1_000)
    clocks.read(A, None, 500_000)
    assert clocks.unread(A, FINDING, 501_000) == told(A, FINDING, 500_000, 501_000)


def test_partitions_of_a_session_that_ended_are_lost_and_grow_older() -> None:
    clocks = PartitionClocks()
    clocks.read(A, None, 10_000)
    assert clocks.lost([A], True, 50_000) == []
    assert clocks.lost([], False, 55_000) == [told(A, LOST, 10_000, 55_000)]
    assert clocks.lost([], False, 3_610_000) == [told(A, LOST, 10_000, 55_000)]


def test_partitions_that_were_handed_over_are_forgotten() -> None:
    clocks = PartitionClocks()
    clocks.read(A, None, 10_000)
    assert clocks.lost([], True, 11_000) == []
    assert clocks.unread(A, FINDING, 90_000) == told(A, FINDING, 90_000, 90_000)


def test_lost_partitions_that_come_back_go_on_counting_until_they_are_read_and_the_others_are_others() -> None:
    clocks = PartitionClocks()
    for place in (A, B):
        clocks.read(place, None, 10_000)
    assert len(clocks.lost([], False, 55_000)) == 2
    assert clocks.unread(A, FINDING, 103_000) == told(A, FINDING, 10_000, 103_000)
    assert clocks.lost([A], True, 103_000) == []
    assert clocks.lost([A], False, 104_000) == []


# -- topics


def test_a_topic_that_was_deleted_is_told_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    gone = TopicsGone()
    gone.look(["orders", "prices"], [], 1_000)
    assert gone.told(1_000) == ()
    with caplog.at_level(logging.WARNING):
        for at_ms in (2_000, 3_000):
            gone.look(["prices"], [], at_ms)
    assert gone.told(3_000) == (GoneTopic("orders", Gone.DELETED, 2_000),)
    assert [record.getMessage() for record in caplog.records] == ["topic orders was deleted; the archive keeps it"]
    assert len(gone.told(1_999 + DAY_MS)) == 1
    assert gone.told(2_000 + DAY_MS) == ()


def test_a_topic_that_may_no_longer_be_described_is_an_error_until_it_may(caplog: pytest.LogCaptureFixture) -> None:
    gone = TopicsGone()
    gone.look(["orders", "prices"], [], 1_000)
    with caplog.at_level(logging.WARNING):
        gone.look(["prices"], ["orders"], 2_000)
        assert "orders" in gone.known, "a list of topics does not show it: it has to be asked for by name"
        gone.look(["prices"], ["orders"], 3_000)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert gone.told(2_000 + 9 * DAY_MS) == (GoneTopic("orders", Gone.REFUSED, 2_000),)
    gone.look(["orders", "prices"], [], 4_000)
    assert gone.told(4_000) == ()


def test_a_refused_topic_that_turns_out_to_be_deleted_is_told_as_that() -> None:
    gone = TopicsGone()
    gone.look(["orders"], [], 1_000)
    gone.look([], ["orders"], 2_000)
    gone.look([], [], 3_000)
    assert gone.told(3_000) == (GoneTopic("orders", Gone.DELETED, 3_000),)
    assert gone.known == frozenset()


def test_a_topic_that_was_never_seen_is_not_missed() -> None:
    gone = TopicsGone()
    gone.look([], ["secret"], 1_000)
    assert gone.told(1_000) == ()
