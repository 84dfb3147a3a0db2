"""A stretch without records that has no window of a known epoch before it is told by a window of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from millpond.archive.catalog import read_partition
from millpond.archive.coverage import Span
from millpond.archive.facts import WindowFacts
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool
from millpond.backup.options import Rotation
from millpond.backup.partition import PartitionBackup
from millpond.backup.partitioner import Partitioner
from millpond.backup.positions import Start
from millpond.backup.store_parts import store_parts
from millpond.backup.store_window import store_window
from millpond.backup.window import OpenWindow
from millpond.inspect.records import range_of, read_object, read_range
from millpond.storage.memory import MemoryStore
from millpond.verify.coverage import coverage_of
from tests.unit.backup.records import OpenAt, messages, told
from tests.unit.builders import ARCHIVE_ID, LAYOUT, ORDERS_3, make_rows, make_window, put_rows, put_window, read_window
from tests.unit.erasure.archive_builder import Pond, partition, request, row
from tests.unit.inspect.archives import NOW, an_archive
from tests.unit.restore.test_restore_source import read_parts

ROWS = make_rows(0, 10)


def a_stretch(open_window: OpenAt, **start: int) -> PartitionBackup:
    """Offsets 5 to 7 were read, and held no record."""
    backup = PartitionBackup(Start(ORDERS_3, 5, **start), open_window)  # type: ignore[arg-type]
    assert backup.reached_end(8, 0.0) is None
    return backup


def without_records(open_window: OpenAt) -> tuple[WindowSpool, WindowFacts]:
    """That stretch as a window of epoch 9, ready for the store."""
    backup = a_stretch(open_window, least_epoch=9)
    backup.close(0.0)
    (closed,) = backup.closed
    assert closed.window is not None
    closed.window.wait_written()
    return closed.window.spool, closed.facts(ARCHIVE_ID, 1)


def test_it_has_the_lowest_epoch_that_anything_from_there_on_can_have(open_window: OpenAt) -> None:
    backup = a_stretch(open_window, least_epoch=9)
    assert not backup.due(9.9, Rotation(max_age_s=10)) and backup.due(10.0, Rotation(max_age_s=10))
    backup.close(10.0)
    (closed,) = backup.closed
    assert (told(closed), closed.epoch, closed.since_ms) == ((5, 7, 9, 0), 9, None)


@pytest.mark.parametrize("start", [{"epoch": 7}, {"epoch": -1, "least_epoch": -1}])
def test_a_marker_does_behind_a_window_and_where_brokers_tell_no_epochs(open_window: OpenAt, start: dict) -> None:
    backup = a_stretch(open_window, **start)
    backup.close(0.0)
    assert [told(closed) for closed in backup.closed] == [(5, 7, -1, 0)]


def test_what_comes_behind_it_is_told_by_it(open_window: OpenAt) -> None:
    """The next stretch is a marker, and a window of a higher epoch starts at its first record."""
    backup = a_stretch(open_window, least_epoch=9)
    backup.close(0.0)
    backup.reached_end(12, 0.0)
    backup.take(messages([20, 21], epoch=11), 0.0)
    backup.close(0.0)
    assert [told(closed) for closed in backup.closed] == [(5, 7, 9, 0), (8, 19, -1, 0), (20, 21, 11, 2)]


def test_records_that_come_before_it_is_stored_are_in_one_window_with_it(open_window: OpenAt) -> None:
    backup = a_stretch(open_window, least_epoch=9)
    backup.take(messages([20, 21], epoch=11), 0.0)
    backup.close(0.0)
    assert [told(closed) for closed in backup.closed] == [(5, 21, 11, 2)]


def test_it_is_read_again_where_no_file_can_be_made(open_window: OpenAt) -> None:
    full = True

    def open_or_fail(first: int, epoch: int, kind: TimestampType, now: float) -> OpenWindow:
        if full:
            raise OSError(28, "No space left on device")
        return open_window(first, epoch, kind, now)

    backup = a_stretch(open_or_fail, least_epoch=9)
    backup.close(0.0)
    assert not backup.closed and backup.stored == 5
    full = False
    backup.close(1.0)
    assert [told(closed) for closed in backup.closed] == [(5, 7, 9, 0)]


@pytest.mark.parametrize("border", [6, 8])
def test_it_keeps_its_epoch_where_its_topic_was_made_again(open_window: OpenAt, border: int) -> None:
    backup = a_stretch(open_window, least_epoch=9)
    backup.close(0.0)
    backup.keep_until(border, None)
    assert [told(closed) for closed in backup.closed] == [(5, border - 1, 9, 0)]
    assert all(closed.confirmed for closed in backup.closed)


# -- in the archive


@pytest.fixture
def store(open_window: OpenAt) -> MemoryStore:
    """Offsets 0 to 9 of epoch 7, cut at 5, from where the new branch has no record."""
    store = an_archive()
    put_rows(store, ROWS, epoch=7)
    store_window(store, LAYOUT, *without_records(open_window))
    return store


def key_of(store: MemoryStore) -> str:
    (empty,) = (one.info.key for one in read_partition(store, LAYOUT, ORDERS_3).windows if one.name.epoch == 9)
    return empty


def test_its_object_is_a_window_like_any_other(store: MemoryStore) -> None:
    with store.open(key_of(store)) as stream:
        facts, rows = read_window(stream.read())
    assert (facts.first, facts.last, facts.count, facts.leader_epoch, rows) == (5, 7, 0, 9, [])
    assert (facts.timestamp_type, facts.min_timestamp, facts.max_timestamp) == (TimestampType.NONE, -1, -1)


def test_written_twice_it_is_there_once(store: MemoryStore, open_window: OpenAt) -> None:
    before = key_of(store)
    assert store_window(store, LAYOUT, *without_records(open_window)) == before
    assert key_of(store) == before


def test_where_windows_are_split_it_is_one_object(open_window: OpenAt, tmp_path: Path) -> None:
    store = an_archive()
    key = store_parts(store, LAYOUT, *without_records(open_window), partitioner=Partitioner.of("key.country"))
    assert key.endswith("-e9-t-1--1.avro") and key == key_of(store)


def test_it_ends_the_branch_that_was_cut(store: MemoryStore) -> None:
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert [one.span for one in listing.live()] == [Span(0, 4), Span(5, 7)]
    assert listing.position(log_start=0) == 8


def test_a_restore_reads_what_is_before_it(store: MemoryStore) -> None:
    assert [row for part in read_parts(store) for row in part.rows] == ROWS[:5]


def test_a_look_at_records_gives_none_of_it(store: MemoryStore) -> None:
    found = range_of(store, LAYOUT, ORDERS_3, Span(0, 99))
    assert [row for batch in read_range(store, LAYOUT, found) for row in batch.rows] == ROWS[:5]
    assert [row for batch in read_object(store, LAYOUT, key_of(store)) for row in batch.rows] == []


def test_coverage_counts_it_and_takes_no_time_from_it(store: MemoryStore) -> None:
    found = coverage_of(store, LAYOUT, now_ms=NOW)
    (topic,) = found["topics"]
    stamps = [row[1] for row in ROWS]
    assert (found["unexplained"], found["offsets"]) == (0, 8)
    assert (topic["oldest_ms"], topic["newest_ms"]) == (min(stamps), max(stamps))


def test_a_redaction_leaves_it_as_it_is() -> None:
    pond = Pond(MemoryStore())
    pond.write([row(0, b"anna"), row(1, b"ben")])
    built = make_window([], partition=partition(), first=2, last=5, archive_id=pond.archive_id)
    empty = put_window(pond.store, built, layout=pond.layout)
    (before,) = pond.versions(empty)
    assert pond.run(request("anna"))["status"] == "COMPLETE"
    assert pond.versions(empty) == [before]
