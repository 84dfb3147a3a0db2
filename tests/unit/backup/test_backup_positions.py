"""Where a partition goes on, and what is written on the way there (format, 8.4, 10.2 and 11.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from millpond.archive.catalog import read_partition
from millpond.archive.coverage import Span
from millpond.archive.names import GapName, GapReason
from millpond.backup.archived import list_archived
from millpond.backup.commits import CommitNote
from millpond.backup.divergence import Log
from millpond.backup.findings import Findings
from millpond.backup.positions import Start, StartFinder, noted, start_of
from millpond.kafka.admin import Commit, LogEnd, TopicDescription
from millpond.kafka.places import Place
from millpond.kafka.settings import ClusterAddress
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


def start(store: MemoryStore, log_start: int, committed: int = 0) -> Start:
    log = Log(ORDERS_3, log_start, LogEnd(10**6, -1))
    archived = list_archived(store, LAYOUT, ORDERS_3, "")
    return replace(start_of(Findings(store, LAYOUT), archived, log, committed, NOW), archived_ms=0)


def gaps(store: MemoryStore) -> list[tuple[int, int, str]]:
    return [(gap.first, gap.last, gap.reason.value) for gap in read_partition(store, LAYOUT, ORDERS_3).gaps]


def holes(store: MemoryStore) -> list[Span]:
    return read_partition(store, LAYOUT, ORDERS_3).unexplained()


def test_a_first_start_of_a_whole_log_is_at_zero_and_writes_nothing(store: MemoryStore) -> None:
    assert start(store, 0) == Start(ORDERS_3, 0)
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
    assert start(store, 300) == Start(ORDERS_3, 300, 7)
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
    assert start(store, 300, committed=200).position == 300
    assert gaps(store) == [(200, 299, "retention")]
    assert holes(store) == [Span(100, 199)]


def test_a_commit_beyond_the_log_start_leaves_nothing_to_explain(store: MemoryStore) -> None:
    window(store, 0, 99)
    assert start(store, 300, committed=400).position == 300
    assert gaps(store) == []


def test_a_commit_counts_only_for_the_same_archive_and_the_same_life() -> None:
    def before(note: str) -> tuple[int, str]:
        return noted(Commit(200, note), ARCHIVE_ID, ORDERS_3)

    assert before(CommitNote(ARCHIVE_ID, TOPIC_ID, "key").text()) == (200, "key")
    assert before(CommitNote("another", TOPIC_ID, "key").text()) == (0, "")
    assert before(CommitNote(ARCHIVE_ID, OTHER_TOPIC_ID, "key").text()) == (0, "")
    for foreign in ("", "text", "[]", "{}", "7", '{"archive_id": 7}'):
        assert before(foreign) == (0, "")
    assert noted(None, ARCHIVE_ID, ORDERS_3) == (0, "")


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
    assert start(store, 0) == Start(ORDERS_3, 100, 5, until=200)


def test_a_marker_in_doubt_is_read_again(store: MemoryStore) -> None:
    window(store, 0, 149, epoch=5)
    put_gap(store, 150, 154, GapReason.EMPTY)
    window(store, 120, 149, epoch=6)
    assert start(store, 0) == Start(ORDERS_3, 150, 6)


class FakeCluster:
    """One topic `orders`."""

    def __init__(self, topic_id: str = TOPIC_ID, partitions: int = 4) -> None:
        self.topic_id, self.partitions = topic_id, partitions
        self.commits: dict[Place, Commit] = {}
        self.settings: dict[str, str] = {}
        self.young_from, self.end = -1, LogEnd(20, -1)
        self.asked_at: dict[Place, int] = {}
        self.without_leader: set[Place] = set()

    address = ClusterAddress("nobody:9092")

    def group_commits(self, group_id: str) -> dict[Place, Commit]:
        return self.commits

    def settings_of(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        return dict.fromkeys(set(topics), self.settings)

    def offsets_at(self, times: Mapping[Place, int]) -> dict[Place, int]:
        self.asked_at = dict(times)
        return dict.fromkeys(times, self.young_from)

    def describe(self, topics: Iterable[str]) -> dict[str, TopicDescription]:
        found = TopicDescription("orders", self.topic_id, self.partitions, 1, internal=False)
        return {"orders": found} if "orders" in set(topics) else {}

    def log_starts(self, places: Iterable[Place], *, of_some: bool) -> dict[Place, int]:
        assert of_some
        return {place: 10 for place in places if self._known(place)}

    def log_ends(self, places: Iterable[Place]) -> dict[Place, LogEnd]:
        return {place: self.end for place in places if self._known(place)}

    def _known(self, place: Place) -> bool:
        assert place[0] == "orders" and place[1] < self.partitions, f"{place} is not there: Kafka would fail the call"
        return place not in self.without_leader


def find(store: MemoryStore, cluster: FakeCluster, *places: Place) -> list[Start]:
    finder = StartFinder(Findings(store, LAYOUT), cluster, ARCHIVE_ID, "group")  # type: ignore[arg-type]
    return finder.find(places, NOW)


def test_topics_and_partitions_that_are_gone_have_no_start(store: MemoryStore) -> None:
    found = find(store, FakeCluster(partitions=2), ("orders", 1), ("orders", 3), ("gone", 0))
    assert found == [Start(a_partition(partition=1), 10)]


def test_partitions_without_a_leader_have_no_start_yet_and_keep_no_others_from_theirs(store: MemoryStore) -> None:
    cluster = FakeCluster()
    cluster.without_leader = {("orders", 1)}
    assert [start.place for start in find(store, cluster, ("orders", 0), ("orders", 1), ("orders", 2))] == [
        ("orders", 0),
        ("orders", 2),
    ]


def test_a_topic_made_again_starts_anew_beside_the_old_and_says_so_once(store: MemoryStore) -> None:
    window(store, 0, 9)
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


# -- objects that vanished


def events(store: MemoryStore, kind: str) -> list[dict[str, object]]:
    keys = [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]
    said = [json.loads(read(store, key)) for key in keys if key.endswith(f"-{kind}.json")]
    return [{name: fact for name, fact in one.items() if name not in ("kind", "at")} for one in said]


def test_a_hole_is_told_as_missing_once_and_again_when_it_grows(store: MemoryStore) -> None:
    window(store, 0, 99)
    window(store, 200, 299)
    for _ in range(2):
        start(store, 0)
    assert events(store, "missing") == [{"partition": 3, "missing": [[100, 199]], "committed": 0}]
    start(store, 0, committed=400)
    assert len(events(store, "missing")) == 2
    assert events(store, "missing")[1]["missing"] == [[100, 199], [300, 399]]


def test_whole_archives_miss_nothing(store: MemoryStore) -> None:
    window(store, 0, 99)
    put_gap(store, 100, 104, GapReason.EMPTY)
    start(store, 0, committed=105)
    start(store, 500, committed=100)
    assert events(store, "missing") == []


def committing(store: MemoryStore, key: str, offset: int, end: int = 200) -> Start:
    cluster = FakeCluster()
    cluster.commits = {("orders", 3): Commit(offset, CommitNote(ARCHIVE_ID, TOPIC_ID, key).text())}
    cluster.end = LogEnd(end, -1)
    return find(store, cluster, ("orders", 3))[0]


def test_a_commit_whose_object_stands_misses_nothing_although_a_cut_ended_the_object_earlier(
    store: MemoryStore,
) -> None:
    """Killed between the first window of a new branch and its commit: the old commit lies beyond what is covered."""
    window(store, 0, 79, epoch=5)
    old = next(iter(store.list(LAYOUT.topics)))
    window(store, 50, 60, epoch=6)
    assert isinstance(old, ObjectInfo)
    assert committing(store, old.key, 80).position == 61
    assert events(store, "missing") == []


def test_a_commit_whose_object_is_gone_tells_what_is_missing(store: MemoryStore) -> None:
    window(store, 0, 79)
    assert committing(store, "gone", 90).position == 80
    assert events(store, "missing") == [{"partition": 3, "missing": [[80, 89]], "committed": 90}]


# -- the shortcut


def test_the_shortcut_lists_from_the_newest_object_of_a_large_folder(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millpond.backup.archived._PAGE", 3)
    for first in range(0, 100, 10):
        window(store, first, first + 9)
    keys = [entry.key for entry in store.list(LAYOUT.topics) if isinstance(entry, ObjectInfo)]
    archived = list_archived(store, LAYOUT, ORDERS_3, keys[7])
    assert (archived.base, len(archived.listing.windows), archived.end) == (70, 3, 100)
    assert archived.surely == [Span(0, 99)]
    assert committing(store, keys[7], 80).position == 100
    for useless in ("", "gone", keys[0], keys[7][:-1], keys[7].replace("/3/", "/4/")):
        assert list_archived(store, LAYOUT, ORDERS_3, useless) == list_archived(store, LAYOUT, ORDERS_3, "")


def test_the_shortcut_is_not_taken_where_its_object_is_gone(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millpond.backup.archived._PAGE", 3)
    for first in range(0, 100, 10):
        window(store, first, first + 9)
    keys = [entry.key for entry in store.list(LAYOUT.topics) if isinstance(entry, ObjectInfo)]
    doomed = store.head(keys[7])
    assert doomed is not None
    store.delete_version(keys[7], doomed.version)
    assert list_archived(store, LAYOUT, ORDERS_3, keys[7]).base == 0
    assert committing(store, keys[7], 80).position == 70
    assert events(store, "missing") == [{"partition": 3, "missing": [[70, 79]], "committed": 80}]


# -- deletions that may be lost


@pytest.mark.parametrize(
    ("policy", "young_from", "expected"),
    [("compact", 150, (100, 149)), ("compact,delete", -1, (100, 199)), ("compact", 100, None), ("delete", 150, None)],
    ids=["some are old", "all are old", "all are young", "not compacted"],
)
def test_tombstones_that_waited_unread_may_be_lost(
    store: MemoryStore, policy: str, young_from: int, expected: tuple[int, int] | None
) -> None:
    window(store, 0, 99)
    cluster = FakeCluster()
    cluster.settings = {"cleanup.policy": policy, "delete.retention.ms": "1000"}
    cluster.young_from, cluster.end = young_from, LogEnd(200, -1)
    for _ in range(2):
        find(store, cluster, ("orders", 3))
    told = [(one["first"], one["last"], one["delete_retention_ms"]) for one in events(store, "tombstones-maybe-lost")]
    assert told == ([(*expected, 1000)] if expected else [])
    assert cluster.asked_at == ({("orders", 3): NOW - 1000} if "compact" in policy else {})


def test_a_first_start_of_a_compacted_topic_has_lost_nothing(store: MemoryStore) -> None:
    cluster = FakeCluster()
    cluster.settings = {"cleanup.policy": "compact", "delete.retention.ms": "1000"}
    find(store, cluster, ("orders", 3))
    assert events(store, "tombstones-maybe-lost") == []
