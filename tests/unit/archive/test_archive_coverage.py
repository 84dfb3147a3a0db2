from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.coverage import (
    Live,
    Span,
    covered,
    holes,
    live_gaps,
    live_windows,
    next_position,
    overlapping,
    union,
)
from millpond.archive.names import GapName, GapReason, WindowName

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "format.md"


def window(first: int, last: int, epoch: int = 0) -> WindowName:
    return WindowName(first, last, epoch, 0, 0)


def gap(first: int, last: int, reason: GapReason = GapReason.EMPTY) -> GapName:
    return GapName(first, last, reason)


def live(*windows: WindowName) -> list[Span]:
    return [found.span for found in live_windows((name, name) for name in windows)]


def offsets(spans: list[Span]) -> set[int]:
    return {offset for span in spans for offset in range(span.first, span.last + 1)}


# The oracle: docs/format.md section 8, offset by offset and word by word, with nothing clever.


def ends_at(first: int, last: int, epoch: int, windows: list[WindowName]) -> int:
    return min([last, *(other.first - 1 for other in windows if 0 <= epoch < other.epoch)])


def epochs_before(start: int, windows: list[WindowName], gaps: list[GapName]) -> set[int]:
    found = {name.epoch for name in windows if name.last == start - 1 and name.epoch >= 0}
    for marker in gaps:
        if marker.last == start - 1:
            found |= epochs_before(marker.first, windows, gaps)
    return found


def covered_offsets(windows: list[WindowName], gaps: list[GapName], doubt: Callable[[set[int]], int]) -> set[int]:
    found: set[int] = set()
    for name in windows:
        found |= set(range(name.first, ends_at(name.first, name.last, name.epoch, windows) + 1))
    for marker in gaps:
        epochs = epochs_before(marker.first, windows, gaps)
        end = ends_at(marker.first, marker.last, doubt(epochs), windows) if epochs else marker.last
        found |= set(range(marker.first, end + 1))
    return found


RANGES = st.tuples(st.integers(0, 40), st.integers(0, 12))
WINDOWS = st.lists(st.builds(lambda r, epoch: window(r[0], r[0] + r[1], epoch), RANGES, st.integers(-1, 4)), max_size=7)
GAPS = st.lists(
    st.builds(lambda r, why: gap(r[0], r[0] + r[1], why), RANGES, st.sampled_from(list(GapReason))), max_size=4
)
SPANS = st.lists(RANGES.map(lambda r: Span(r[0], r[0] + r[1])), max_size=8)


@settings(max_examples=400)
@given(WINDOWS)
def test_windows_live_as_the_oracle_says(windows: list[WindowName]) -> None:
    expected = [(name, ends_at(name.first, name.last, name.epoch, windows)) for name in sorted(windows)]
    found = [(item.window, item.span.last) for item in live_windows((name, name) for name in windows)]
    assert found == [(name, end) for name, end in expected if end >= name.first]


@settings(max_examples=400)
@given(WINDOWS, GAPS, st.sampled_from([min, max]))
def test_windows_and_markers_cover_what_the_oracle_says(
    windows: list[WindowName], gaps: list[GapName], doubt: Callable[[set[int]], int]
) -> None:
    found = covered(windows, gaps, doubt=doubt)
    assert offsets(found) == covered_offsets(windows, gaps, doubt)
    assert found == union(found)


@given(WINDOWS, GAPS, st.randoms())
def test_coverage_does_not_depend_on_the_order_of_names(windows: list[WindowName], gaps: list[GapName], random) -> None:  # type: ignore[no-untyped-def]
    before = covered(windows, gaps)
    random.shuffle(windows)
    random.shuffle(gaps)
    assert covered(windows, gaps) == before


@given(WINDOWS, WINDOWS)
def test_a_dead_offset_stays_dead_whatever_is_added_at_that_epoch(
    windows: list[WindowName], more: list[WindowName]
) -> None:
    """More windows may only end a branch earlier."""
    for name in windows:
        alone = ends_at(name.first, name.last, name.epoch, windows)
        assert ends_at(name.first, name.last, name.epoch, windows + more) <= alone


@given(SPANS)
def test_a_union_holds_the_same_offsets_in_spans_that_do_not_touch(spans: list[Span]) -> None:
    merged = union(spans)
    assert offsets(merged) == offsets(spans)
    assert all(one.last + 1 < other.first for one, other in pairwise(merged))


@given(SPANS, st.integers(0, 60), st.none() | st.integers(0, 60))
def test_holes_are_what_no_span_holds(spans: list[Span], start: int, end: int | None) -> None:
    held = offsets(spans)
    up_to = max(held, default=-1) if end is None else end
    found = holes(spans, start=start, end=end)
    assert offsets(found) == set(range(start, up_to + 1)) - held
    assert found == union(found)


@given(SPANS, st.integers(0, 60))
def test_the_position_is_the_smallest_offset_that_no_span_holds(spans: list[Span], start: int) -> None:
    held = offsets(spans)
    assert next_position(spans, start=start) == next(at for at in range(start, 200) if at not in held)


@given(WINDOWS)
def test_groups_hold_all_windows_and_share_no_offset(windows: list[WindowName]) -> None:
    alive = live_windows((name, name) for name in windows)
    groups = list(overlapping(alive))
    assert [item for group in groups for item in group] == alive
    held = [offsets([item.span for item in group]) for group in groups]
    assert sum(map(len, held)) == len(set().union(*held))
    for group in groups:
        assert len(union(item.span for item in group)) == 1
        for index, item in enumerate(group[1:], 1):
            assert any(item.span.first <= other.span.last for other in group[:index])


def test_windows_side_by_side_are_groups_of_one() -> None:
    alive = [Live(n, Span(n * 10, n * 10 + 9)) for n in range(3)]
    assert list(overlapping(alive)) == [[one] for one in alive]
    assert list(overlapping([])) == []


def test_a_long_window_holds_a_group_together() -> None:
    alive = [Live(0, Span(0, 99)), Live(1, Span(10, 19)), Live(2, Span(50, 120)), Live(3, Span(121, 130))]
    assert [[item.window for item in group] for group in overlapping(alive)] == [[0, 1, 2], [3]]


def objects_of(cell: str) -> tuple[list[WindowName], list[GapName]]:
    windows = [window(int(a), int(b), int(e)) for a, b, e in re.findall(r"W (\d+)\u2013(\d+) e(-?\d+)", cell)]
    gaps = [gap(int(a), int(b), GapReason(why)) for a, b, why in re.findall(r"G (\d+)\u2013(\d+) ([a-z]+)", cell)]
    return windows, gaps


def table(heading: str) -> list[list[str]]:
    section = FORMAT_PAGE.read_text().split(heading, 1)[1].split("\n### ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    return rows[2:]


@pytest.mark.parametrize(("cell", "says"), table("### 8.1 Branches"))
def test_the_branches_of_the_format_page(cell: str, says: str) -> None:
    windows, _ = objects_of(cell)
    expected = [tuple(map(int, pair)) for pair in re.findall(r"(\d+)\u2013(\d+)", says.split(":")[0])]
    assert [(span.first, span.last) for span in live(*windows)] == sorted(expected)


@pytest.mark.parametrize(("cell", "log_start", "missing", "position"), table("### 8.4 Position"))
def test_the_positions_of_the_format_page(cell: str, log_start: str, missing: str, position: str) -> None:
    windows, gaps = objects_of(cell)
    found = holes(covered(windows, gaps), start=0)
    assert [f"{hole.first}\u2013{hole.last}" for hole in found] == re.findall(r"\d+\u2013\d+", missing)
    expected = re.match(r"\d+", position)
    assert expected
    assert next_position(covered(windows, gaps, doubt=min), start=int(log_start)) == int(expected[0])


def test_a_truncation_ends_the_old_epoch_before_the_new_one_starts() -> None:
    assert live(window(100, 149, 5), window(120, 160, 6)) == [Span(100, 119), Span(120, 160)]


def test_records_of_the_old_epoch_beyond_a_shorter_new_one_are_dead() -> None:
    found = live(window(100, 149, 5), window(150, 199, 5), window(120, 139, 6))
    assert found == [Span(100, 119), Span(120, 139)]
    assert next_position(found, start=100) == 140


def test_an_unknown_epoch_neither_cuts_nor_is_cut() -> None:
    assert live(window(0, 99, -1), window(50, 120, 3)) == [Span(0, 99), Span(50, 120)]
    assert live(window(0, 99, 3), window(50, 120, -1)) == [Span(0, 99), Span(50, 120)]


def test_an_overlapping_window_is_kept_for_what_compaction_removed() -> None:
    assert live(window(0, 99), window(0, 149), window(10, 19)) == [Span(0, 99), Span(0, 149), Span(10, 19)]


def test_a_twin_is_a_window_of_its_own() -> None:
    plain, twin = window(0, 9), WindowName(0, 9, 0, 0, 0, "0a1b2c3d")
    assert [item.window for item in live_windows([(twin, "twin"), (plain, "plain")])] == ["plain", "twin"]


def test_a_marker_of_a_cut_branch_does_not_hide_unread_records() -> None:
    """Markers were once never cut, so that a backup passed over what the new leader wrote below them."""
    windows, gaps = [window(0, 149, 5), window(120, 149, 6)], [gap(150, 154)]
    assert next_position(covered(windows, gaps, doubt=min), start=0) == 150


def test_markers_take_their_epoch_through_other_markers() -> None:
    windows, gaps = [window(0, 99, 5), window(103, 103, 6)], [gap(100, 101), gap(102, 110)]
    assert live_gaps(windows, gaps) == [Span(100, 101), Span(102, 102)]


def test_offsets_at_the_end_of_the_range_are_covered_like_others() -> None:
    end = 2**63 - 1
    assert union([Span(0, end - 1), Span(end, end)]) == [Span(0, end)]
    assert holes([Span(end, end)], start=end - 1) == [Span(end - 1, end - 1)]
    assert next_position([Span(0, end)], start=0) == 2**63


def test_the_size_of_a_span_counts_both_ends() -> None:
    assert (Span(5, 5).size, Span(0, 99).size, Span(0, 2**63 - 1).size) == (1, 100, 2**63)
