"""Where a partition goes on, and what is written on the way there (format, 8.4, 10.2 and 11.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from millpond.archive.catalog import read_partition
from millpond.archive.coverage import Span
from millpond.archive.names import GapName, GapReason
from millpond.backup.commits import CommitNote, archived_before
from millpond.backup.positions import Start, find_starts, start_of
from millpond.kafka.admin import Commit, TopicDescription
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import (
    ARCHIVE_ID,
    LAYOUT,
    ORDERS_3,
    OTHER_TOPIC_ID,
    TOPIC_ID,
    a_partition,
    make_rows,
    put_gap,
    put_rows,
)

NOW = 1767225700000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def window(store: MemoryStore, first: int, last: int, epoch: int = 7) -> None:
    put_rows(store, make_rows(first, 1), first=first, last=last, epoch=epoch)


def start(store: MemoryStore, log_start: int, log_end: int = 10**6, archived_before: int = 0) -> Start:
    listing = read_partition(store, LAYOUT, ORDERS_3)
    more = {"now_ms": NOW, "archived_before": archived_before}
    return start_of(store, LAYOUT, listing, log_start=log_start, log_end=log_end, **more)


def gaps(store: MemoryStore) -> list[tuple[int, int, str]]:
    return [(gap.first, gap.last, gap.reason.value) for gap in read_partition(store, LAYOUT, ORDERS_3).gaps]


def holes(store: MemoryStore) -> list[Span]:
    return read_partition(store, LAYOUT, ORDERS_3).unexplained()


def test_a_first_start_of_a_whole_log_is_at_zero_and_writes_nothing(store: MemoryStore) -> None:
    assert start(store, 0) == Start(ORDERS_3, 0, -1, 10**6)
    assert list(store.list("")) == []


def test_a_first_start_of_a_log_that_lost_its_front_explains_it_from_zero(store: MemoryStore) -> None:
    assert start(store, 1000).position == 1000
    assert gaps(store) == [(0, 999, "retention")]
    key = LAYOUT.object(ORDERS_3, GapName(0, 999, GapReason.RETENTION))
    said = json.loads(read(store, key))
    assert said == {
        "reason": "retention",
        "first": 0,
        "last": 999,
        "detected_at": NOW,
        "evidence": {"log_start": 1000},
    }


def test_retention_that_overtook_the_backup_is_explained_from_the_end_of_coverage(store: MemoryStore) -> None:
    window(store, 0, 99)
    assert start(store, 300) == Start(ORDERS_3, 300, 7, 10**6)
    assert gaps(store) == [(100, 299, "retention")]
    assert start(store, 300).position == 300, "and once only"
    assert len(gaps(store)) == 1


def test_retention_behind_the_archive_is_none_of_its_business(store: MemoryStore) -> None:
    window(store, 0, 99)
    assert start(store, 100).position == 100
    assert start(store, 40).position == 100
    assert gaps(store) == []


def test_a_hole_in_the_middle_is_read_again_where_kafka_has_it(store: MemoryStore) -> None:
    window(store, 0, 99)
    window(store, 200, 299)
    assert start(store, 0).position == 100
    assert start(store, 150).position == 150
    assert gaps(store) == []


def test_a_hole_in_the_middle_that_kafka_has_lost_stays_a_hole(store: MemoryStore) -> None:
    window(store, 0, 99)
    window(store, 200, 299)
    assert start(store, 250).position == 300
    assert start(store, 400).position == 400
    assert gaps(store) == [(300, 399, "retention")]
    assert holes(store) == [Span(100, 199)]


def test_what_the_group_says_was_archived_once_is_not_explained_by_retention(store: MemoryStore) -> None:
    """Rule 4 of 10.2: the newest windows were deleted from the store, and Kafka has lost their records since."""
    window(store, 0, 99)
    assert start(store, 300, archived_before=200).position == 300
    assert gaps(store) == [(200, 299, "retention")]
    assert holes(store) == [Span(100, 199)]


def test_a_commit_beyond_the_log_start_leaves_nothing_to_explain(store: MemoryStore) -> None:
    window(store, 0, 99)
    assert start(store, 300, archived_before=400).position == 300
    assert gaps(store) == []


def test_a_commit_counts_only_for_the_same_archive_and_the_same_life() -> None:
    def before(note: str) -> int:
        return archived_before({("orders", 3): Commit(200, note)}, ARCHIVE_ID, ORDERS_3)

    assert before(CommitNote(ARCHIVE_ID, TOPIC_ID, "key").text()) == 200
    assert before(CommitNote("another", TOPIC_ID, "key").text()) == 0
    assert before(CommitNote(ARCHIVE_ID, OTHER_TOPIC_ID, "key").text()) == 0
    for foreign in ("", "text", "[]", "{}", "7", '{"archive_id": 7}'):
        assert before(foreign) == 0
    assert archived_before({}, ARCHIVE_ID, ORDERS_3) == 0


def test_markers_count_as_read(store: MemoryStore) -> None:
    window(store, 0, 99)
    put_gap(store, 100, 104, GapReason.EMPTY)
    assert start(store, 0).position == 105


def test_the_epoch_is_that_of_the_newest_live_window_before_although_a_marker_lies_between(store: MemoryStore) -> None:
    window(store, 0, 99, epoch=5)
    put_gap(store, 100, 104, GapReason.EMPTY)
    assert start(store, 0).epoch == 5


def test_the_epoch_is_not_that_of_a_window_behind_the_position(store: MemoryStore) -> None:
    window(store, 0, 99, epoch=5)
    window(store, 200, 299, epoch=9)
    assert start(store, 0) == Start(ORDERS_3, 100, 5, 10**6)


def test_a_marker_in_doubt_is_read_again(store: MemoryStore) -> None:
    window(store, 0, 149, epoch=5)
    put_gap(store, 150, 154, GapReason.EMPTY)
    window(store, 120, 149, epoch=6)
    assert start(store, 0) == Start(ORDERS_3, 150, 6, 10**6)


class FakeCluster:
    """One topic `orders`."""

    def __init__(self, topic_id: str = TOPIC_ID, partitions: int = 4) -> None:
        self.topic_id, self.partitions = topic_id, partitions

    def describe(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        found = TopicDescription("orders", self.topic_id, self.partitions, 1, internal=False)
        return {"orders": found} if "orders" in set(topics) else {}

    def log_starts(self, places: Iterable[Place]) -> dict[Place, int]:
        return {place: 10 for place in places if self._known(place)}

    def ends(self, places: Iterable[Place]) -> dict[Place, int]:
        return {place: 20 for place in places if self._known(place)}

    def _known(self, place: Place) -> bool:
        assert place[0] == "orders" and place[1] < self.partitions, f"{place} is not there: Kafka would fail the call"
        return True


def find(store: MemoryStore, cluster: FakeCluster, *places: Place) -> list[Start]:
    return find_starts(store, LAYOUT, cluster, places, NOW)  # type: ignore[arg-type]


def test_topics_and_partitions_that_are_gone_have_no_start(store: MemoryStore) -> None:
    found = find(store, FakeCluster(partitions=2), ("orders", 1), ("orders", 3), ("gone", 0))
    assert found == [Start(a_partition(partition=1), 10, -1, 20)]


def test_a_topic_made_again_starts_anew_beside_the_old_and_says_so_once(store: MemoryStore) -> None:
    window(store, 0, 99)
    cluster = FakeCluster(OTHER_TOPIC_ID)
    for _ in range(2):
        assert find(store, cluster, ("orders", 3))[0].position == 10
    keys = [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]
    events = [key for key in keys if "/events/" in key]
    assert [key.split("/")[-3:] for key in events] == [[OTHER_TOPIC_ID, "events", f"{NOW}-recreated.json"]]
    assert json.loads(read(store, events[0])) == {"kind": "recreated", "at": NOW, "earlier": [TOPIC_ID]}


def test_a_first_life_is_no_recreation(store: MemoryStore) -> None:
    find(store, FakeCluster(), ("orders", 3))
    find(store, FakeCluster(), ("orders", 3))
    keys = [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]
    assert not [key for key in keys if "/events/" in key]
