"""A window is stored once, whatever is there already (format, 10.1, 'If the name is taken')."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from millpond.archive.codecs import CODECS
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool
from millpond.backup.store_window import store_window
from millpond.errors import TryAgain
from millpond.records import Row
from millpond.storage.contract import Body, ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, make_rows, make_window, offsets, put_window, read_window

ROWS = make_rows(0, 30)
FEWER = [row for row in ROWS if row[0] not in (3, 7)]
CHANGED = [(o, at, key, b"other" if o == 3 else value, headers) for o, at, key, value, headers in ROWS]
Store = Callable[[Sequence[Row]], str]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def put(store: MemoryStore, tmp_path: Path) -> Store:
    """Stores these rows as the backup does, all with the coverage and the bounds of `ROWS`."""

    def put(rows: Sequence[Row], into: Any = store) -> str:
        spool = WindowSpool(
            tmp_path / "spool", codec=CODECS["deflate"], salt=new_salt(), timestamp_type=TimestampType.CREATE_TIME
        )
        for start in range(0, len(rows), 7):
            block = rows[start : start + 7]
            spool.add(len(block), encode_rows(block))
        facts = replace(make_window(ROWS).facts, count=0, size_bytes=0, salt="", digest="")
        try:
            return store_window(into, LAYOUT, spool, facts)
        finally:
            spool.discard()

    return put


def keys(store: MemoryStore) -> list[str]:
    return [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]


def test_a_window_is_stored_under_its_plain_name_with_its_facts(store: MemoryStore, put: Store) -> None:
    key = put(ROWS)
    facts, rows = read_window(read(store, key))
    assert key == LAYOUT.object(facts.partition, facts.name)
    assert rows == ROWS
    head = store.head(key)
    assert head and head.metadata == facts.to_object_metadata()


def test_the_same_records_under_another_salt_are_stored_once(store: MemoryStore, put: Store) -> None:
    first = put(ROWS)
    before = read(store, first)
    assert put(ROWS) == first
    assert (keys(store), read(store, first)) == ([first], before)


@pytest.mark.parametrize("others", [FEWER, CHANGED], ids=["compacted", "changed"])
def test_other_records_are_kept_beside_as_a_twin(store: MemoryStore, put: Store, others: list[Row]) -> None:
    first, second = put(ROWS), put(others)
    facts, rows = read_window(read(store, second))
    assert rows == others
    assert second == first.replace(".avro", f"-d{facts.digest[:8]}.avro")
    assert read_window(read(store, first))[1] == ROWS


def test_a_twin_is_stored_once_although_its_name_would_differ(store: MemoryStore, put: Store) -> None:
    put(ROWS)
    twin = put(FEWER)
    assert put(FEWER) == twin
    third = put(CHANGED)
    assert put(CHANGED) == third
    assert len(keys(store)) == 3


def test_a_redacted_window_is_not_joined_by_what_was_erased(store: MemoryStore, put: Store) -> None:
    redaction = Redaction("sweep-1", dropped=2, tombstoned=0, masked=0, at=1)
    window = make_window(FEWER, first=0, last=29, redactions=(redaction,))
    bounds = make_window(ROWS).facts
    facts = replace(window.facts, min_timestamp=bounds.min_timestamp, max_timestamp=bounds.max_timestamp)
    key = LAYOUT.object(facts.partition, facts.name)
    store.put_if_absent(key, window.data, facts.to_object_metadata())
    assert put(ROWS) == key
    assert keys(store) == [key]


def test_a_redacted_twin_is_not_joined_by_what_was_erased(store: MemoryStore, put: Store) -> None:
    put(ROWS)
    twin = put(CHANGED)
    found = read_window(read(store, twin))[0]
    redacted = replace(found, redactions=(Redaction("s", 1, 0, 0, 1),), count=found.count - 1)
    head = store.head(twin)
    assert head
    store.put_if_match(twin, b"rewritten", head.etag, redacted.to_object_metadata())
    assert put(CHANGED) == twin
    assert len(keys(store)) == 2


def test_object_metadata_that_a_copy_lost_is_read_from_the_object(store: MemoryStore, put: Store) -> None:
    """Format, 6.3: missing metadata is no damage. A worker that met such a copy used to end."""
    window = make_window(ROWS)
    key = put_window(store, window, key=LAYOUT.object(window.facts.partition, window.name))
    head = store.head(key)
    assert head
    store.put_if_match(key, window.data, head.etag, {})
    assert put(ROWS) == key
    assert offsets(read_window(read(store, put(FEWER)))[1]) == offsets(FEWER)


class LostAnswer(MemoryStore):
    """The first put is stored, and its answer lost."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = False

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        info = super().put_if_absent(key, body, metadata or {})
        if not self.lost:
            self.lost = True
            raise TryAgain("no answer")
        return info


def test_a_put_whose_answer_was_lost_meets_its_own_work(put: Any) -> None:
    store = LostAnswer()
    with pytest.raises(TryAgain):
        put(ROWS, store)
    put(ROWS, store)
    assert len(keys(store)) == 1
