"""Which asked offsets no window holds, by the reason that markers give."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.catalog import PartitionListing, WindowObject
from millpond.archive.coverage import Span, union
from millpond.archive.names import GapName, GapReason, WindowName
from millpond.restore.planning.choice import WHOLE
from millpond.restore.planning.left_out import left_out
from millpond.storage.contract import ObjectInfo
from tests.unit.builders import a_partition, put_gap
from tests.unit.restore.planned_archive import Archive

INFO = ObjectInfo("k", 1, "e")
SPANS = st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def listing(windows: list[tuple[int, int]], gaps: list[tuple[int, int, GapReason]]) -> PartitionListing:
    names = (WindowName(first, last, 5, 1, 1) for first, last in sorted(windows))
    found = tuple(WindowObject(name, INFO) for name in names)
    return PartitionListing(a_partition("t", 0), found, tuple(GapName(*gap) for gap in sorted(gaps)))


def test_a_partition_of_windows_alone_leaves_nothing_out() -> None:
    assert left_out(listing([(0, 9), (10, 19)], []), WHOLE) == {}


def test_markers_and_holes_are_counted_as_far_as_they_are_asked_for() -> None:
    found = listing([(10, 19), (30, 39)], [(0, 9, GapReason.RETENTION), (20, 24, GapReason.EMPTY)])
    assert left_out(found, WHOLE) == {"unexplained": 5, "retention": 10, "empty": 5}
    assert left_out(found, (Span(5, 21), Span(27, 100))) == {"unexplained": 3, "retention": 5, "empty": 2}


@given(
    st.lists(SPANS, max_size=4),
    st.lists(st.tuples(SPANS, st.sampled_from(list(GapReason))), max_size=4),
    st.lists(SPANS, min_size=1, max_size=3),
)
def test_it_is_what_counting_offset_by_offset_finds(
    windows: list[tuple[int, int]], gaps: list[tuple[tuple[int, int], GapReason]], scope: list[tuple[int, int]]
) -> None:
    marked = [(first, last, reason) for (first, last), reason in gaps]
    asked = {n for first, last in scope for n in range(first, last + 1)}
    held = {n for first, last in windows for n in range(first, last + 1)}
    by_reason = {reason: {n for f, t, why in marked if why is reason for n in range(f, t + 1)} for reason in GapReason}
    spoken = held.union(*by_reason.values())
    due = {str(reason): len(asked & offsets - held) for reason, offsets in by_reason.items()}
    end = max(spoken, default=-1)
    due["unexplained"] = sum(n in asked and n not in spoken for n in range(end + 1))
    found = left_out(listing(windows, marked), union(Span(*pair) for pair in scope))
    assert found == {reason: count for reason, count in due.items() if count}


def test_the_plan_says_of_each_topic_how_far_it_reaches() -> None:
    archive = Archive()
    for topic, number in product(("a", "b"), (0, 1)):
        archive.add(topic, number, first=10)
    put_gap(archive, 0, 9, GapReason.RETENTION, partition=a_partition("a", 1))
    put_gap(archive, 0, 9, GapReason.EMPTY, partition=a_partition("b", 0))
    plan = archive.plan(allow=["unexplained-ranges"])
    assert [topic["left_out"] for topic in plan["topics"]] == [
        {"retention": 10, "unexplained": 10},
        {"empty": 10, "unexplained": 10},
    ]
    assert [(topic["objects"], topic["offsets"]) for topic in plan["topics"]] == [(2, 20), (2, 20)]
    assert all(topic["newest_ms"] > 0 and topic["bytes"] > 0 for topic in plan["topics"])
