"""A window becomes one object for each path, and counts only when the list of them is there."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.archive.catalog import read_partition
from millpond.archive.codecs import CODECS
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction, WindowFacts, has_redactions
from millpond.archive.keys import Layout
from millpond.archive.parts import listed_parts, part_keys, read_document
from millpond.archive.window import WindowSpool, open_window
from millpond.backup import path_groups
from millpond.backup.partitioner import Partitioner
from millpond.errors import TryAgain
from millpond.records import Row
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, read
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, ORDERS_3, a_partition, make_rows, make_window, put_window, read_window
from tests.unit.parts_builder import documents, keys_of, store_in_parts

BY_COUNTRY = Partitioner.of("key")


def rows_of(count: int, paths: int, *, first: int = 0, size: int = 20) -> list[Row]:
    """Records whose keys take turns."""
    return [
        (offset, stamp, b"k%d" % (offset % paths), value, headers)
        for offset, stamp, _, value, headers in make_rows(first, count, size=size)
    ]


ROWS = rows_of(60, 5)
FEWER = [row for row in ROWS if row[0] not in (3, 7)]
FACTS = make_window(ROWS).facts


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def parts_in(store: Any, key: str) -> list[tuple[WindowFacts, list[Row]]]:
    """Facts and records of the parts that are listed at this key, in their order."""
    listing = read_partition(store, LAYOUT, ORDERS_3)
    (window,) = [window for window in listing.windows if window.info.key == key]
    document = read_document(store, LAYOUT, ORDERS_3, window.name, window.info)
    return [read_window(read(store, part.info.key)) for part in listed_parts(LAYOUT, listing, document, key)]


def content(store: Any, key: str) -> list[Row]:
    return sorted(row for _, rows in parts_in(store, key) for row in rows)


def test_each_path_gets_an_object_with_its_records_in_order(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS)
    assert key == LAYOUT.object(ORDERS_3, replace(FACTS.name, parts=True))
    stem = FACTS.name.stem(topic="orders", partition=3)
    expected = [LAYOUT.folder(ORDERS_3) + f"parts/key=k{i}/{stem}-p{i}.avro" for i in range(5)]
    assert keys_of(store, ".avro") == expected
    for number, (facts, rows) in enumerate(parts_in(store, key)):
        assert rows == [row for row in ROWS if row[2] == b"k%d" % number]
        stamps = [row[1] for row in rows]
        assert (facts.count, facts.min_timestamp, facts.max_timestamp) == (12, min(stamps), max(stamps))
        assert facts.part is not None
        assert (facts.part.index, facts.part.parts, facts.part.window) == (number, 5, stem)
        assert (facts.first, facts.last, facts.leader_epoch) == (FACTS.first, FACTS.last, FACTS.leader_epoch)
        head = store.head(expected[number])
        assert head is not None and WindowFacts.from_object_metadata(head.metadata) == facts


def test_the_list_states_the_whole_window_and_every_part(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS)
    (document,) = documents(store)
    whole = make_window(ROWS, salt=bytes.fromhex(document.facts.salt)).facts
    assert document.facts == replace(whole, written=document.facts.written)
    assert [part.count for part in document.parts] == [12] * 5
    assert len({part.salt for part in document.parts} | {document.facts.salt}) == 6
    head = store.head(key)
    assert head is not None and WindowFacts.from_object_metadata(head.metadata) == document.facts
    assert document.partition_by == ({"source": "key", "name": "key"},)


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_parts_have_the_codec_of_the_window(store: MemoryStore, codec: str) -> None:
    store_in_parts(store, ROWS, codec=codec)
    for key in keys_of(store, ".avro"):
        with store.open(key) as stream:
            assert open_window(stream).container.codec.name == codec


def test_one_path_is_one_part(store: MemoryStore) -> None:
    key = store_in_parts(store, rows_of(20, 1))
    assert len(parts_in(store, key)) == 1


def test_the_same_records_again_are_stored_once(store: MemoryStore) -> None:
    first = store_in_parts(store, ROWS)
    before = {key: read(store, key) for key in keys_of(store)}
    assert store_in_parts(store, ROWS) == first
    assert {key: read(store, key) for key in keys_of(store)} == before


def test_other_records_of_the_same_coverage_go_beside_as_a_twin_with_the_parts_that_differ(store: MemoryStore) -> None:
    first = store_in_parts(store, ROWS, facts=FACTS)
    second = store_in_parts(store, FEWER, facts=FACTS)
    assert first != second and second.endswith(".parts")
    assert (content(store, first), content(store, second)) == (ROWS, FEWER)
    assert len(keys_of(store, ".avro")) == 7  # offsets 3 and 7 are of two paths
    assert store_in_parts(store, FEWER, facts=FACTS) == second
    assert len(keys_of(store)) == 9


def test_a_window_in_one_object_with_the_same_records_is_enough(store: MemoryStore) -> None:
    key = put_window(store, make_window(ROWS))
    assert store_in_parts(store, ROWS) == key
    assert keys_of(store) == [key]


def test_a_redacted_window_in_one_object_is_not_brought_back_in_parts(store: MemoryStore) -> None:
    redacted = make_window(FEWER, first=0, last=59, redactions=(Redaction("s", 2, 0, 0, 1),))
    key = put_window(store, redacted, key=LAYOUT.object(ORDERS_3, FACTS.name))
    assert store_in_parts(store, ROWS) == key
    assert keys_of(store) == [key]


@pytest.mark.parametrize("lost", [False, True], ids=["metadata", "metadata lost in a copy"])
def test_what_is_there_is_recognised_without_metadata_too(store: MemoryStore, lost: bool) -> None:
    first = store_in_parts(store, ROWS)
    if lost:
        info = store.head(first)
        assert info is not None
        store.put_if_match(first, read(store, first), info.etag, {})
    assert store_in_parts(store, ROWS) == first


def test_too_many_paths_make_one_object(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="millpond")
    few = replace(BY_COUNTRY, most_parts=4)
    key = store_in_parts(store, ROWS, few)
    assert keys_of(store) == [key] and key.endswith(".avro")
    assert read_window(read(store, key))[1] == ROWS
    assert "more than 4 paths" in caplog.text
    assert store_in_parts(store, rows_of(20, 4, first=60), few).endswith(".parts")


def test_a_key_too_long_for_a_path_gets_a_hash_of_it(store: MemoryStore) -> None:
    layout, place = Layout("p" * 300), a_partition("t" * 249, 2147483647)
    spec = Partitioner.of("key,header.trace,value.a,timestamp.date")
    rows = [(offset, stamp, b"x" * 58 + key, value, ()) for offset, stamp, key, value, _ in ROWS]  # type: ignore[operator]
    store_in_parts(store, rows, spec, layout=layout, partition=place)
    keys = keys_of(store, ".avro")
    assert len(keys) > 4 and all("/parts/path=" in key and len(key) <= 1024 for key in keys)
    assert len(read_partition(store, layout, place).parts) == len(keys)


def test_nothing_stays_in_the_spool_folder(store: MemoryStore, tmp_path: Path) -> None:
    store_in_parts(store, ROWS, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_holds_the_same(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    key = store_in_parts(store, ROWS)
    assert content(store, key) == ROWS
    assert store_in_parts(store, ROWS) == key


def test_a_small_buffer_changes_nothing(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_groups, "_BUFFERED_BYTES", 500)
    monkeypatch.setattr(path_groups, "_PIECE_BYTES", 100)
    rows = rows_of(400, 9, size=60)
    assert content(store, store_in_parts(store, rows)) == rows


def test_blocks_are_smaller_where_there_are_many_parts(store: MemoryStore) -> None:
    """A reader holds one of each: a thousand of 256 KiB would be too much."""
    rows = rows_of(4000, 400, size=3000)
    store_in_parts(store, rows, block_records=100)
    for key in keys_of(store, ".avro"):
        with store.open(key) as stream:
            assert max(len(block.encoded) for block in open_window(stream).blocks()) < 85_000


class Fails(MemoryStore):
    """Puts fail from the n-th on, before or after they took effect."""

    def __init__(self, fail_at: int, *, after: bool, error: type[BaseException]) -> None:
        super().__init__()
        self.fail_at, self.after, self.error, self.puts = fail_at, after, error, 0

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        self.puts += 1
        if self.puts == self.fail_at and not self.after:
            raise self.error(f"cannot put {key}")
        info = super().put_if_absent(key, body, metadata)
        if self.puts == self.fail_at:
            raise self.error(f"cannot put {key}")
        return info


class Killed(BaseException):
    """The process died."""


@pytest.mark.parametrize("fail_at", range(1, 7))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [TryAgain, Killed])
def test_after_a_crash_at_any_put_the_next_try_stores_exactly_the_window(
    fail_at: int, after: bool, error: type[BaseException], tmp_path: Path
) -> None:
    store = Fails(fail_at, after=after, error=error)
    with suppress(error):
        store_in_parts(store, ROWS, folder=tmp_path)
    before = read_partition(store, LAYOUT, ORDERS_3)
    assert len(before.windows) == (1 if fail_at == 6 and after else 0)
    assert len(before.parts) == fail_at - (not after) - (fail_at == 6 and after)
    key = store_in_parts(store, ROWS, folder=tmp_path)
    assert content(store, key) == ROWS
    assert len(keys_of(store)) == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fail_at", range(1, 7))
def test_after_a_crash_a_window_of_other_extent_leaves_orphans_that_count_for_nothing(fail_at: int) -> None:
    store = Fails(fail_at, after=False, error=Killed)
    with suppress(Killed):
        store_in_parts(store, ROWS)
    key = store_in_parts(store, [*ROWS, *rows_of(10, 5, first=60)])
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert [window.info.key for window in listing.windows] == [key]
    (document,) = documents(store)
    listed = set(part_keys(LAYOUT, ORDERS_3, document))
    assert len(listing.parts) - len(listed) == fail_at - 1
    assert [span.last for span in listing.covered()] == [69]


@pytest.mark.parametrize("fail_at", range(1, 7))
def test_orphans_of_other_content_are_left_aside(fail_at: int) -> None:
    store = Fails(fail_at, after=False, error=Killed)
    with suppress(Killed):
        store_in_parts(store, ROWS, facts=FACTS)
    key = store_in_parts(store, FEWER, facts=FACTS)
    assert key == LAYOUT.object(ORDERS_3, replace(FACTS.name, parts=True))
    assert content(store, key) == FEWER


def test_an_orphan_that_a_sweep_has_redacted_takes_the_place_of_ours(store: MemoryStore) -> None:
    """Ours may hold what was erased."""
    failing = Fails(4, after=False, error=Killed)
    with suppress(Killed):
        store_in_parts(failing, ROWS)
    orphan = keys_of(failing, "-p1.avro")[0]
    facts, rows = read_window(read(failing, orphan))
    swept = replace(facts, redactions=(Redaction("s", 1, 0, 0, 5),))
    put_redacted(failing, orphan, swept, rows[1:])
    key = store_in_parts(failing, ROWS)
    assert content(failing, key) == [row for row in ROWS if row != rows[0]]
    (document,) = documents(failing)
    assert not document.proven and document.facts.count == 59
    assert [entry.dropped for entry in document.facts.redactions] == [1]
    head = failing.head(key)
    assert head is not None and has_redactions(head.metadata)


def put_redacted(store: MemoryStore, key: str, facts: WindowFacts, rows: Sequence[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = WindowSpool(
            Path(folder) / "w", codec=CODECS["zstandard"], salt=new_salt(), timestamp_type=facts.timestamp_type
        )
        spool.add(len(rows), encode_rows(rows))
        done, body = spool.finish(facts)
        head = store.head(key)
        assert head is not None
        store.put_if_match(key, body, head.etag, done.to_object_metadata())
        spool.discard()


RECORDS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(-1, 10),
        st.none() | st.sampled_from([b"", b"a", b"b", b"\xff", b"de/fr", b"x" * 300]),
        st.none() | st.binary(max_size=5),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(RECORDS, st.sampled_from(["key", "timestamp.date,key", "partition", "value.a,key"]))
def test_any_records_come_back_out_of_any_parts(found: list[Any], spec: str) -> None:
    offset, rows = 0, []
    for step, stamp, key, value in found:
        offset += step + 1
        rows.append((offset, stamp, key, value, ()))
    store = MemoryStore()
    assert content(store, store_in_parts(store, rows, Partitioner.of(spec))) == sorted(rows)
