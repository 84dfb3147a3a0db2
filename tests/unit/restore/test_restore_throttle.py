from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.records import Row
from millpond.restore.writing.throttle import Throttle, size_of
from tests.unit.builders import make_rows


class Clock:
    """Time passes only where somebody waits."""

    def __init__(self) -> None:
        self.now, self.longest = 100.0, 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now, self.longest = self.now + seconds, max(self.longest, seconds)


def rows_of(*sizes: int) -> list[Row]:
    return [(n, 1, None, b"v" * size, ()) for n, size in enumerate(sizes)]


def test_key_value_and_headers_count() -> None:
    assert size_of((0, 1, b"key", b"value", ((b"name", b"x"), (b"empty", None)))) == 3 + 5 + 4 + 1 + 5
    assert size_of((0, 1, None, None, ())) == 0


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=200), st.integers(500, 50_000))
def test_all_records_pass_in_order(sizes: list[int], limit: int) -> None:
    clock, rows = Clock(), rows_of(*sizes)
    passed = [row for portion in Throttle(limit, clock=clock).portions(rows, clock.wait) for row in portion]
    assert passed == rows
    assert clock.longest <= 0.1


@pytest.mark.parametrize("size", [10, 1000, 20_000])
@pytest.mark.parametrize("limit", [1000, 100_000, 10_000_000])
def test_bytes_a_second_are_within_a_tenth_of_the_limit(size: int, limit: int) -> None:
    clock, sent = Clock(), 0
    throttle, began = Throttle(limit, clock=clock), clock.now
    rows = rows_of(*[size] * max(3, limit // size // 7))
    while clock.now - began < 10 or sent < 10 * size:
        for portion in throttle.portions(rows, clock.wait):
            last = sum(map(size_of, portion))
            sent += last
        clock.wait(0.1)  # a flush
    assert 0.9 * limit <= (sent - last) / (clock.now - began) <= 1.1 * limit


def test_a_standstill_is_made_up_for_by_half_a_second_at_most() -> None:
    clock = Clock()
    throttle, rows = Throttle(1000, clock=clock), rows_of(*[100] * 50)
    for _ in throttle.portions(rows[:1], clock.wait):
        pass
    clock.now += 60
    began = clock.now
    for _ in throttle.portions(rows, clock.wait):
        pass
    assert clock.now - began == pytest.approx((5000 - 100) / 1000 - 0.5)


def test_without_a_limit_everything_passes_at_once() -> None:
    rows = make_rows(0, 20)
    (portion,) = Throttle(None).portions(rows, lambda _: pytest.fail("it waits"))
    assert portion is rows
