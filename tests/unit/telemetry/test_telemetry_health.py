"""Health asks for a new process only where that helps."""

from __future__ import annotations

import pytest

from millpond.backup.health import backup_health
from millpond.backup.status import Gone, GoneTopic, PartitionState, PartitionStatus, starting, together
from tests.unit.telemetry.statuses import BUSY, NOW, WELL, status


def test_a_loop_that_tells_of_itself_is_healthy() -> None:
    health = backup_health(WELL, NOW, NOW + 500)
    assert (health.ok, health.why, health.warnings) == (True, "the loop told its status 0.5 s ago", ())


@pytest.mark.parametrize(("age_s", "ok"), [(59.9, True), (60, False), (3600, False)])
def test_a_loop_that_says_nothing_for_a_minute_hangs(age_s: float, ok: bool) -> None:
    assert backup_health(WELL, 0, NOW + int(age_s * 1000)).ok is ok


@pytest.mark.parametrize(("age_s", "ok"), [(0, True), (59, True), (61, False)])
def test_a_start_that_never_comes_to_its_loop_hangs_too(age_s: int, ok: bool) -> None:
    assert backup_health(None, NOW, NOW + age_s * 1000).ok is ok


def test_one_worker_that_hangs_shows_among_others() -> None:
    both = together([WELL, status(at_ms=NOW - 61_000)])
    assert not backup_health(both, NOW, NOW).ok


def test_what_a_restart_would_not_cure_is_a_warning() -> None:
    found = backup_health(
        status(uploads_failing_since_ms=NOW - 90_000, heard_ms=NOW - 61_000), started_ms=0, now_ms=NOW
    )
    assert found.ok
    assert found.warnings == (
        {"kind": "uploads failing", "seconds": 90.0},
        {"kind": "brokers silent", "seconds": 61.0},
        {"kind": "partition stopped", "topic": "orders", "partition": 1, "reason": "not authorised to read"},
    )


def test_a_loop_that_hangs_still_tells_its_last_warnings() -> None:
    found = backup_health(BUSY, 0, NOW + 120_000)
    assert not found.ok and "120 s" in found.why
    assert "partition stopped" in [warning["kind"] for warning in found.warnings]


def test_brokers_that_answered_within_a_minute_are_no_warning() -> None:
    assert backup_health(status(heard_ms=NOW - 59_000, partitions=()), 0, NOW).warnings == ()


def test_a_worker_that_hangs_before_it_says_anything_shows_among_others() -> None:
    both = together([WELL, starting(NOW - 61_000, NOW - 61_000)])
    assert not backup_health(both, NOW, NOW).ok


def of(state: PartitionState, for_s: int) -> PartitionStatus:
    return PartitionStatus("orders", 1, state, unstored_since_ms=0, state_since_ms=NOW - for_s * 1000)


def test_a_partition_that_nobody_reads_is_a_warning() -> None:
    place = {"topic": "orders", "partition": 1}
    found = backup_health(status(partitions=(of(PartitionState.FINDING, 61),)), 0, NOW)
    assert found.warnings == ({"kind": "position not found", **place, "seconds": 61},)
    found = backup_health(status(partitions=(of(PartitionState.LOST, 5),)), 0, NOW)
    assert found.warnings == ({"kind": "partition lost", **place, "seconds": 5},)


def test_a_search_of_a_minute_is_no_warning() -> None:
    assert backup_health(status(partitions=(of(PartitionState.FINDING, 60),)), 0, NOW).warnings == ()


def test_topics_that_are_gone_are_warnings_once_for_all_workers() -> None:
    gone = (GoneTopic("old", Gone.DELETED, NOW - 9_000), GoneTopic("secret", Gone.REFUSED, NOW - 3_000))
    later = tuple(GoneTopic(one.topic, one.why, one.since_ms + 1_000) for one in gone)
    both = together([status(partitions=(), gone=later), status(partitions=(), gone=gone)])
    assert backup_health(both, 0, NOW).warnings == (
        {"kind": "topic deleted", "topic": "old", "seconds": 9},
        {"kind": "topic refused", "topic": "secret", "seconds": 3},
    )
