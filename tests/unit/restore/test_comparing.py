"""Two streams of records held against each other, which ranges a sample takes, and threads that share the work."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.schema import TimestampType
from millpond.errors import TryAgain
from millpond.records import Row
from millpond.restore.comparing.join import Found, compare_records
from millpond.restore.comparing.sample import WHOLE, Sample
from millpond.restore.comparing.tally import NAMED, Kind, Reason, Tally, totals
from millpond.restore.comparing.target_records import target_offset
from millpond.restore.comparing.threads import Told, in_threads
from millpond.restore.writing.offset_map import Chunk, runs_of

CREATED, APPENDED = TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME


class Excuse:
    """Excuses even offsets."""

    def missing(self, offset: int) -> Reason | None:
        return Reason.COMPACTED if offset % 2 == 0 else None

    def unknown(self, offset: int) -> Reason | None:
        return Reason.LEFT_OUT if offset % 2 == 0 else None

    def differing(self, offset: int) -> Reason | None:
        return Reason.REDACTED if offset % 2 == 0 else None

    def target_offset(self, offset: int) -> int | None:
        return offset + 1000


def a_row(offset: int, value: bytes = b"v") -> Row:
    return offset, 5, b"k", value, ((b"h", None),)


def compared(originals: list[Row], found: list[Found], kind: TimestampType | None = None) -> Tally:
    tally = Tally()
    compare_records(originals, found, kind, Excuse(), tally)
    return tally


@given(
    st.dictionaries(st.integers(0, 60), st.binary(max_size=1)),
    st.dictionaries(st.integers(0, 60), st.binary(max_size=1)),
)
def test_every_offset_counts_once_as_what_it_is(mine: dict[int, bytes], theirs: dict[int, bytes]) -> None:
    tally = compared(
        [a_row(offset, mine[offset]) for offset in sorted(mine)],
        [Found(a_row(offset, theirs[offset])) for offset in sorted(theirs)],
    )
    both = mine.keys() & theirs.keys()
    unequal = {offset for offset in both if mine[offset] != theirs[offset]}

    def odd(offsets: set[int]) -> int:
        return sum(offset % 2 for offset in offsets)

    assert tally.equal == len(both) - len(unequal)
    assert tally.found[Kind.DIFFERS] == odd(unequal)
    assert tally.found[Kind.NOT_IN_TOPIC] == odd(mine.keys() - theirs.keys())
    assert tally.found[Kind.ONLY_IN_TOPIC] == odd(theirs.keys() - mine.keys())
    assert tally.explained.total() + tally.differences + tally.equal == len(mine.keys() | theirs.keys())


def test_fields_that_differ_are_named_and_the_first_offsets_are_kept() -> None:
    other: Row = (1, 6, None, b"w", ())
    (found,) = compared([a_row(1)], [Found(other)]).named
    assert found.document() == {
        "kind": "differs",
        "offset": 1,
        "target_offset": 1001,
        "fields": ["timestamp", "key", "value", "headers"],
    }
    many = compared([a_row(offset) for offset in range(1, 100, 2)], [])
    assert (many.differences, [d.offset for d in many.named]) == (50, list(range(1, 2 * NAMED, 2)))


@pytest.mark.parametrize(("originals", "found", "fields"), [(CREATED, APPENDED, ["type"]), (CREATED, CREATED, [])])
def test_timestamp_types_are_compared_where_both_are_known(
    originals: TimestampType, found: TimestampType, fields: list[str]
) -> None:
    tally = compared([a_row(1)], [Found(a_row(1), found)], originals)
    assert [list(d.fields) for d in tally.named if d.fields] == ([fields] if fields else [])
    assert compared([a_row(1)], [Found(a_row(1), found)], None).equal == 1


def test_timestamp_zero_may_have_become_another_where_that_is_known_and_nothing_else_may() -> None:
    zero: Row = (1, 0, b"k", b"v", ())
    anew: Row = (1, 99, b"k", b"v", ())
    tally = compared([zero], [Found(anew, None, stamped_anew=True)])
    assert (tally.equal, +tally.explained) == (1, {Reason.STAMP_ZERO: 1})
    assert compared([zero], [Found(anew)]).named[0].fields == ("timestamp",)
    assert compared([a_row(1)], [Found((1, 99, *a_row(1)[2:]), None, stamped_anew=True)]).differences == 1
    wrong = compared([zero], [Found((1, 99, b"k", b"w", ()), None, stamped_anew=True)])
    assert wrong.named[0].fields == ("value",)


def test_headers_that_cannot_be_read_are_counted_and_the_other_fields_compared() -> None:
    without = (*a_row(1)[:4], ())
    tally = compared([a_row(1)], [Found(without, None, readable=False)])
    assert (tally.equal, tally.differences, +tally.explained) == (0, 0, {Reason.UNREADABLE: 1})
    tally = compared([a_row(1, b"w")], [Found(without, None, readable=False)])
    assert tally.named[0].fields == ("value",)


def test_sums_add_up_and_reasons_without_a_count_are_left_out() -> None:
    one, other = compared([a_row(1)], [Found(a_row(1))]), compared([a_row(2), a_row(3)], [])
    found = totals([one.document(), other.document()])
    assert (found["equal"], found["differences"], found["not_in_topic"]) == (1, 1, 1)
    assert found["explained"] == {"compacted": 1}


# -- samples


@given(st.integers(0, 500), st.floats(0.01, 100), st.text(max_size=5))
def test_a_sample_has_the_first_and_the_last_range_and_is_chosen_by_its_seed(
    count: int, percent: float, seed: str
) -> None:
    sample = Sample(percent / 100, None, seed)
    chosen = sample.choose(count, "orders-0")
    assert chosen == sorted(set(chosen)) == sample.choose(count, "orders-0")
    assert {0, count - 1} <= set(chosen) <= set(range(count)) if count else chosen == []
    assert len(chosen) <= max(3, 2 + round((count - 2) * percent / 100)) if percent < 100 else len(chosen) == count


def test_seeds_and_partitions_choose_differently() -> None:
    found = {tuple(Sample(0.05, None, seed).choose(1000, name)) for seed in "ab" for name in ("t-0", "t-1")}
    assert len(found) == 4


@pytest.mark.parametrize(
    ("text", "ranges", "chosen"), [("5%", 102, 7), ("100%", 50, 50), ("10", 100, 10), ("1", 9, 2), ("500", 7, 7)]
)
def test_a_sample_is_a_share_or_a_number(text: str, ranges: int, chosen: int) -> None:
    assert len(Sample.of(text, "s").choose(ranges, "t-0")) == chosen


@pytest.mark.parametrize("text", ["0%", "0", "", "5 %", "-1", "101%", "1.5", "all"])
def test_what_is_no_sample_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no sample"):
        Sample.of(text, "s")


def test_everything_is_everything() -> None:
    assert WHOLE.choose(4, "t-0") == [0, 1, 2, 3]


# -- the map


@given(st.sets(st.integers(0, 200)), st.integers(0, 50))
def test_the_offset_map_tells_where_each_record_lies(sources: set[int], base: int) -> None:
    ordered = sorted(sources)
    chunk = Chunk(0, base, len(ordered), runs_of(ordered), "", "", "create_time", "", [])
    for offset in range(202):
        expected = base + ordered.index(offset) if offset in sources else None
        assert target_offset(chunk, offset) == expected
    assert target_offset(None, 1) is None


# -- threads


def test_threads_share_the_tasks_each_with_its_own_tool_and_results_keep_their_order() -> None:
    made, barrier, told = [], threading.Barrier(3, timeout=10), []

    @contextmanager
    def tool() -> Iterator[int]:
        made.append(threading.get_ident())
        yield len(made)

    def task(number: int, tool: int) -> dict[str, int]:
        if number < 3:
            barrier.wait()  # passes only if three tasks run at once
        counting.expect(1)
        counting.done(1)
        return {"number": number}

    counting = Told(lambda done, total: told.append((done, total)))
    found = in_threads([partial(task, number) for number in range(9)], tool, 3)
    assert found == [{"number": number} for number in range(9)]
    assert len(set(made)) == 3
    assert (len(told), told[-1]) == (18, (9, 9))
    assert in_threads([], tool, 3) == []


def test_the_first_error_ends_all_threads_soon() -> None:
    done: list[int] = []

    def task(number: int, _: None) -> dict[str, int]:
        if number == 1:
            raise TryAgain("the brokers do not answer")
        done.append(number)
        return {}

    with pytest.raises(TryAgain, match="do not answer"):
        in_threads([partial(task, number) for number in range(1000)], nullcontext, 1)
    assert done == [0]


def test_an_error_ends_the_other_threads_though_they_are_waited_for_first() -> None:
    done: list[int] = []
    failed = threading.Event()

    @contextmanager
    def tool() -> Iterator[None]:
        try:
            yield
        except TryAgain:
            failed.set()  # the thread still has to say so to the others
            raise

    def task(number: int, _: None) -> dict[str, int]:
        if number == 1:
            raise TryAgain("the brokers do not answer")
        assert failed.wait(10)
        time.sleep(0.01)
        done.append(number)
        return {}

    with pytest.raises(TryAgain, match="do not answer"):
        in_threads([partial(task, number) for number in range(1000)], tool, 2)
    assert len(done) < 100
