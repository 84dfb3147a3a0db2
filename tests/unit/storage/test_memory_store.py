from __future__ import annotations

import pytest
from hypothesis import example, given

from millpond.storage.contract import NoSuchObject, read
from millpond.storage.memory import MemoryStore
from tests.contracts.listing import delimiters, expected, key_sets, listed, prefixes
from tests.contracts.storage import StorageContract


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class TestMemoryStore(StorageContract):
    versioned = True


@given(key_sets, prefixes, prefixes, delimiters)
@example(["0"], "0", "0", "")  # the key that is both prefix and start
def test_listings_are_those_of_a_sorted_list(keys: list[str], prefix: str, after: str, delimiter: str) -> None:
    store = MemoryStore()
    for key in keys:
        store.put_if_absent(key, b"")
    assert listed(store, prefix, after, delimiter) == expected(keys, prefix, after, delimiter)


def test_a_deleted_object_is_hidden_behind_a_marker_and_can_be_put_again(store: MemoryStore) -> None:
    first = store.put_if_absent("a", b"first")
    store.delete("a")
    assert store.head("a") is None
    assert list(store.list("")) == []
    with pytest.raises(NoSuchObject):
        store.put_if_match("a", b"x", first.etag)
    marker = next(iter(store.list_versions("a")))
    assert (marker.marker, marker.latest) == (True, True)
    assert store.head("a", version=marker.info.version) is None
    assert read(store, "a", version=first.version) == b"first"
    store.put_if_absent("a", b"second")
    assert [(v.info.version, v.marker) for v in store.list_versions("a")] == [
        ("v3", False),
        ("v2", True),
        ("v1", False),
    ]


def test_time_and_versions_are_as_told() -> None:
    store = MemoryStore(clock_ms=lambda: 7)
    info = store.put_if_absent("a", b"x")
    assert (info.version, info.modified_ms) == ("v1", 7)
