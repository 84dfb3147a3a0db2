"""When a window opens and closes, what it covers, and what is left to markers (format, 10.2)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from confluent_kafka import Message

from millpond.archive.schema import TimestampType
from millpond.backup.options import Rotation
from millpond.backup.partition import EpochFell, Jump, PartitionBackup, Unreadable
from millpond.backup.positions import Start
from millpond.backup.store_window import store_window
from millpond.backup.window import JITTER, BlockWriter
from millpond.errors import DamagedArchive
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.backup.records import APPEND, OpenAt, a_backup, message, messages, opener, told
from tests.unit.builders import ARCHIVE_ID, LAYOUT, ORDERS_3, offsets, read_window

HOUR = 3600.0


def closed(backup: PartitionBackup) -> list[tuple[int, int, int, int]]:
    return [told(one) for one in backup.closed]


def test_a_window_covers_from_the_position_to_the_last_record(open_window: OpenAt) -> None:
    backup = a_backup(open_window, position=10)
    assert backup.take(messages([12, 13, 20]), 0.0) is None
    backup.close(1.0)
    assert closed(backup) == [(10, 20, 7, 3)]
    assert (backup.position, backup.stored) == (21, 10)


def test_the_next_window_starts_behind_the_one_before(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1]), 0.0)
    backup.close(1.0)
    backup.take(messages([5]), 2.0)
    backup.close(3.0)
    assert closed(backup) == [(0, 1, 7, 2), (2, 5, 7, 1)]


def test_closing_without_anything_read_closes_nothing(open_window: OpenAt) -> None:
    backup = a_backup(open_window, position=5)
    backup.close(0.0)
    backup.reached_end(5, 0.0)
    backup.close(0.0)
    assert not backup.closed


def test_an_end_of_partition_report_extends_the_open_window(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1]), 0.0)
    backup.reached_end(5, 1.0)
    backup.close(2.0)
    assert closed(backup) == [(0, 4, 7, 2)]


def test_a_stretch_without_records_becomes_an_empty_marker(open_window: OpenAt) -> None:
    backup = a_backup(open_window, position=10)
    backup.reached_end(13, 5.0)
    assert not backup.due(5.0 + 9, Rotation(10, 1))
    assert backup.due(5.0 + 10, Rotation(10, 1))
    backup.close(15.0)
    assert closed(backup) == [(10, 12, -1, 0)]
    assert not backup.due(99.0, Rotation(1, 1))


def test_a_report_that_is_behind_the_position_changes_nothing(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1, 2]), 0.0)
    backup.reached_end(2, 0.0)
    assert backup.position == 3


def test_the_age_of_a_stretch_without_records_counts_from_the_first_report(open_window: OpenAt) -> None:
    """Reports come with every idle fetch: the last one must not put off the marker for ever."""
    backup = a_backup(open_window)
    for now in range(30):
        backup.reached_end(1 + now // 10, float(now))
    assert backup.due(10.0, Rotation(10, 1))


def test_records_behind_an_idle_stretch_open_a_window_that_covers_it(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.reached_end(5, 0.0)
    backup.take(messages([8]), 1.0)
    backup.close(2.0)
    assert closed(backup) == [(0, 8, 7, 1)]


# -- leader epochs: rule 1 of 10.2


def test_a_higher_epoch_starts_at_its_first_record_and_what_lies_before_goes_to_the_open_window(
    open_window: OpenAt,
) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1], epoch=5), 0.0)
    backup.take(messages([6, 7], epoch=6), 1.0)
    backup.close(2.0)
    assert closed(backup) == [(0, 5, 5, 2), (6, 7, 6, 2)]


def test_a_higher_epoch_behind_a_closed_window_leaves_an_empty_marker_before_it(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1], epoch=5), 0.0)
    backup.close(1.0)
    backup.take(messages([6], epoch=6), 1.0)
    backup.close(2.0)
    assert closed(backup) == [(0, 1, 5, 2), (2, 5, -1, 0), (6, 6, 6, 1)]


def test_a_higher_epoch_than_that_of_the_archive_starts_at_its_first_record(open_window: OpenAt) -> None:
    backup = a_backup(open_window, position=100, epoch=5)
    backup.take(messages([104], epoch=6), 0.0)
    backup.close(1.0)
    assert closed(backup) == [(100, 103, -1, 0), (104, 104, 6, 1)]


@pytest.mark.parametrize("before", [-1, 6])
def test_an_unknown_or_equal_epoch_before_starts_at_the_position(open_window: OpenAt, before: int) -> None:
    backup = a_backup(open_window, position=100, epoch=before)
    backup.take(messages([104], epoch=6), 0.0)
    backup.close(1.0)
    assert closed(backup) == [(100, 104, 6, 1)]


def test_epochs_that_change_within_a_batch_part_it(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    batch = [*messages([0, 1], epoch=5), *messages([4, 5], epoch=6), *messages([9], epoch=9)]
    assert backup.take(batch, 0.0) is None
    backup.close(1.0)
    assert closed(backup) == [(0, 3, 5, 2), (4, 8, 6, 2), (9, 9, 9, 1)]


def test_an_epoch_that_falls_is_refused_and_nothing_of_it_is_taken(open_window: OpenAt) -> None:
    backup = a_backup(open_window, epoch=5)
    assert backup.take([*messages([0, 1], epoch=5), *messages([2, 3], epoch=4)], 0.0) == EpochFell(2)
    assert backup.position == 2
    backup.close(1.0)
    assert closed(backup) == [(0, 1, 5, 2)]


@pytest.mark.parametrize("epoch", [None, -1])
def test_records_without_an_epoch_share_a_window_of_unknown_epoch(open_window: OpenAt, epoch: int | None) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 3], epoch=epoch), 0.0)
    backup.close(1.0)
    assert [one.window.epoch for one in backup.closed if one.window] == [-1]


def test_offsets_that_go_back_are_damage(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages([0, 1]), 0.0)
    with pytest.raises(DamagedArchive, match="orders-3 gave offset 1 after 1"):
        backup.take(messages([1]), 0.0)


# -- timestamps


def test_another_timestamp_type_starts_another_window(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take([message(0), message(1, kind=APPEND), message(2, kind=APPEND), message(4)], 0.0)
    backup.close(1.0)
    kinds = [one.window.timestamp_type for one in backup.closed if one.window]
    assert kinds == [TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME, TimestampType.CREATE_TIME]
    assert closed(backup) == [(0, 0, 7, 1), (1, 2, 7, 2), (3, 4, 7, 1)]


def test_the_bounds_are_those_of_the_timestamps_in_any_order(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    stamps = [5, -1, 2**62, 0, -(2**40)]
    for offset, at in enumerate(stamps):
        backup.take([message(offset, at=at)], 0.0)
    assert backup.window is not None
    assert (backup.window.min_timestamp, backup.window.max_timestamp) == (-(2**40), 2**62)


# -- age and size


def test_a_window_is_due_by_its_age_give_or_take_a_fifth(open_window: OpenAt) -> None:
    jitters = []
    for _ in range(50):
        backup = a_backup(open_window)
        backup.take(messages([0]), 100.0)
        assert backup.window is not None
        jitters.append(backup.window.jitter)
        due_at = 100.0 + 10 * backup.window.jitter
        assert not backup.due(due_at - 0.001, Rotation(10, 10**9))
        assert backup.due(due_at + 0.001, Rotation(10, 10**9))
        backup.discard()
    assert all(1 - JITTER <= jitter <= 1 + JITTER for jitter in jitters)
    assert len({round(jitter, 6) for jitter in jitters}) > 40, "all at once is what jitter avoids"


def test_the_age_counts_from_the_first_record_not_the_last(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    for now in range(13):
        backup.take(messages([now]), float(now))
    assert backup.due(12.1, Rotation(10, 10**9))


def test_a_window_is_due_by_its_compressed_size(tmp_path: Path, writer: BlockWriter) -> None:
    backup = a_backup(opener(tmp_path, writer, block_bytes=10_000))
    chance = random.Random(1)
    for offset in range(10):
        backup.take([message(offset, value=chance.randbytes(10_000))], 0.0)
    assert backup.window is not None
    backup.window.wait_written()
    assert backup.window.stored_bytes > 100_000
    assert backup.due(0.0, Rotation(HOUR, 100_000))
    assert not backup.due(0.0, Rotation(HOUR, 200_000))


# -- what is stored in the end


def test_what_was_taken_in_odd_batches_is_stored_once_and_in_order(open_window: OpenAt) -> None:
    store, chance, backup, offset = MemoryStore(), random.Random(7), a_backup(open_window), 0
    taken: list[int] = []
    epoch = 3
    for _ in range(60):
        batch = []
        for _ in range(chance.randint(1, 30)):
            epoch += chance.random() < 0.02
            batch.append(message(offset, epoch=epoch, kind=chance.choice([1, 1, 1, 2])))
            taken.append(offset)
            offset += chance.choice([1, 1, 1, 4])
        assert backup.take(batch, 0.0) is None
        if chance.random() < 0.3:
            backup.reached_end(backup.position + chance.choice([0, 2]), 0.0)
            offset = max(offset, backup.position)
        if chance.random() < 0.2:
            backup.close(0.0)
    backup.close(0.0)
    stored: list[int] = []
    expected_first = 0
    for one in backup.closed:
        assert one.first == expected_first, "no hole, no overlap"
        expected_first = one.last + 1
        if one.window:
            one.window.wait_written()
            key = store_window(store, LAYOUT, one.window.spool, one.facts(ARCHIVE_ID, 1))
            facts, rows = read_window(read(store, key))
            assert (facts.first, facts.last, facts.count) == (one.first, one.last, len(rows))
            stored += offsets(rows)
    assert stored == taken
    assert expected_first == backup.position


def test_what_is_discarded_leaves_no_file(tmp_path: Path, open_window: OpenAt) -> None:
    writer = BlockWriter()
    backup = a_backup(opener(tmp_path, writer))
    for offset in range(0, 100, 10):
        backup.take(messages(range(offset, offset + 10)), 0.0)
        if offset % 20 == 0:
            backup.close(0.0)
    backup.discard()
    writer.close()
    assert list(tmp_path.glob("*.blocks")) == []


def test_what_is_not_confirmed_is_kept_up_to_a_border(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    for first in (0, 10, 20):
        backup.take(messages(range(first, first + 3)), 0.0)
        backup.close(0.0)
    backup.closed[0].confirmed = True
    assert backup.unconfirmed_from == 3
    replacement = open_window(3, 7, TimestampType.CREATE_TIME, 0.0)
    replacement.append(b"", [1])
    backup.keep_until(11, replacement)
    assert closed(backup) == [(0, 2, 7, 3), (3, 10, 7, 1)]
    assert all(one.confirmed for one in backup.closed)


def test_nothing_that_is_not_confirmed_is_kept_below_its_first_offset(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    for first in (0, 10):
        backup.take(messages([first]), 0.0)
        backup.close(0.0)
    backup.closed[0].confirmed = True
    backup.keep_until(1, None)
    assert closed(backup) == [(0, 0, 7, 1)]


# -- holes, and records that cannot be read


def filling(open_window: OpenAt, until: int) -> PartitionBackup:
    return PartitionBackup(Start(ORDERS_3, 0, until=until), open_window)


def test_a_hole_is_filled_up_to_where_the_archive_goes_on(open_window: OpenAt) -> None:
    backup = filling(open_window, until=10)
    assert backup.take(messages([0, 4]), 0.0) is None
    assert backup.take(messages([8, 9, 10, 11]), 0.0) == Jump(10)
    assert closed(backup) == [(0, 9, 7, 4)]


def test_a_hole_without_records_becomes_a_marker(open_window: OpenAt) -> None:
    backup = filling(open_window, until=10)
    assert backup.take(messages([10]), 0.0) == Jump(10)
    assert closed(backup) == [(0, 9, -1, 0)]
    backup = filling(open_window, until=10)
    assert backup.reached_end(10, 0.0) is None
    assert backup.reached_end(30, 0.0) == Jump(10)
    assert closed(backup) == [(0, 9, -1, 0)]


def unreadable(offset: int) -> Message:
    """Its header's name is no text that UTF-8 could hold."""
    return message(offset, headers=[("\udcff", b"x")])


def test_a_record_that_cannot_be_read_is_told_and_what_is_before_it_taken(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    batch = [*messages([0, 1]), unreadable(2), message(3)]
    found = backup.take(batch, 0.0)
    assert isinstance(found, Unreadable) and found.offset == 2
    assert backup.position == 2
    backup.pass_over(2, 0.0)
    assert backup.take(batch[3:], 0.0) is None
    backup.close(0.0)
    assert closed(backup) == [(0, 1, 7, 2), (2, 2, -1, 0), (3, 3, 7, 1)]
    assert [one.reason.value for one in backup.closed if one.window is None] == ["unreadable"]


def test_a_record_that_cannot_be_read_opens_no_window_without_records(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    assert isinstance(backup.take([unreadable(0), message(1)], 0.0), Unreadable)
    assert backup.window is None
    backup.close(0.0)
    assert not backup.closed


def test_a_window_is_due_by_its_records(open_window: OpenAt) -> None:
    backup = a_backup(open_window)
    backup.take(messages(range(9)), 0.0)
    assert not backup.due(0.0, Rotation(HOUR, 10**9, 10))
    backup.take(messages([9]), 0.0)
    assert backup.due(0.0, Rotation(HOUR, 10**9, 10))
    assert not backup.due(0.0, Rotation(HOUR, 10**9, 0))


# -- how long a record waits


@pytest.mark.parametrize(
    ("stamp", "archived_ms", "expected"),
    [(1000, 0, 1000), (1000, 5000, 5000), (7000, 5000, 7000), (-1, 0, 9000), (10**15, 5000, 9000)],
    ids=["its stamp", "older than the last object", "its stamp again", "no stamp", "a stamp in the future"],
)
def test_a_record_waits_since_it_came_as_far_as_one_can_tell(
    open_window: OpenAt, monkeypatch: pytest.MonkeyPatch, stamp: int, archived_ms: int, expected: int
) -> None:
    monkeypatch.setattr("millpond.backup.partition.now_ms", lambda: 9000)
    backup = PartitionBackup(Start(ORDERS_3, 0, archived_ms=archived_ms), open_window)
    assert backup.unstored_since_ms is None
    backup.take([message(0, at=stamp)], 0.0)
    assert backup.unstored_since_ms == expected
    backup.close(0.0)
    assert backup.unstored_since_ms == expected
    backup.closed.clear()
    assert backup.unstored_since_ms is None
