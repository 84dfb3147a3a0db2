from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.compiled import codec
from millpond.records import Row
from millpond.restore.writing import produce
from millpond.restore.writing.produce import produce_rows, unwritable
from tests.unit.archive.strategies import SMALL_ROWS
from tests.unit.archive.variants import VARIANTS
from tests.unit.builders import make_rows


@pytest.fixture(scope="module", autouse=True, params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(produce, "codec", codec if request.param == "compiled" else None)
        yield request.param


class Queue:
    """Takes records as the client's producer does, and has room for some."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, list[tuple[Any, ...]]()

    def produce(self, *arguments: Any) -> None:
        if len(self.taken) == self.room:
            raise BufferError("the queue is full")
        self.taken.append(arguments)


def expected(row: Row) -> tuple[Any, ...]:
    _, stamp, key, value, headers = row
    named = [(name.decode(), content) for name, content in headers] or None
    return "orders", value, key, 3, None, None, stamp, named


@given(SMALL_ROWS, st.integers(0, 5), st.integers(0, 7))
def test_records_are_handed_over_from_the_start_until_the_queue_is_full(rows: list[Row], start: int, room: int) -> None:
    rows = [(*row[:4], tuple((name.hex().encode(), content) for name, content in row[4])) for row in rows]
    queue, start = Queue(room), min(start, len(rows))
    reached = produce_rows(queue.produce, "orders", 3, rows, start)
    assert reached == min(len(rows), start + room)
    assert queue.taken == [expected(row) for row in rows[start:reached]]


def test_a_header_name_that_is_not_utf8_ends_it_behind_the_records_before() -> None:
    queue, rows = Queue(9), [*make_rows(0, 2), (2, 5, b"k", b"v", ((b"\xff", b""),))]
    with pytest.raises(UnicodeDecodeError):
        produce_rows(queue.produce, "orders", 3, rows, 0)
    assert len(queue.taken) == 2
    assert unwritable(rows) == 2


def test_what_the_producer_refuses_goes_on_to_the_caller() -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("fenced")

    with pytest.raises(RuntimeError, match="fenced"):
        produce_rows(refuse, "orders", 3, make_rows(0, 2), 0)


def test_names_that_come_again_and_change_are_those_of_their_records() -> None:
    names = [b"name-%d" % number for number in range(20)]
    rows: list[Row] = [
        (at, 5, None, None, tuple((names[(at // 3 + place) % 20], b"%d" % place) for place in range(18)))
        for at in range(40)
    ]
    queue = Queue(99)
    assert produce_rows(queue.produce, "orders", 3, rows, 0) == 40
    assert queue.taken == [expected(row) for row in rows]
