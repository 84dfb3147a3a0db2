"""Records that are, or may be, missing stop a plan unless the request allows that by name."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.errors import DamagedArchive
from millpond.restore.request import Trouble
from tests.unit.builders import OTHER_TOPIC_ID, a_partition, make_rows, put_gap
from tests.unit.parts_builder import keys_of, store_in_parts
from tests.unit.restore.planned_archive import Archive
from tests.unit.restore.reading import rows_of_line


@pytest.fixture
def archive() -> Archive:
    archive = Archive()
    archive.add("a", 0)
    archive.add("a", 1)
    return archive


def add_hole(archive: Archive) -> None:
    archive.add("a", 0, 20)


def add_lacking_part(archive: Archive) -> None:
    store_in_parts(archive, make_rows(0, 10))
    archive.add("orders", 3, 10)
    archive.delete(keys_of(archive, "-p1.avro")[0])


def add_missing(archive: Archive) -> None:
    archive.add_event("a", "missing", partition=1, missing=[[2, 3], [10, 14]], committed=15)


def add_tombstones(archive: Archive) -> None:
    archive.add_event("a", "tombstones-maybe-lost", partition=0, first=3, last=5, delete_retention_ms=1)


TROUBLES: list[Any] = [
    (add_hole, Trouble.UNEXPLAINED, "1 ranges .* a-0 offsets 10 to 19"),
    (add_lacking_part, Trouble.PARTS, "1 windows of several objects are not whole: .*of them are missing"),
    (add_missing, Trouble.MISSING, "1 events say that objects vanished .* a-1 offsets 10 to 14"),
    (add_tombstones, Trouble.TOMBSTONES, "1 events say that deletions may have been lost .* a-0 offsets 3 to 5"),
]


@pytest.mark.parametrize(("add", "trouble", "told"), TROUBLES)
def test_it_stops_the_plan_and_the_hint_says_how_to_allow_it(
    archive: Archive, add: Any, trouble: Trouble, told: str
) -> None:
    add(archive)
    before = archive.keys()
    with pytest.raises(DamagedArchive, match=told) as caught:
        archive.plan()
    assert caught.value.hint.endswith(f"allow {trouble}")
    others = [kind for kind in Trouble if kind is not trouble]
    with pytest.raises(DamagedArchive, match=told):
        archive.plan(allow=others)
    assert archive.keys() == before


@pytest.mark.parametrize(("add", "trouble", "told"), TROUBLES)
def test_what_is_allowed_is_a_warning(archive: Archive, add: Any, trouble: Trouble, told: str) -> None:
    add(archive)
    plan = archive.plan(allow=[trouble])
    (warning,) = [text for text in plan["warnings"] if text.startswith("allowed: ")]
    assert told.split(" .*")[0] in warning or told.split(": ")[0] in warning


def test_all_troubles_are_told_at_once(archive: Archive) -> None:
    for add, _, _ in TROUBLES:
        add(archive)
    with pytest.raises(DamagedArchive) as caught:
        archive.plan()
    assert str(caught.value).count("; and ") == 3
    assert all(kind in caught.value.hint for _, kind, _ in TROUBLES)
    assert archive.plan(allow=[kind for _, kind, _ in TROUBLES])["lines"] == 3


def test_of_many_ranges_some_are_named_and_all_are_counted(archive: Archive) -> None:
    for first in range(20, 160, 20):
        archive.add("a", 0, first)
    with pytest.raises(DamagedArchive, match=r"7 ranges .*; and 2 more"):
        archive.plan()


def test_a_window_that_lacks_a_part_is_left_out_where_that_is_allowed(archive: Archive) -> None:
    add_lacking_part(archive)
    archive.plan("orders", allow=["missing-parts"])
    (line,) = archive.lines()
    assert [row[0] for row in rows_of_line(archive, line)] == list(range(10, 20))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"format": 1}'])
def test_a_list_of_parts_that_cannot_be_read_is_the_same_trouble(archive: Archive, content: bytes) -> None:
    key = store_in_parts(archive, make_rows(0, 10))
    head = archive.head(key)
    assert head is not None
    archive.put_if_match(key, content, head.etag)
    with pytest.raises(DamagedArchive, match="not whole"):
        archive.plan("orders")
    assert archive.plan("orders", allow=["missing-parts"])["lines"] == 0


def test_a_lacking_part_of_another_life_does_not_stop_a_plan(archive: Archive) -> None:
    add_lacking_part(archive)
    archive.add("orders", 3, topic_id=OTHER_TOPIC_ID)
    assert archive.plan("orders", incarnation={"orders": OTHER_TOPIC_ID})["lines"] == 1


def test_a_lacking_part_of_a_window_that_is_not_due_does_not_stop_a_plan(archive: Archive) -> None:
    add_lacking_part(archive)
    assert archive.plan("orders", offsets=["orders:3:10-"])["lines"] == 1


# -- events


def test_an_event_is_over_when_its_offsets_are_covered_again(archive: Archive) -> None:
    add_missing(archive)
    archive.add("a", 1, 10, count=3)
    with pytest.raises(DamagedArchive, match="vanished"):
        archive.plan(run_id="1")
    put_gap(archive, 13, 14, partition=a_partition("a", 1))
    assert archive.plan(run_id="2")["lines"] == 2


@pytest.mark.parametrize("add", [add_missing, add_tombstones])
def test_events_of_what_is_not_asked_for_do_not_stop_a_plan(archive: Archive, add: Any) -> None:
    add(archive)
    archive.add("b")
    archive.add("a", topic_id=OTHER_TOPIC_ID)
    asked: list[dict[str, Any]] = [
        {"exclude_topics": ["a"]},
        {"exclude_topics": ["b"], "incarnation": {"a": OTHER_TOPIC_ID}},
    ]
    for number, fields in enumerate(asked):
        assert archive.plan(run_id=str(number), **fields)["lines"] == 1


def test_events_count_by_partition_and_offset(archive: Archive) -> None:
    add_missing(archive)
    add_tombstones(archive)
    archive.add_event("a", "missing", partition=0, missing=[[6, 14]], committed=15)
    assert archive.plan("a", offsets=["a:0:6-9", "a:1:0-9"])["lines"] == 2
    for number, offsets in enumerate(("a:0:5-", "a:1:0-10")):
        with pytest.raises(DamagedArchive):
            archive.plan("a", offsets=[offsets], run_id=f"r{number}")


@pytest.mark.parametrize("kind", ["missing", "tombstones-maybe-lost"])
@pytest.mark.parametrize(
    "facts", [{}, {"partition": 0}, {"partition": [], "missing": 5}, {"partition": 0, "first": "x"}]
)
def test_an_event_that_cannot_be_read_counts(archive: Archive, kind: str, facts: dict[str, Any]) -> None:
    key = archive.add_event("a", kind, **facts)
    with pytest.raises(DamagedArchive, match="which cannot be read") as caught:
        archive.plan()
    assert key in str(caught.value)
    assert archive.plan(allow=[kind])["lines"] == 2


@pytest.mark.parametrize("kind", ["recreated", "truncated", "imported"])
def test_other_events_stop_nothing(archive: Archive, kind: str) -> None:
    archive.add_event("a", kind, partition=0)
    assert archive.plan()["lines"] == 2
