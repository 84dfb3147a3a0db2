"""What gives way when memory or the spool fills up."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from millpond.backup.budget import close_largest_windows, cut_largest_blocks, spool_limit
from millpond.backup.partition import PartitionBackup
from millpond.backup.positions import Start
from millpond.backup.window import BlockWriter, OpenBlocks
from tests.unit.backup.records import message, opener
from tests.unit.builders import a_partition

CHANCE = random.Random(3)


def a_group(
    folder: Path, writer: BlockWriter, sizes: list[int], *, block_bytes: int
) -> tuple[list[PartitionBackup], OpenBlocks]:
    """One partition for each size, with so many bytes of values taken."""
    blocks = OpenBlocks()
    open_window = opener(folder, writer, block_bytes, blocks)
    found = []
    for number, size in enumerate(sizes):
        partition = PartitionBackup(Start(a_partition(partition=number), 0), open_window)
        partition.take([message(0, value=CHANCE.randbytes(size))], 0.0)
        found.append(partition)
    return found, blocks


def open_bytes(partitions: list[PartitionBackup]) -> list[bool]:
    return [partition.window is not None and partition.window.open_bytes > 0 for partition in partitions]


def test_the_largest_open_blocks_are_cut_first(tmp_path: Path, writer: BlockWriter) -> None:
    partitions, blocks = a_group(tmp_path, writer, [1000, 9000, 2000, 8000], block_bytes=1 << 20)
    assert blocks.size_bytes > 20_000
    cut_largest_blocks(partitions, blocks, 16_000)
    assert blocks.size_bytes <= 12_000
    assert open_bytes(partitions) == [True, False, True, True]
    assert all(partition.window is not None for partition in partitions), "no window is closed for it"


def test_the_sum_of_open_blocks_comes_back_to_nothing(tmp_path: Path, writer: BlockWriter) -> None:
    partitions, blocks = a_group(tmp_path, writer, [1000, 2000, 3000], block_bytes=1 << 20)
    partitions[0].close(1.0)
    partitions[1].discard()
    cut_largest_blocks(partitions, blocks, 0)
    assert blocks.size_bytes == 0
    assert (blocks.records, blocks.encoded_bytes > 6000) == (3, True)


@pytest.mark.parametrize(
    ("limit", "closed", "waits"),
    [
        (200_000, [False] * 4, False),
        (70_000, [False, True, False, False], False),
        (60_000, [False, True, False, True], True),
    ],
    ids=["room", "filling up", "full"],
)
def test_the_largest_windows_are_closed_as_the_spool_fills_up(
    tmp_path: Path, writer: BlockWriter, limit: int, closed: list[bool], waits: bool
) -> None:
    partitions, _ = a_group(tmp_path, writer, [5_000, 25_000, 5_000, 20_000], block_bytes=1)
    for partition in partitions:
        assert partition.window is not None
        partition.window.wait_written()
    used = sum(partition.spooled_bytes for partition in partitions)
    assert 55_000 < used < 60_000
    assert close_largest_windows(partitions, used, limit, 1.0) is waits
    assert [bool(partition.closed) for partition in partitions] == closed


def test_the_limit_is_what_was_said_or_most_of_what_is_free(tmp_path: Path) -> None:
    assert spool_limit(tmp_path, 12345) == 12345
    assert spool_limit(tmp_path, 0) > 1 << 20
