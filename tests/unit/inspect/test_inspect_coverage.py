"""The coverage report: sums by topic and partition, what explains gaps, what is missing."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from millpond.archive.events import write_event
from millpond.archive.facts import Redaction
from millpond.archive.keys import Incarnation
from millpond.archive.names import GapReason, WindowName
from millpond.errors import WrongUsage
from millpond.inspect.heads import Heads
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from millpond.verify.coverage import coverage_of
from tests.unit.builders import (
    LAYOUT,
    ORDERS_3,
    OTHER_TOPIC_ID,
    TOPIC_ID,
    a_partition,
    make_rows,
    make_window,
    put_gap,
    put_rows,
    put_window,
)
from tests.unit.inspect.archives import NOW, an_archive


def report_of(store: MemoryStore, **more: Any) -> dict[str, Any]:
    return coverage_of(store, LAYOUT, now_ms=NOW, **more)


def test_a_place_without_an_archive_is_named() -> None:
    with pytest.raises(WrongUsage, match=r"archive\.json is missing"):
        report_of(MemoryStore())


def test_an_archive_without_records_has_no_topics_and_no_age() -> None:
    report = report_of(an_archive())
    assert (report["topics"], report["partitions"], report["newest_object_age_s"]) == ([], 0, None)
    assert (report["unexplained"], report["missing"], report["records"]) == (0, 0, None)


def test_offsets_times_and_bytes_are_told_for_each_partition_and_summed() -> None:
    store = an_archive()
    keys = [put_rows(store, make_rows(0, 10)), put_rows(store, make_rows(10, 5))]
    keys.append(put_rows(store, make_rows(7, 4, stamp=5_000), partition=a_partition(partition=0)))
    put_gap(store, 0, 6, partition=a_partition(partition=0))
    report = report_of(store)
    (topic,) = report["topics"]
    first, second = topic["by_partition"]
    assert (first["partition"], first["first"], first["last"], first["offsets"]) == (0, 0, 10, 4)
    assert (second["partition"], second["first"], second["last"], second["offsets"]) == (3, 0, 14, 15)
    assert (first["oldest_ms"], second["newest_ms"]) == (5_000, 1767225600004)
    assert (topic["oldest_ms"], topic["newest_ms"], topic["offsets"]) == (5_000, 1767225600004, 19)
    heads = [store.head(key) for key in keys]
    assert report["bytes"] == sum(head.size_bytes for head in heads if head)
    assert (report["partitions"], report["objects"], report["newest_object_age_s"]) == (2, 3, 40)


def test_each_reason_tells_how_many_offsets_it_explains() -> None:
    store = an_archive()
    put_gap(store, 0, 99, GapReason.RETENTION)
    put_rows(store, make_rows(100, 10))
    put_gap(store, 110, 119, GapReason.EMPTY)
    put_gap(store, 120, 121, GapReason.EMPTY)
    (topic,) = report_of(store)["topics"]
    assert topic["gaps"] == {"empty": {"markers": 2, "offsets": 12}, "retention": {"markers": 1, "offsets": 100}}
    assert topic["by_partition"][0]["gaps"] == {"empty": 12, "retention": 100}
    assert topic["unexplained_ranges"] == 0


def test_a_marker_explains_only_what_no_window_covers() -> None:
    store = an_archive()
    put_gap(store, 0, 99)
    put_rows(store, make_rows(40, 10))
    put_rows(store, make_rows(95, 10))
    (topic,) = report_of(store)["topics"]
    assert topic["gaps"] == {"retention": {"markers": 1, "offsets": 100 - 10 - 5}}


def test_what_a_truncation_took_is_explained_by_no_marker() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10), epoch=1)
    put_gap(store, 10, 19, GapReason.EMPTY)  # of epoch 1, like the window before it
    put_rows(store, make_rows(15, 10), epoch=2)
    (topic,) = report_of(store)["topics"]
    assert topic["gaps"] == {"empty": {"markers": 1, "offsets": 5}}


def test_holes_without_a_reason_are_counted_and_named() -> None:
    store = an_archive()
    for first in (0, 20, 40):
        put_rows(store, make_rows(first, 10))
    report = report_of(store)
    (topic,) = report["topics"]
    assert report["unexplained"] == topic["unexplained_ranges"] == 2
    assert topic["unexplained_offsets"] == 20
    assert topic["unexplained"] == [
        {"partition": 3, "first": 10, "last": 19},
        {"partition": 3, "first": 30, "last": 39},
    ]


def test_of_very_many_holes_a_hundred_are_named_and_all_are_counted() -> None:
    store = an_archive()
    for first in range(1, 302, 2):
        store.put_if_absent(LAYOUT.object(ORDERS_3, WindowName(first, first, 0, 0, 0)), b"")
    (topic,) = report_of(store)["topics"]
    assert len(topic["unexplained"]) == 100
    assert (topic["unexplained_ranges"], topic["unexplained_offsets"]) == (151, 151)


def test_two_lives_of_a_topic_are_told_apart() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    put_rows(store, make_rows(0, 3), partition=a_partition(topic_id=OTHER_TOPIC_ID))
    found = {topic["topic_id"]: topic["offsets"] for topic in report_of(store)["topics"]}
    assert found == {TOPIC_ID: 10, OTHER_TOPIC_ID: 3}


def test_only_the_topics_asked_for_are_looked_at() -> None:
    store = an_archive()
    for topic in ("orders", "orders-1", "payments"):
        put_rows(store, make_rows(0, 10), partition=a_partition(topic))
    report = report_of(store, selection=Selection.of(["orders.*"], ["orders-1"]))
    assert [topic["topic"] for topic in report["topics"]] == ["orders"]
    assert report["objects"] == 1


def test_an_event_stands_at_its_topic_with_its_time_and_numbers() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    write_event(store, LAYOUT, ORDERS_3.incarnation, "truncated", 1767225600123, {"partition": 3, "branch": 5})
    report = report_of(store)
    assert report["topics"][0]["events"] == [
        {"kind": "truncated", "at": 1767225600123, "partition": 3, "branch": 5, "stands": False}
    ]
    assert (report["events"], report["missing"]) == ({"truncated": 1}, 0)


def test_an_event_of_a_topic_that_has_nothing_else_is_told() -> None:
    store = an_archive()
    write_event(store, LAYOUT, Incarnation("empty", TOPIC_ID), "recreated", 1767225600123, {"earlier": []})
    (topic,) = report_of(store)["topics"]
    assert (topic["topic"], topic["partitions"], topic["events"][0]["kind"]) == ("empty", 0, "recreated")


def test_missing_objects_stay_missing_until_their_offsets_are_covered_again() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    facts = {"partition": 3, "committed": 30, "missing": [[10, 14], [20, 29]]}
    write_event(store, LAYOUT, ORDERS_3.incarnation, "missing", 1767225600123, facts)
    for first, count in ((10, 5), (15, 10)):
        assert report_of(store)["missing"] == 1
        put_rows(store, make_rows(first, count))
    assert report_of(store)["missing"] == 1
    put_gap(store, 25, 29, GapReason.SKIPPED)
    report = report_of(store)
    assert (report["missing"], report["topics"][0]["events"][0]["stands"]) == (0, False)


@pytest.mark.parametrize("body", [b"{}", b"no json", b"[]", b'{"partition": 3, "missing": [["a", "b"]]}'])
def test_missing_objects_stay_missing_where_the_event_does_not_say_which(body: bytes) -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    store.put_if_absent(LAYOUT.event(ORDERS_3.incarnation, 1767225600123, "missing"), body)
    assert report_of(store)["missing"] == 1


def test_records_are_counted_from_metadata_when_asked() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10), last=99)
    put_rows(store, make_rows(100, 5), redactions=(Redaction("s1", 2, 0, 0, 5),))
    with Heads(store) as heads:
        report = report_of(store, count=heads.counts)
    (topic,) = report["topics"]
    assert (topic["records"], topic["records_exact"], topic["redacted_objects"]) == (15, True, 1)
    assert (report["records"], topic["by_partition"][0]["records"]) == (15, 15)


@pytest.mark.parametrize("epoch", [7, 8])
def test_a_count_over_windows_that_share_offsets_or_are_cut_is_said_to_be_no_exact_one(epoch: int) -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    put_rows(store, make_rows(5, 10), epoch=epoch)
    with Heads(store) as heads:
        (topic,) = report_of(store, count=heads.counts)["topics"]
    assert (topic["records"], topic["records_exact"]) == (20, False)
    assert topic["offsets"] == 15


def test_an_object_without_metadata_makes_the_count_no_exact_one() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    window = make_window(make_rows(10, 5))
    store.put_if_absent(LAYOUT.object(ORDERS_3, window.name), window.data)
    with Heads(store) as heads:
        (topic,) = report_of(store, count=heads.counts)["topics"]
    assert (topic["records"], topic["records_exact"]) == (10, False)


def test_a_window_that_no_longer_counts_adds_bytes_but_no_offsets() -> None:
    store = an_archive()
    put_rows(store, make_rows(5, 10), epoch=1)
    put_rows(store, make_rows(0, 3), epoch=2)
    report = report_of(store)
    assert (report["objects"], report["offsets"]) == (2, 3)


class Large(MemoryStore):
    """Lists many objects that it does not have."""

    def __init__(self, partitions: int, windows: int) -> None:
        super().__init__()
        self.partitions, self.windows = partitions, windows

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        if prefix != LAYOUT.topics:
            yield from super().list(prefix, after=after, delimiter=delimiter)
            return
        for partition in range(self.partitions):
            place = a_partition(partition=partition)
            for first in range(0, 10 * self.windows, 10):
                yield ObjectInfo(LAYOUT.object(place, WindowName(first, first + 9, 0, 0, 0)), 100, "e", modified_ms=5)


def test_memory_grows_with_partitions_not_with_objects() -> None:
    def peak(partitions: int) -> int:
        store = an_archive(Large(partitions, windows=500))
        tracemalloc.start()
        try:
            assert report_of(store)["objects"] == 500 * partitions
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(2), peak(22)
    assert many - few < 20 * 10_000, "twenty more partitions cost what their 10,000 objects would"


def test_a_window_put_under_a_twin_name_is_counted_once_in_offsets() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10))
    put_window(store, make_window(make_rows(0, 10, size=30)), twin=True)
    report = report_of(store)
    assert (report["offsets"], report["objects"]) == (10, 2)
