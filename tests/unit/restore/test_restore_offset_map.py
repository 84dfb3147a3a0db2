"""Chunks of the offset map: runs, the way to the store and back, tips."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.runs import Run
from millpond.archive.schema import TimestampType
from millpond.errors import RefusedForSafety
from millpond.restore.planning.plan import KIND
from millpond.restore.writing.offset_map import (
    Chunk,
    extend_runs,
    read_chunks,
    runs_in,
    runs_of,
    text_of,
    tip_hash,
    write_chunk,
)
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, make_rows

rising = st.sets(st.integers(0, 2**63 - 1) | st.integers(0, 50), max_size=40).map(sorted)


def a_run(store: MemoryStore | None = None) -> Run:
    return Run(store or MemoryStore(), LAYOUT, KIND, "r")


def a_chunk(base: int = 0, source: list[list[int]] | None = None, part: int = 0) -> Chunk:
    source = source or [[1000, 2], [1005, 1]]
    count = sum(length for _, length in source)
    return Chunk(part, base, count, source, "00" * 16, "ab" * 32, "create_time", "tip", [])


@given(rising)
def test_runs_say_the_same_numbers_in_as_few_pairs_as_can_be(numbers: list[int]) -> None:
    runs = runs_of(numbers)
    assert [n for first, count in runs for n in range(first, first + count)] == numbers
    assert all(count > 0 for _, count in runs)
    assert all(one[0] + one[1] < two[0] for one, two in pairwise(runs))


@given(rising, st.integers(0, 40))
def test_runs_may_be_made_in_pieces(numbers: list[int], cut: int) -> None:
    runs = runs_of(numbers[:cut])
    for first, count in runs_of(numbers[cut:]):
        extend_runs(runs, first, count)
    assert runs == runs_of(numbers)


@given(rising.filter(bool), st.integers(0, 10**6), st.sampled_from(list(TimestampType)))
def test_a_chunk_comes_back_as_it_was_written(numbers: list[int], base: int, kind: TimestampType) -> None:
    run = a_run()
    zeros = runs_of(base + n for n in range(0, len(numbers), 3))
    chunk = Chunk(3, base, len(numbers), runs_of(numbers), "0f" * 16, "d", kind.value, "t", zeros)
    write_chunk(run, "orders", 3, chunk)
    (found,) = read_chunks(run, "orders", 3)
    assert found == chunk
    assert list(found.source_offsets()) == numbers
    assert (found.end, found.kind) == (base + len(numbers), kind)


def test_chunks_come_in_order_of_their_base_and_of_their_partition_alone() -> None:
    run = a_run()
    bases = [10**k for k in range(12)]
    for number, base in reversed(list(enumerate(bases))):
        write_chunk(run, "orders", 1, a_chunk(base, part=number))
    for target, partition in (("orders", 11), ("orders", 0), ("orders.1", 1)):
        write_chunk(run, target, partition, a_chunk(5))
    assert [chunk.base for chunk in read_chunks(run, "orders", 1)] == bases
    assert read_chunks(run, "orders", 2) == []


def test_a_chunk_written_twice_is_there_once() -> None:
    run = a_run()
    write_chunk(run, "orders", 1, a_chunk())
    write_chunk(run, "orders", 1, replace(a_chunk(), salt="11" * 16, digest="cd" * 32))
    assert read_chunks(run, "orders", 1) == [a_chunk()]


@pytest.mark.parametrize("source", [[[1000, 3]], [[1000, 2], [1006, 1]], [[1000, 2]], [[1000, 2], [1005, 2]]])
def test_another_workers_chunk_is_refused(source: list[list[int]]) -> None:
    run = a_run()
    write_chunk(run, "orders", 1, a_chunk())
    with pytest.raises(RefusedForSafety, match="another worker writes to orders-1"):
        write_chunk(run, "orders", 1, a_chunk(source=source))


def test_a_tip_knows_its_record_and_no_other() -> None:
    row, salt = make_rows(7, 1)[0], bytes(16)
    others = [
        (8, *row[1:]),
        (row[0], row[1] + 1, *row[2:]),
        (*row[:2], None, *row[3:]),
        (*row[:3], None, row[4]),
        (*row[:3], b"", row[4]),
        (*row[:4], ((b"a", None),)),
    ]
    tips = {tip_hash(other, salt) for other in [row, *others]}
    assert len(tips) == 7
    assert tip_hash(row, salt) == tip_hash((*row,), salt) != tip_hash(row, b"\1" * 16)


@given(rising)
def test_runs_come_back_out_of_their_text(numbers: list[int]) -> None:
    assert runs_in(text_of(runs_of(numbers))) == runs_of(numbers)


def test_a_text_tells_what_to_pass_over_and_what_to_take() -> None:
    assert text_of([[1000, 2], [1005, 1]]) == "1000+2 3+1" and text_of([]) == ""


@pytest.mark.parametrize("text", ["5", "1+2+3", "a+1", "1-2"])
def test_a_text_that_tells_no_runs_is_no_runs(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        runs_in(text)


def test_a_compacted_million_stays_small() -> None:
    """Every third record is left, in no order."""
    chance = random.Random(7)
    kept = [offset for offset in range(3_000_000) if chance.random() < 1 / 3]
    size = len(text_of(runs_of(kept))) * 1_000_000 / len(kept)
    assert size < 3_000_000, f"{size:.0f} bytes for a million records"
