"""What `ls` tells of objects: kind, state, offsets, and on request what they say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.archive.coverage import Span
from millpond.archive.events import write_event
from millpond.archive.facts import Redaction
from millpond.archive.names import GapReason
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.inspect.choice import Choice, partition_named
from millpond.inspect.heads import Heads
from millpond.inspect.objects import Entry, list_objects, with_facts
from millpond.kafka.selection import Selection
from millpond.storage.memory import MemoryStore
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
)
from tests.unit.inspect.archives import an_archive
from tests.unit.parts_builder import store_in_parts


def listed(store: MemoryStore, **choice: Any) -> list[Entry]:
    return list(list_objects(store, LAYOUT, Choice(**choice)))


def spans(entries: list[Entry]) -> list[tuple[str, str, int | None, int | None]]:
    return [(entry.kind, entry.state, entry.first, entry.last) for entry in entries]


def test_windows_and_markers_come_in_the_order_of_their_offsets() -> None:
    store = an_archive()
    put_gap(store, 0, 4)
    keys = [put_rows(store, make_rows(5, 5)), put_rows(store, make_rows(12, 3))]
    put_gap(store, 10, 11, GapReason.EMPTY)
    entries = listed(store)
    assert spans(entries) == [
        ("marker", "live", 0, 4),
        ("window", "live", 5, 9),
        ("marker", "live", 10, 11),
        ("window", "live", 12, 14),
    ]
    assert [entry.key for entry in entries if entry.kind == "window"] == keys
    assert [entry.note for entry in entries if entry.kind == "marker"] == ["retention", "empty"]


def test_an_entry_tells_all_that_the_name_and_the_listing_tell() -> None:
    store = an_archive()
    key = put_rows(store, make_rows(5, 5), epoch=3)
    (entry,) = listed(store)
    head = store.head(key)
    assert head is not None
    assert entry.document() == {
        "key": key,
        "kind": "window",
        "state": "live",
        "topic": "orders",
        "topic_id": TOPIC_ID,
        "partition": 3,
        "first": 5,
        "last": 9,
        "live_first": None,
        "live_last": None,
        "epoch": 3,
        "oldest_ms": 1767225600000,
        "newest_ms": 1767225600004,
        "bytes": head.size_bytes,
        "modified_ms": head.modified_ms,
        "note": None,
    }


def test_a_truncation_shows_which_windows_are_cut_and_which_no_longer_count() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 10), epoch=1)
    put_rows(store, make_rows(10, 10), epoch=1)
    put_gap(store, 20, 29, GapReason.EMPTY)
    put_rows(store, make_rows(5, 3), epoch=2)
    entries = listed(store)
    assert spans(entries) == [
        ("window", "cut", 0, 9),
        ("window", "live", 5, 7),
        ("window", "superseded", 10, 19),
        ("marker", "superseded", 20, 29),
    ]
    assert entries[0].live == Span(0, 4)


def test_foreign_objects_and_events_are_named() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 1))
    foreign = f"{LAYOUT.incarnation(ORDERS_3.incarnation)}3/_SUCCESS"
    store.put_if_absent(foreign, b"")
    write_event(store, LAYOUT, ORDERS_3.incarnation, "recreated", 1767225600123, {})
    entries = listed(store)
    assert [(entry.kind, entry.note) for entry in entries if entry.kind == "event"] == [("event", "recreated")]
    assert [entry.key for entry in entries if entry.kind == "foreign"] == [foreign]


def test_a_window_in_several_objects_is_listed_with_its_parts() -> None:
    store = an_archive()
    key = store_in_parts(store, make_rows(0, 10))
    entries = listed(store)
    (window,) = [entry for entry in entries if entry.kind == "window"]
    parts = [entry for entry in entries if entry.kind == "part"]
    assert (window.key, window.state) == (key, "live")
    assert len(parts) > 1 and {(part.first, part.last, part.state) for part in parts} == {(0, 9, "")}


def test_the_choice_narrows_what_is_listed() -> None:
    store = an_archive()
    for place in (a_partition("a", 0), a_partition("a", 1), a_partition("a", 0, OTHER_TOPIC_ID), a_partition("b", 0)):
        for first in (0, 10, 20):
            put_rows(store, make_rows(first, 10), partition=place)
    store.put_if_absent(f"{LAYOUT.topic('a')}odd", b"")
    assert len(listed(store)) == 12
    assert len(listed(store, topics=Selection.of(["a"]))) == 9
    assert len(listed(store, incarnation=OTHER_TOPIC_ID)) == 3
    assert len(listed(store, partitions=frozenset({1, 7}))) == 3
    narrow = listed(store, topics=Selection.of(["b"]), offsets=Span(9, 10))
    assert spans(narrow) == [("window", "live", 0, 9), ("window", "live", 10, 19)]
    assert spans(listed(store, topics=Selection.of(["b"]), offsets=Span(30, 40))) == []


@pytest.mark.parametrize("choice", [{"topics": Selection.of(["nope"])}, {"incarnation": OTHER_TOPIC_ID}])
def test_a_choice_that_matches_no_topic_is_refused(choice: dict[str, Any]) -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 1))
    with pytest.raises(WrongUsage, match="nothing in the archive matches"):
        listed(store, **choice)


def test_an_empty_archive_lists_nothing() -> None:
    assert listed(an_archive()) == []


def test_windows_say_of_themselves_how_many_records_they_hold() -> None:
    store = an_archive()
    window = make_window(make_rows(0, 10), redactions=(Redaction("s1", 1, 0, 0, 5), Redaction("s2", 1, 0, 0, 6)))
    store.put_if_absent(LAYOUT.object(ORDERS_3, window.name), window.data, window.facts.to_object_metadata())
    put_gap(store, 10, 19)
    with Heads(store) as heads:
        entry, marker = with_facts(listed(store), heads)
    told = entry.document()
    assert (told["records"], told["digest"], told["written_ms"]) == (10, window.facts.digest, window.facts.written)
    assert (told["redactions"], told["last_sweep"]) == (2, "s2")
    assert marker.said is None


@pytest.mark.parametrize("metadata", [{}, {"millpond-format": "1"}, {"millpond-redactions": "many"}])
def test_a_window_whose_metadata_say_nothing_is_listed_all_the_same(metadata: dict[str, str]) -> None:
    store = an_archive()
    window = make_window(make_rows(0, 10))
    store.put_if_absent(LAYOUT.object(ORDERS_3, window.name), window.data, metadata)
    with Heads(store) as heads:
        (entry,) = with_facts(listed(store), heads)
    assert (entry.document()["records"], entry.document()["redactions"]) == (None, 0)


def test_a_partition_is_named_by_topic_and_number() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 1))
    assert partition_named(store, LAYOUT, "orders", 3) == ORDERS_3
    with pytest.raises(WrongUsage, match="no topic payments"):
        partition_named(store, LAYOUT, "payments", 3)
    with pytest.raises(WrongUsage, match=f"no incarnation {OTHER_TOPIC_ID} of topic orders"):
        partition_named(store, LAYOUT, "orders", 3, OTHER_TOPIC_ID)


def test_of_a_topic_with_several_lives_one_must_be_named() -> None:
    store = an_archive()
    put_rows(store, make_rows(0, 1))
    other = a_partition(topic_id=OTHER_TOPIC_ID)
    put_rows(store, make_rows(0, 1), partition=other)
    with pytest.raises(RefusedForSafety) as caught:
        partition_named(store, LAYOUT, "orders", 3)
    assert TOPIC_ID in caught.value.hint and OTHER_TOPIC_ID in caught.value.hint
    assert partition_named(store, LAYOUT, "orders", 3, OTHER_TOPIC_ID) == other
