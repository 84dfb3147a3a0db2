from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from millpond.archive.catalog import read_partition, read_topic
from millpond.archive.events import write_event
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.keys import EventKey
from millpond.archive.names import GapName, GapReason
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, ORDERS_3

GAP = Gap(ORDERS_3, GapName(0, 999, GapReason.RETENTION), 1767225600000, {"log_start": 1000})
ORDERS = ORDERS_3.incarnation


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_marker_says_what_the_format_names(store: MemoryStore) -> None:
    key = write_gap(store, LAYOUT, GAP)
    assert key == LAYOUT.folder(ORDERS_3) + "orders-3-0000000000000000000-0000000000000000999-retention.gap"
    assert json.loads(read(store, key)) == {
        "reason": "retention",
        "first": 0,
        "last": 999,
        "detected_at": 1767225600000,
        "evidence": {"log_start": 1000},
    }


def test_a_marker_that_is_there_is_success_and_stays(store: MemoryStore) -> None:
    key = write_gap(store, LAYOUT, GAP)
    later = Gap(ORDERS_3, GAP.name, GAP.detected_at + 5, {"log_start": 1001})
    assert write_gap(store, LAYOUT, later) == key
    assert json.loads(read(store, key))["detected_at"] == GAP.detected_at
    assert len(list(store.list_versions(""))) == 1


@pytest.mark.parametrize("reason", GapReason)
def test_a_marker_of_every_reason_is_listed(store: MemoryStore, reason: GapReason) -> None:
    write_gap(store, LAYOUT, Gap(ORDERS_3, GapName(5, 9, reason), 0, {}))
    assert read_partition(store, LAYOUT, ORDERS_3).gaps == (GapName(5, 9, reason),)


def test_a_marker_whose_body_was_damaged_counts_by_its_name(store: MemoryStore) -> None:
    store.put_if_absent(LAYOUT.object(ORDERS_3, GAP.name), b"\xff")
    assert read_partition(store, LAYOUT, ORDERS_3).position(log_start=0) == 1000


@pytest.mark.parametrize("kind", ["truncated", "missing", "recreated", "tombstones-maybe-lost"])
def test_an_event_says_what_and_when_and_is_listed(store: MemoryStore, kind: str) -> None:
    key = write_event(store, LAYOUT, ORDERS, kind, 1767225700000, {"partition": 3})
    assert json.loads(read(store, key)) == {"kind": kind, "at": 1767225700000, "partition": 3}
    assert list(read_topic(store, LAYOUT, "orders")) == [EventKey(ORDERS, 1767225700000, kind)]


def test_the_same_event_again_is_success(store: MemoryStore) -> None:
    keys = {write_event(store, LAYOUT, ORDERS, "missing", 5, {"position": 9}) for _ in range(3)}
    assert len(keys) == 1
    assert len(list(store.list_versions(""))) == 1


def test_workers_do_not_hide_each_others_events(store: MemoryStore) -> None:
    """The second event of a kind and millisecond was once dropped in silence."""
    with ThreadPoolExecutor(8) as pool:
        keys = list(
            pool.map(lambda n: write_event(store, LAYOUT, ORDERS, "recreated", 100, {"partition": n}), range(8))
        )
    bodies = [json.loads(read(store, key)) for key in keys]
    assert [body["partition"] for body in bodies] == list(range(8))
    assert sorted(body["at"] for body in bodies) == list(range(100, 108))
    found = [item.at_ms for item in read_topic(store, LAYOUT, "orders") if isinstance(item, EventKey)]
    assert found == list(range(100, 108))
