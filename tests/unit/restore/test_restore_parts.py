"""A window in parts is restored as if it were one object; whatever is wrong with a part stops it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.codecs import CODECS
from millpond.archive.container import SYNC_BYTES, Block, write_block, write_header
from millpond.archive.digest import digest_of
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.keys import Layout
from millpond.archive.parts import part_keys
from millpond.archive.runs import Run
from millpond.backup.partitioner import Partitioner
from millpond.errors import DamagedArchive, MillpondError
from millpond.records import Row
from millpond.restore.planning.plan import KIND, plan_restore
from millpond.restore.request import parse_request
from millpond.restore.writing.source import PartReader, Source, parts_of
from millpond.storage.contract import Changed, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import (
    ARCHIVE_ID,
    LAYOUT,
    ORDERS_3,
    make_rows,
    make_window,
    offsets,
    put_rows,
    put_window,
    read_window,
)
from tests.unit.parts_builder import documents, keys_of, store_in_parts


def rows_of(count: int, paths: int, first: int = 0) -> list[Row]:
    return [(o, at, b"k%02d" % (o % paths), value, headers) for o, at, _, value, headers in make_rows(first, count)]


ROWS = rows_of(60, 5)


class Archive(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1, "continues": ""}
        self.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())

    def plan(self, run_id: str = "r") -> list[dict[str, Any]]:
        plan_restore(self, LAYOUT, parse_request({"all": True}), run_id=run_id, now_ms=1)
        return [line for _, line in Run(self, LAYOUT, KIND, run_id).lines()]

    def overwrite(self, key: str, content: bytes) -> None:
        head = self.head(key)
        assert head is not None
        self.put_if_match(key, content, head.etag, head.metadata)


@pytest.fixture
def archive() -> Archive:
    return Archive()


def restored(
    archive: Archive, line: dict[str, Any] | None = None, layout: Layout = LAYOUT
) -> list[tuple[PartReader, list[Row]]]:
    (planned,) = [line] if line else archive.plan()
    found = []
    for part in parts_of(planned):
        with ExitStack() as stack:
            reader = Source(archive, layout, ARCHIVE_ID).open(part, stack)
            found.append((reader, [row for rows in reader.batches() for row in rows]))
    return found


def rows_in(archive: Archive, line: dict[str, Any] | None = None) -> list[Row]:
    return [row for _, rows in restored(archive, line) for row in rows]


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "null"])
def test_fifty_parts_give_what_one_object_gives(archive: Archive, codec: str) -> None:
    rows, plain = rows_of(2000, 50), Archive()
    store_in_parts(archive, rows, codec=codec, block_records=100)
    put_rows(plain, rows, codec=codec, block_records=100)
    assert len(keys_of(archive, ".avro")) == 50
    ((reader, found),), ((one, expected),) = restored(archive), restored(plain)
    assert found == expected == rows
    assert (reader.timestamp_type, reader.digest != "") == (one.timestamp_type, True)
    stamps = reader.timestamp_type
    assert reader.digest == digest_of([encode_rows(rows)], salt=reader.salt, timestamp_type=stamps)
    assert one.digest == digest_of([encode_rows(found)], salt=one.salt, timestamp_type=stamps)
    facts, other = reader.windows[0][0].facts, one.windows[0][0].facts
    assert replace(facts, salt="", digest="") == replace(other, salt="", digest="")


def test_a_plan_pins_the_list_and_every_part(archive: Archive) -> None:
    key = store_in_parts(archive, ROWS)
    (line,) = archive.plan()
    (item,) = line["objects"]
    assert (item["key"], item["first"], item["last"]) == (key, 0, 59)
    assert [part["key"] for part in item["parts"]] == keys_of(archive, ".avro")
    heads = [archive.head(part["key"]) for part in item["parts"]]
    assert [part["etag"] for part in item["parts"]] == [head.etag for head in heads if head]
    assert item["size"] == sum(head.size_bytes for head in heads if head)


def test_windows_in_one_object_and_in_parts_follow_one_another(archive: Archive) -> None:
    put_rows(archive, ROWS[:20])
    store_in_parts(archive, ROWS[20:40])
    put_rows(archive, ROWS[40:])
    assert rows_in(archive) == ROWS


def test_parts_are_cut_where_a_higher_epoch_took_over(archive: Archive) -> None:
    store_in_parts(archive, ROWS, epoch=1)
    put_rows(archive, rows_of(10, 5, first=30), epoch=2)
    ((cut, rows), _) = restored(archive)
    assert offsets(rows) == list(range(30)) and cut.digest == ""


def test_parts_and_a_window_that_share_offsets_are_united(archive: Archive) -> None:
    store_in_parts(archive, [row for row in ROWS if row[0] != 7])
    put_rows(archive, ROWS[5:15])
    assert rows_in(archive) == ROWS


def test_a_twin_in_parts_adds_what_the_other_lacks(archive: Archive) -> None:
    facts = make_window(ROWS).facts
    store_in_parts(archive, ROWS[:30] + ROWS[31:], facts=facts)
    store_in_parts(archive, ROWS[:10] + ROWS[11:], facts=facts)
    assert rows_in(archive) == ROWS


def test_orphans_are_never_planned_nor_damage(archive: Archive) -> None:
    key = store_in_parts(archive, ROWS)
    orphan = make_window([ROWS[0]], first=0, last=59)
    path = keys_of(archive, "-p0.avro")[0].replace("k00", "zz")
    archive.put_if_absent(path, orphan.data)
    other = store_in_parts(archive, rows_of(10, 2, first=60))
    head = archive.head(other)
    assert head is not None
    archive.delete_version(other, head.version)
    (line,) = archive.plan()
    (item,) = line["objects"]
    assert item["key"] == key and path not in [part["key"] for part in item["parts"]]
    assert rows_in(archive, line) == ROWS


def test_a_missing_part_stops_the_plan_and_is_named(archive: Archive) -> None:
    key = store_in_parts(archive, ROWS)
    gone = keys_of(archive, "-p2.avro")[0]
    archive.delete(gone)
    with pytest.raises(DamagedArchive) as caught:
        archive.plan()
    assert (key in str(caught.value), gone.rsplit("/", 1)[1] in str(caught.value), caught.value.exit_code) == (
        True,
        True,
        3,
    )
    assert caught.value.hint


def test_a_missing_part_of_a_dead_window_does_not_stop_the_plan(archive: Archive) -> None:
    store_in_parts(archive, rows_of(10, 2, first=5), epoch=1)
    put_rows(archive, ROWS, epoch=2)
    archive.delete(keys_of(archive, "-p1.avro")[0])
    assert rows_in(archive) == ROWS


def test_a_list_that_was_deleted_leaves_a_hole(archive: Archive) -> None:
    key = store_in_parts(archive, rows_of(10, 2))
    put_rows(archive, rows_of(10, 2, first=10))
    archive.delete(key)
    with pytest.raises(DamagedArchive, match="0 to 9"):
        archive.plan()


@pytest.mark.parametrize("ending", [".parts", "-p3.avro"])
def test_what_was_replaced_since_the_plan_is_not_read(archive: Archive, ending: str) -> None:
    store_in_parts(archive, ROWS)
    (line,) = archive.plan()
    key = keys_of(archive, ending)[0]
    archive.overwrite(key, read(archive, key) + b" ")
    with pytest.raises(Changed, match="since the restore was planned"):
        rows_in(archive, line)


def damaged(archive: Archive, what: str) -> None:
    first, second = keys_of(archive, "-p0.avro")[0], keys_of(archive, "-p1.avro")[0]
    one, other = read(archive, first), read(archive, second)
    (document,) = documents(archive)
    listed = keys_of(archive, ".parts")[0]
    parts = list(document.parts)
    match what:
        case "flipped":
            archive.overwrite(first, one[:-40] + bytes([one[-40] ^ 1]) + one[-39:])
        case "cut":
            archive.overwrite(first, one[: len(one) // 2])
        case "swapped":
            archive.overwrite(first, other)
            archive.overwrite(second, one)
        case "another window's":
            archive.overwrite(first, make_window(ROWS).data)
        case "same facts, other records":
            facts, rows = read_window(one)
            other_rows = [(row[0], row[1], row[2], b"other", row[4]) for row in rows]
            archive.overwrite(first, _part(facts, other_rows))
        case "list: other digest":
            whole = replace(document.facts, digest="1" * 64)
            archive.overwrite(listed, replace(document, facts=whole).body())
        case "list: other count":
            archive.overwrite(listed, replace(document, parts=(replace(parts[0], count=1), *parts[1:])).body())
        case "list: part twice":
            archive.overwrite(listed, replace(document, parts=(*parts, parts[0])).body())
        case "list: of another archive":
            whole = replace(document.facts, archive_id="other")
            archive.overwrite(listed, replace(document, facts=whole).body())
        case "list: of another window":
            whole = replace(document.facts, last=1000)
            archive.overwrite(listed, replace(document, facts=whole).body())
        case "list: cut":
            archive.overwrite(listed, read(archive, listed)[:100])
        case "list: key leads elsewhere":
            lead = replace(parts[0], key="../4/" + parts[0].key)
            archive.overwrite(listed, replace(document, parts=(lead, *parts[1:])).body())


def _part(facts: WindowFacts, rows: Sequence[Row]) -> bytes:
    encoded = encode_rows(rows)
    digest = digest_of([encoded], salt=bytes.fromhex(facts.salt), timestamp_type=facts.timestamp_type)
    done = replace(facts, count=len(rows), size_bytes=len(encoded), digest=digest)
    codec, sync, out = CODECS["zstandard"], bytes(SYNC_BYTES), io.BytesIO()
    out.write(write_header(codec, done.to_file_metadata(), sync))
    out.write(write_block(Block(len(rows), codec.compress(encoded)), sync))
    return out.getvalue()


@pytest.mark.parametrize(
    "what",
    [
        "flipped",
        "cut",
        "swapped",
        "another window's",
        "same facts, other records",
        "list: other digest",
        "list: other count",
        "list: part twice",
        "list: of another archive",
        "list: of another window",
        "list: cut",
        "list: key leads elsewhere",
    ],
)
def test_damage_is_found(archive: Archive, what: str) -> None:
    store_in_parts(archive, ROWS)
    assert rows_in(archive) == ROWS
    damaged(archive, what)
    with pytest.raises(MillpondError) as caught:
        restored(archive, archive.plan("second")[0])
    assert caught.value.exit_code == 3
    assert "orders-3" in str(caught.value)


def test_between_a_redacted_part_and_its_list_the_rest_is_read(archive: Archive) -> None:
    """A sweep that died there: the list still states the part as it was."""
    store_in_parts(archive, ROWS)
    key = keys_of(archive, "-p0.avro")[0]
    facts, rows = read_window(read(archive, key))
    archive.overwrite(key, _part(replace(facts, salt="ab" * 16, redactions=(Redaction("s", 1, 0, 0, 9),)), rows[1:]))
    ((reader, found),) = restored(archive)
    assert found == [row for row in ROWS if row != rows[0]]
    assert (reader.digest, [e.dropped for e in reader.windows[0][0].facts.redactions]) == ("", [1])


def test_a_plan_and_a_read_of_an_archive_by_several_sources(archive: Archive) -> None:
    spec = Partitioner.of("key,timestamp.date,partition")
    key = store_in_parts(archive, ROWS, spec)
    (document,) = documents(archive)
    assert all("/date=2026-01-01/partition=3/" in part for part in part_keys(LAYOUT, ORDERS_3, document))
    assert rows_in(archive) == ROWS and key in keys_of(archive)
    put_window(archive, make_window(rows_of(5, 2, first=60)))
    assert len(restored(archive, archive.plan("second")[0])) == 2
