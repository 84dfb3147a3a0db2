"""Which objects are planned where only some partitions, offsets or times are asked for."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.cuts import Cut, CutEnd, CutFailure, CutTopic, write_cut
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.records import Row
from millpond.restore.planning.moments import Moments
from millpond.restore.writing.source import Source
from tests.unit.builders import (
    ARCHIVE_ID,
    LAYOUT,
    OTHER_TOPIC_ID,
    TOPIC_ID,
    a_partition,
    make_window,
    put_gap,
    put_rows,
)
from tests.unit.restore.planned_archive import Archive
from tests.unit.restore.reading import rows_of_line


@pytest.fixture
def archive() -> Archive:
    """Topic `a` with three partitions of three windows, `b` with one."""
    archive = Archive()
    for number in range(3):
        for first in (0, 10, 20):
            archive.add("a", number, first)
    archive.add("b")
    return archive


# -- partitions and offsets


def test_only_the_partitions_that_are_asked_for_and_the_target_keeps_its_count(archive: Archive) -> None:
    plan = archive.plan(partitions=["a:1-2", 0])
    assert list(archive.spans()) == [("a", 1), ("a", 2), ("b", 0)]
    assert [topic["partitions"] for topic in plan["topics"]] == [3, 1]
    assert any("1 partitions of a are made and stay empty" in warning for warning in plan["warnings"])


def test_windows_are_cut_to_the_offsets_and_others_are_left_out(archive: Archive) -> None:
    archive.plan("a", offsets=["a:1:5-12", "a:1:25", "a:2:28-"])
    assert archive.spans() == {("a", 1): [(5, 9), (10, 12), (25, 25)], ("a", 2): [(28, 29)]}


def test_two_ranges_of_one_window_are_planned_apart_and_in_order(archive: Archive) -> None:
    archive.plan("a", offsets=["a:0:7-8", "a:0:1-2"])
    assert archive.spans() == {("a", 0): [(1, 2), (7, 8)]}


def test_offsets_behind_the_archives_end_are_told_of(archive: Archive) -> None:
    plan = archive.plan("a", offsets=["a:0:25-100"])
    assert archive.spans() == {("a", 0): [(25, 29)]}
    assert any("up to 100 are asked for; the archive ends at 29" in warning for warning in plan["warnings"])


def test_offsets_that_the_archive_has_none_of_make_a_plan_without_lines(archive: Archive) -> None:
    assert archive.plan("a", offsets=["a:0:1000-"])["lines"] == 0


@pytest.mark.parametrize("fields", [{"partitions": ["a:3"]}, {"offsets": ["a:3:0-9"]}, {"partitions": ["a:0-3"]}])
def test_a_partition_that_the_archive_does_not_know_is_a_slip(archive: Archive, fields: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match="partition 3 of a") as caught:
        archive.plan("a", **fields)
    assert "0 to 2" in caught.value.hint


@pytest.mark.parametrize("fields", [{"partitions": ["b:0"]}, {"offsets": ["c:0:0-9"]}])
def test_a_topic_that_is_not_restored_is_a_slip(archive: Archive, fields: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match=r"not restored: [bc]"):
        archive.plan("a", **fields)


def test_a_hole_outside_of_what_is_asked_for_does_not_stop_the_plan(archive: Archive) -> None:
    archive.add("a", 0, 50)
    with pytest.raises(DamagedArchive, match="a-0 offsets 30 to 49"):
        archive.plan("a")
    for fields in ({"partitions": ["a:1"]}, {"offsets": ["a:0:0-29"]}, {"offsets": ["a:0:50-"]}):
        assert archive.plan("a", run_id=f"{len(archive.keys())}", **fields)["lines"] == 1
    with pytest.raises(DamagedArchive, match="a-0 offsets 40 to 45"):
        archive.plan("a", offsets=["a:0:40-45"], run_id="hole")


# -- times


def timed(*spans: tuple[int, int]) -> Archive:
    """Partition 0 of `t`: windows of two records with these timestamps."""
    archive = Archive()
    for number, stamps in enumerate(spans):
        rows: list[Row] = [(2 * number + i, stamp, b"k", b"v", ()) for i, stamp in enumerate(stamps)]
        archive.add("t", rows=rows)
    return archive


def test_windows_that_cannot_hold_a_record_of_the_time_are_left_out() -> None:
    archive = timed((10, 20), (30, 40), (20, 50), (60, 70))
    archive.plan("t", since=35, until=55)
    assert archive.spans() == {("t", 0): [(2, 3), (4, 5)]}
    assert archive.lines()[0] | {"objects": None} == archive.lines()[0] | {"objects": None, "since": 35, "until": 55}


@pytest.mark.parametrize(
    ("cut", "spans"),
    [
        (5, None),
        (25, [(0, 1)]),
        (29, [(0, 1)]),
        (30, [(0, 1), (2, 3), (4, 5)]),
        (60, [(0, 1), (2, 3), (4, 5), (6, 7)]),
        (1000, [(0, 1), (2, 3), (4, 5), (6, 7)]),
    ],
)
def test_nothing_behind_the_first_window_that_is_younger_than_the_cut(
    cut: int, spans: list[tuple[int, int]] | None
) -> None:
    archive = timed((10, 20), (30, 40), (20, 50), (60, 70))
    archive.plan("t", cut=cut)
    assert archive.spans() == ({} if spans is None else {("t", 0): spans})


def put_stamped(archive: Archive, stamps: dict[int, int], **more: Any) -> None:
    """A window of partition 0 of `t` with these timestamps by offset."""
    put_rows(archive, [(at, stamp, b"k", b"v", ()) for at, stamp in stamps.items()], partition=PARTITION, **more)


PARTITION = a_partition("t", 0)


def test_a_window_of_which_a_newer_leader_left_no_record_ends_nothing() -> None:
    archive = Archive()
    put_stamped(archive, {5: 90, 9: 91}, first=0, last=9, epoch=5)
    put_stamped(archive, {3: 10, 4: 20}, epoch=6)
    archive.plan("t", cut=50)
    assert [row[0] for row in rows_of_line(archive, archive.lines()[0])] == [3, 4]


def test_a_window_that_overlaps_a_younger_one_is_taken_up_to_the_first_record_past_the_cut() -> None:
    archive = Archive()
    put_stamped(archive, dict.fromkeys([0, 1, 2, 3, 4, 5, 7], 10), last=7)
    put_stamped(archive, {6: 90, 9: 91}, first=3, last=12)
    put_stamped(archive, {13: 10})
    archive.plan("t", cut=50)
    assert [row[0] for row in rows_of_line(archive, archive.lines()[0])] == [0, 1, 2, 3, 4, 5]


def test_a_hole_behind_the_cut_does_not_stop_the_plan_and_one_before_does() -> None:
    archive = timed((10, 20), (60, 70))
    rows: list[Row] = [(50, 80, b"k", b"v", ())]
    archive.add("t", rows=rows)
    assert archive.plan("t", cut=30)["lines"] == 1
    with pytest.raises(DamagedArchive, match="4 to 49"):
        archive.plan("t", cut=75, run_id="2")


stamps = st.lists(st.integers(0, 9), min_size=1, max_size=4)


@given(st.lists(stamps, min_size=1, max_size=5), st.integers(-1, 10), st.integers(0, 10), st.booleans(), st.randoms())
def test_plan_and_reader_together_give_what_an_oracle_gives(
    windows: list[list[int]], cut: int, since: int, late: bool, chance: Any
) -> None:
    """A late window overlaps others of its branch, as after a lost partition."""
    archive, rows = Archive(), []
    for stamps in windows:
        first = len(rows)
        rows += [(first + i, stamp, b"k", b"%d" % first, ()) for i, stamp in enumerate(stamps)]
        archive.add("t", rows=rows[first:])
    if late:
        start = chance.randrange(len(rows))
        piece = rows[start : start + 1 + chance.randrange(len(rows))]
        if archive.head(LAYOUT.object(a_partition("t", 0), _name_of(piece))) is None:
            archive.add("t", rows=piece)
    asked = {"cut": max(cut, since), "since": since} if cut >= 0 else {"since": since, "until": since + 3}
    archive.plan("t", **asked)
    got = [row for line in archive.lines() for row in rows_of_line(archive, line)]
    if cut >= 0:
        end = next((row[0] for row in rows if row[1] > asked["cut"]), len(rows))
        assert got == [row for row in rows if row[0] < end and row[1] >= since]
    else:
        assert got == [row for row in rows if since <= row[1] <= since + 3]


def _name_of(rows: list[Row]) -> Any:
    return make_window(rows).name


def test_a_window_whose_records_are_all_due_keeps_the_digest_that_it_states() -> None:
    archive = timed((10, 20), (30, 40))
    archive.plan("t", until=35)
    (line,) = archive.lines()
    source = Source(archive, LAYOUT, ARCHIVE_ID)
    with ExitStack() as stack:
        found = [source.open(part, stack, Moments.of(line)) for part in source.parts_of(line)]
        assert [bool(reader.digest) for reader in found] == [True, False]


def test_a_record_without_a_timestamp_lies_before_every_moment() -> None:
    archive = timed((-1, 5))
    assert archive.plan("t", since=0)["lines"] == 1
    assert [row[1] for row in rows_of_line(archive, archive.lines()[0])] == [5]
    archive.plan("t", until=0, run_id="2")
    assert [row[1] for row in rows_of_line(archive, archive.lines("2")[0])] == [-1]


def test_a_time_decides_between_lives_where_only_one_has_records_of_it() -> None:
    archive = timed((10, 20))
    late: list[Row] = [(0, 100, b"k", b"v", ())]
    archive.add("t", rows=late, topic_id=OTHER_TOPIC_ID)
    with pytest.raises(RefusedForSafety, match="2 lives"):
        archive.plan("t")
    assert archive.plan("t", until=50)["topics"][0]["topic_id"] == TOPIC_ID
    assert archive.plan("t", since=50, run_id="2")["topics"][0]["topic_id"] == OTHER_TOPIC_ID
    with pytest.raises(RefusedForSafety, match="2 lives"):
        archive.plan("t", until=100, run_id="3")


# -- named cuts


def a_cut(archive: Archive, *ends: tuple[int, int, int], topic_id: str = TOPIC_ID, **more: Any) -> None:
    topics = (CutTopic("a", topic_id, tuple(CutEnd(*end) for end in ends)),)
    fields: dict[str, Any] = {"name": "c", "at": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "groups": "g"} | more
    write_cut(archive, LAYOUT, Cut(topics=topics, **fields))


def test_a_cut_ends_each_partition_and_leaves_out_what_it_does_not_know(archive: Archive) -> None:
    a_cut(archive, (0, 15, 7), (1, 0, 7))
    plan = archive.plan(at_cut="c")
    assert archive.spans() == {("a", 0): [(0, 9), (10, 14)]}
    assert any("b is not in the cut" in warning for warning in plan["warnings"])


def test_a_cut_decides_between_lives(archive: Archive) -> None:
    archive.add("a", topic_id=OTHER_TOPIC_ID)
    a_cut(archive, (0, 10, 7), topic_id=OTHER_TOPIC_ID)
    assert archive.plan("a", at_cut="c")["topics"][0]["topic_id"] == OTHER_TOPIC_ID
    with pytest.raises(WrongUsage, match="no incarnation"):
        archive.plan("a", at_cut="c", incarnation={"a": TOPIC_ID}, run_id="2")


def test_what_a_later_leader_discarded_is_there_again(archive: Archive) -> None:
    archive.add("a", 0, 18, 2, epoch=8)
    archive.plan("a", partitions=["a:0"])
    assert archive.spans()["a", 0] == [(0, 9), (10, 17), (18, 19)]
    a_cut(archive, (0, 25, 7))
    archive.plan("a", at_cut="c", run_id="2")
    assert archive.spans("2") == {("a", 0): [(0, 9), (10, 19), (20, 24)]}


def test_a_cut_that_the_archive_has_not_reached_stops_the_plan(archive: Archive) -> None:
    a_cut(archive, (0, 40, 7), (1, 30, 7))
    with pytest.raises(DamagedArchive, match="not archived yet: a-0 offsets 30 to 39") as caught:
        archive.plan("a", at_cut="c")
    assert "wait" in caught.value.hint and "behind-cut" in caught.value.hint
    assert archive.plan("a", at_cut="c", allow=["behind-cut"])["lines"] == 2
    assert archive.plan("a", at_cut="c", offsets=["a:0:0-29"], run_id="2")["lines"] == 1


def test_markers_at_the_end_reach_the_cut(archive: Archive) -> None:
    put_gap(archive, 30, 34, partition=a_partition("a", 0))
    a_cut(archive, (0, 35, 7))
    assert archive.plan("a", at_cut="c")["lines"] == 1


def test_an_end_that_the_cut_could_not_read_stops_the_plan(archive: Archive) -> None:
    a_cut(archive, (0, 10, 7), failed=(CutFailure("end", "X", "a", 1), CutFailure("end", "X", "other", 1)))
    with pytest.raises(DamagedArchive, match=r"1 ranges .* a-1, whose end the cut could not read"):
        archive.plan("a", at_cut="c")
    assert archive.plan("a", at_cut="c", allow=["behind-cut"])["lines"] == 1


def test_a_cut_that_is_not_there_or_of_another_archive_is_wrong_usage(archive: Archive) -> None:
    a_cut(archive, (0, 1, 7), archive_id="0" * 16)
    for name, told in (("none", "there is no cut"), ("c", "of archive 0000")):
        with pytest.raises(WrongUsage, match=told):
            archive.plan("a", at_cut=name)
