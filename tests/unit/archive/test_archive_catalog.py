from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.catalog import (
    Foreign,
    PartitionListing,
    list_incarnations,
    list_topics,
    read_archive,
    read_partition,
    read_topic,
)
from millpond.archive.coverage import Span
from millpond.archive.events import write_event
from millpond.archive.keys import EventKey, Incarnation, Layout
from millpond.archive.names import GapName, GapReason, WindowName
from millpond.storage.folder import FolderStore
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
    put_window,
)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_an_archive_is_read_as_it_was_written(store: MemoryStore) -> None:
    put_gap(store, 0, 99)
    put_rows(store, make_rows(100, 10))
    put_rows(store, make_rows(110, 10), last=124)
    put_gap(store, 125, 126, GapReason.EMPTY)
    put_rows(store, make_rows(127, 3), epoch=8)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert [(w.name.first, w.name.last, w.name.epoch) for w in listing.windows] == [
        (100, 109, 7),
        (110, 124, 7),
        (127, 129, 8),
    ]
    assert listing.gaps == (GapName(0, 99, GapReason.RETENTION), GapName(125, 126, GapReason.EMPTY))
    assert listing.covered() == [Span(0, 129)]
    assert listing.unexplained() == []
    assert listing.position(log_start=0) == listing.position(log_start=115) == 130
    assert listing.position(log_start=500) == 500


def test_a_hole_in_the_middle_is_unexplained_and_where_the_backup_goes_on(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10))
    put_rows(store, make_rows(20, 10))
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert listing.unexplained() == [Span(10, 19)]
    assert listing.position(log_start=0) == 10


def test_objects_deleted_at_the_front_are_a_hole(store: MemoryStore) -> None:
    put_rows(store, make_rows(100, 10))
    assert read_partition(store, LAYOUT, ORDERS_3).unexplained() == [Span(0, 99)]


def test_a_window_of_a_cut_branch_is_listed_and_not_live(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10), epoch=5)
    put_rows(store, make_rows(10, 10), epoch=5)
    put_rows(store, make_rows(5, 2), epoch=6)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert len(listing.windows) == 3
    assert [item.span for item in listing.live()] == [Span(0, 4), Span(5, 6)]
    assert listing.position(log_start=0) == 7


def test_a_marker_of_doubtful_epoch_explains_and_is_read_again(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10), epoch=5)
    put_rows(store, make_rows(5, 5), epoch=6)
    put_gap(store, 10, 14, GapReason.EMPTY)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert listing.covered() == [Span(0, 14)]
    assert listing.unexplained() == []
    assert listing.position(log_start=0) == 10


def test_a_twin_is_listed_beside_its_window(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10))
    twin = make_window(make_rows(0, 10, size=5))
    key = put_window(store, twin, twin=True)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert [w.name.twin for w in listing.windows] == [twin.facts.digest[:8], ""]
    assert listing.windows[0].info.key == key
    assert listing.covered() == [Span(0, 9)]


def test_a_partition_without_a_folder_is_empty(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10), partition=a_partition(partition=30))
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert listing == PartitionListing(ORDERS_3, (), ())
    assert (listing.covered(), listing.unexplained(), listing.position(log_start=7)) == ([], [], 7)


def test_a_foreign_key_between_two_windows_does_not_part_the_partition(store: MemoryStore) -> None:
    """The windows behind it were once left out, and the backup began again in the middle."""
    keys = [put_rows(store, make_rows(first, 10)) for first in (0, 10, 20)]
    strange = [keys[1] + ".bak", keys[0].replace(".avro", ".gap"), LAYOUT.folder(ORDERS_3) + "orders-3-00/junk"]
    strange += [LAYOUT.folder(ORDERS_3) + name for name in ("a.txt", "z.txt", "parts/country=de/x-p0.avro")]
    for key in strange:
        store.put_if_absent(key, b"")
    assert read_partition(store, LAYOUT, ORDERS_3).covered() == [Span(0, 29)]
    found = list(read_archive(store, LAYOUT))
    assert len([item for item in found if isinstance(item, PartitionListing)]) == 1
    assert {item.key for item in found if isinstance(item, Foreign)} == set(strange)


def a_busy_archive(store: MemoryStore) -> None:
    for topic in ("orders", "orders-1", "orders.1", "events", "1"):
        for partition in (0, 1, 10, 2):
            put_rows(store, make_rows(0, 5), partition=a_partition(topic, partition))
    put_rows(store, make_rows(0, 5), partition=a_partition("orders", 1, OTHER_TOPIC_ID))
    write_event(store, LAYOUT, Incarnation("orders", TOPIC_ID), "recreated", 1767225700000, {})
    store.put_if_absent(LAYOUT.identity, b"{}")
    store.put_if_absent(LAYOUT.run("restore", "r", "plan.jsonl"), b"{}")
    store.put_if_absent(LAYOUT.topics + "stray", b"")
    store.put_if_absent(LAYOUT.topic("orders") + "stray", b"")
    store.put_if_absent(LAYOUT.topic("orders") + "junk/3/x.avro", b"")
    store.put_if_absent(LAYOUT.topics + "größe/x", b"")
    store.put_if_absent("backups/kafka2/topics/orders/x", b"")


def test_an_archive_gives_each_partition_once_and_tells_what_is_foreign(store: MemoryStore) -> None:
    a_busy_archive(store)
    found = list(read_archive(store, LAYOUT))
    partitions = [item.partition for item in found if isinstance(item, PartitionListing)]
    assert len(partitions) == len(set(partitions)) == 21
    assert [item for item in found if isinstance(item, EventKey)] == [
        EventKey(Incarnation("orders", TOPIC_ID), 1767225700000, "recreated")
    ]
    assert [item.key.removeprefix(LAYOUT.topics) for item in found if isinstance(item, Foreign)] == [
        "größe/x",
        "orders/junk/3/x.avro",
        "orders/stray",
        "stray",
    ]


def test_a_topic_is_read_without_its_neighbours(store: MemoryStore) -> None:
    a_busy_archive(store)
    found = [item for item in read_topic(store, LAYOUT, "orders") if isinstance(item, PartitionListing)]
    assert {item.partition.topic for item in found} == {"orders"}
    assert len(found) == 5


def test_topics_and_incarnations_are_listed_without_foreign_folders(store: MemoryStore) -> None:
    """Any folder below a topic was once taken for a life of it."""
    a_busy_archive(store)
    assert sorted(list_topics(store, LAYOUT)) == ["1", "events", "orders", "orders-1", "orders.1"]
    lives = {Incarnation("orders", TOPIC_ID), Incarnation("orders", OTHER_TOPIC_ID)}
    assert set(list_incarnations(store, LAYOUT, "orders")) == lives
    assert list_incarnations(store, LAYOUT, "absent") == []


def test_a_deleted_object_is_not_listed(store: MemoryStore) -> None:
    key = put_rows(store, make_rows(0, 10))
    store.delete(key)
    assert list(read_archive(store, LAYOUT)) == []


def test_an_archive_without_a_prefix_is_read_like_any_other(store: MemoryStore) -> None:
    put_rows(store, make_rows(0, 10), layout=Layout(""))
    assert list_topics(store, Layout("")) == ["orders"]
    assert read_partition(store, Layout(""), ORDERS_3).covered() == [Span(0, 9)]


@pytest.mark.parametrize("topic", ["orders", "t" * 249, "T" * 249, "-.-", "events", "parts", "0"])
def test_a_local_folder_holds_the_same_archive(tmp_path: Path, topic: str) -> None:
    """It shortens long topics and writes ids in another way; nothing of that may show."""
    folder, memory = FolderStore(tmp_path), MemoryStore()
    for store in (folder, memory):
        for number in (0, 1, 10):
            put_gap(store, 0, 99, partition=a_partition(topic, number))
            put_window(store, make_window(make_rows(100, 3), partition=a_partition(topic, number), salt=bytes(16)))
        write_event(store, LAYOUT, Incarnation(topic, TOPIC_ID), "missing", 1767225700000, {})
    found, expected = ([_without_times(item) for item in read_archive(store, LAYOUT)] for store in (folder, memory))
    assert found == expected
    assert list_topics(folder, LAYOUT) == [topic]
    assert list_incarnations(folder, LAYOUT, topic) == [Incarnation(topic, TOPIC_ID)]
    assert read_partition(folder, LAYOUT, a_partition(topic, 10)).position(log_start=0) == 103


def _without_times(item: object) -> object:
    if not isinstance(item, PartitionListing):
        return item
    return item.partition, item.gaps, [(window.name, window.info.key) for window in item.windows]


PLACES = st.builds(
    a_partition,
    st.sampled_from(["orders", "orders-1", "1", "parts", "events"]),
    st.sampled_from([0, 1, 10, 100, 2]),
    st.sampled_from([TOPIC_ID, OTHER_TOPIC_ID, "no-id-0"]),
)
STRAYS = st.text("ao1-/._", min_size=1, max_size=6).filter(
    lambda s: all(p not in ("", ".", "..") for p in s.split("/"))
)


@settings(max_examples=60)
@given(st.dictionaries(PLACES, st.sets(st.integers(0, 5), min_size=1), max_size=5), st.lists(st.tuples(PLACES, STRAYS)))
def test_whatever_lies_around_every_window_is_found_once(found, strays) -> None:  # type: ignore[no-untyped-def]
    store = MemoryStore()
    for partition, windows in found.items():
        for number in windows:
            store.put_if_absent(LAYOUT.object(partition, WindowName(number, number, 0, 0, 0)), b"")
    foreign = {
        key
        for place, name in strays
        for key in (
            LAYOUT.folder(place) + name,
            LAYOUT.folder(place)[:-1] + name,
            LAYOUT.incarnation(place.incarnation) + name,
        )
    }
    for key in foreign:
        store.put_if_absent(key, b"")
    items = list(read_archive(store, LAYOUT))
    listings = [item for item in items if isinstance(item, PartitionListing)]
    assert {item.partition: {w.name.first for w in item.windows} for item in listings} == found
    assert len(listings) == len(found)
    assert sorted(item.key for item in items if isinstance(item, Foreign)) == sorted(foreign)
    for listing in listings:
        assert read_partition(store, LAYOUT, listing.partition) == listing
