"""The coverage report tells missing parts from parts that belong to nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.storage.memory import MemoryStore
from millpond.verify.coverage import coverage_of
from tests.unit.builders import ARCHIVE_ID, LAYOUT, make_rows, put_rows
from tests.unit.parts_builder import keys_of, store_in_parts

ROWS = [(o, at, b"k%d" % (o % 3), value, headers) for o, at, _, value, headers in make_rows(0, 30)]


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1, "continues": ""}
    store.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())
    return store


def report(store: MemoryStore) -> tuple[dict[str, Any], dict[str, Any]]:
    found = coverage_of(store, LAYOUT, now_ms=1)
    (topic,) = found["topics"]
    return found, topic["parts"]


def test_a_whole_window_in_parts_is_covered_and_nothing_is_missing(store: MemoryStore) -> None:
    store_in_parts(store, ROWS)
    found, parts = report(store)
    assert (found["unexplained"], found["missing_parts"], found["foreign"], found["offsets"]) == (0, 0, 0, 30)
    assert parts == {"windows": 1, "missing": [], "missing_count": 0, "orphans": 0, "orphan_bytes": 0}


def test_a_missing_part_is_named(store: MemoryStore) -> None:
    store_in_parts(store, ROWS)
    gone = keys_of(store, "-p1.avro")[0]
    store.delete(gone)
    found, parts = report(store)
    assert (found["missing_parts"], parts["missing"]) == (1, [gone])


def test_parts_without_a_list_are_orphans_and_cover_nothing(store: MemoryStore) -> None:
    store.delete(store_in_parts(store, ROWS))
    found, parts = report(store)
    size = sum(head.size_bytes for key in keys_of(store, ".avro") if (head := store.head(key)))
    assert (found["offsets"], found["missing_parts"]) == (0, 0)
    assert (parts["orphans"], parts["orphan_bytes"]) == (3, size)


def test_a_list_that_cannot_be_read_is_missing_itself(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS)
    head = store.head(key)
    assert head is not None
    store.put_if_match(key, b"{}", head.etag)
    assert report(store)[1]["missing"] == [key]


class NoReads(MemoryStore):
    def open(self, key: str, **more: Any) -> Any:
        assert key == LAYOUT.identity
        return super().open(key, **more)


def test_without_parts_nothing_is_read() -> None:
    store = NoReads()
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1, "continues": ""}
    store.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())
    put_rows(store, ROWS)
    assert report(store)[1]["windows"] == 0
