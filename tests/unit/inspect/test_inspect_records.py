"""Records out of objects and ranges, as JSON lines, Avro and values."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.coverage import Span
from millpond.archive.schema import TimestampType
from millpond.errors import DamagedArchive, TryAgain, WrongUsage
from millpond.inspect.choice import LAST_OFFSET
from millpond.inspect.formats import as_avro, as_json_lines, as_values, limited
from millpond.inspect.records import Batch, range_of, read_object, read_range
from millpond.records import Row
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, ORDERS_3, make_rows, make_window, offsets, put_gap, put_rows
from tests.unit.inspect.archives import an_archive
from tests.unit.parts_builder import store_in_parts

ALL = Span(0, LAST_OFFSET)


def rows_of(batches: Iterable[Batch]) -> list[Row]:
    return [row for batch in batches for row in batch.rows]


def read(store: MemoryStore, first: int = 0, last: int = LAST_OFFSET) -> list[Row]:
    return rows_of(read_range(store, LAYOUT, range_of(store, LAYOUT, ORDERS_3, Span(first, last))))


def test_a_range_is_read_through_all_windows_that_hold_it() -> None:
    store, rows = an_archive(), make_rows(0, 40)
    for first in range(0, 40, 10):
        put_rows(store, rows[first : first + 10])
    assert read(store) == rows
    assert read(store, 8, 21) == rows[8:22]
    assert read(store, 39) == rows[39:]
    assert read(store, 40) == []


def test_windows_that_overlap_give_each_record_once() -> None:
    store, rows = an_archive(), make_rows(0, 20)
    put_rows(store, rows[:12])
    put_rows(store, rows[5:])
    assert read(store) == rows
    assert read(store, 6, 11) == rows[6:12]


def test_what_a_truncation_cut_off_is_not_in_a_range_but_in_its_object() -> None:
    store, old, new = an_archive(), make_rows(0, 10), make_rows(5, 10, stamp=5)
    key = put_rows(store, old, epoch=1)
    put_rows(store, new, epoch=2)
    assert read(store) == old[:5] + new
    assert rows_of(read_object(store, LAYOUT, key)) == old


def test_a_window_in_several_objects_is_read_as_one() -> None:
    store, rows = an_archive(), make_rows(0, 30)
    key = store_in_parts(store, rows)
    assert read(store) == rows
    assert read(store, 3, 7) == rows[3:8]
    assert rows_of(read_object(store, LAYOUT, key)) == rows


def test_a_part_alone_is_no_window() -> None:
    store = an_archive()
    store_in_parts(store, make_rows(0, 30))
    part = next(e.key for e in store.list(LAYOUT.topics) if isinstance(e, ObjectInfo) and "/parts/" in e.key)
    with pytest.raises(WrongUsage, match="is a part of a window"):
        list(read_object(store, LAYOUT, part))


def test_offsets_that_are_missing_without_a_reason_are_told() -> None:
    store = an_archive()
    put_gap(store, 0, 9)
    put_rows(store, make_rows(10, 10))
    put_rows(store, make_rows(30, 10))
    assert range_of(store, LAYOUT, ORDERS_3, ALL).unexplained == [Span(20, 29)]
    assert range_of(store, LAYOUT, ORDERS_3, Span(0, 25)).unexplained == [Span(20, 25)]
    assert range_of(store, LAYOUT, ORDERS_3, Span(35, 99)).unexplained == []
    assert range_of(store, LAYOUT, ORDERS_3, Span(50, 99)).unexplained == []


def test_a_partition_that_the_archive_does_not_have_is_named() -> None:
    with pytest.raises(WrongUsage, match="the archive has nothing of orders-3"):
        range_of(an_archive(), LAYOUT, ORDERS_3, ALL)


@pytest.mark.parametrize("key", ["nope", LAYOUT.identity, f"{LAYOUT.folder(ORDERS_3)}_SUCCESS"])
def test_a_key_of_no_window_is_named(key: str) -> None:
    with pytest.raises(WrongUsage, match="is no window of this archive"):
        list(read_object(an_archive(), LAYOUT, key))


def test_a_window_that_is_not_there_is_named() -> None:
    key = LAYOUT.object(ORDERS_3, make_window(make_rows(0, 5)).name)
    with pytest.raises(WrongUsage, match="there is no object"):
        list(read_object(an_archive(), LAYOUT, key))


def test_a_window_that_is_replaced_while_it_is_read_is_a_reason_to_try_again() -> None:
    store = an_archive()
    key = put_rows(store, make_rows(0, 5))
    found = range_of(store, LAYOUT, ORDERS_3, ALL)
    head = store.head(key)
    assert head is not None
    store.put_if_match(key, make_window(make_rows(0, 5)).data, head.etag)
    with pytest.raises(TryAgain, match="removed or replaced"):
        list(read_range(store, LAYOUT, found))


def test_a_damaged_window_is_an_error_that_shows_no_record() -> None:
    store = an_archive()
    window = make_window([(0, 1, b"secret-key", b"secret-value" * 50, ())], codec="null")
    store.put_if_absent(LAYOUT.object(ORDERS_3, window.name), window.data.replace(b"secret-key", b"secret-kez"))
    with pytest.raises(DamagedArchive) as caught:
        read(store)
    assert "secret" not in str(caught.value)


def test_a_limit_ends_the_reading() -> None:
    store, rows = an_archive(), make_rows(0, 30)
    put_rows(store, rows)
    found = range_of(store, LAYOUT, ORDERS_3, ALL)
    for limit in (0, 1, 10, 15, 30, 99):
        assert rows_of(limited(read_range(store, LAYOUT, found), limit)) == rows[:limit]
    assert rows_of(limited(read_range(store, LAYOUT, found), None)) == rows


def a_batch(*rows: Row) -> Batch:
    return Batch(ORDERS_3, TimestampType.LOG_APPEND_TIME, list(rows))


def test_a_line_of_json_names_every_field() -> None:
    (line,) = b"".join(
        as_json_lines([a_batch((7, 5, b"k", b"gr\xc3\xb6\xc3\x9fe", ((b"a", b"\xff"), (b"a", None), (b"\xfe", b""))))])
    ).splitlines()
    assert json.loads(line) == {
        "topic": "orders",
        "partition": 3,
        "offset": 7,
        "timestamp": 5,
        "timestamp_type": "log_append_time",
        "key": "k",
        "value": "größe",
        "headers": [{"key": "a", "value_b64": "/w=="}, {"key": "a", "value": None}, {"key_b64": "/g==", "value": ""}],
    }


def test_null_and_empty_stay_apart_in_json() -> None:
    lines = b"".join(as_json_lines([a_batch((0, 5, None, b"", ()), (1, 5, b"", None, ()))])).splitlines()
    assert [(json.loads(line)["key"], json.loads(line)["value"]) for line in lines] == [(None, ""), ("", None)]


BYTES = st.none() | st.binary(max_size=12) | st.text(max_size=8).map(str.encode)


@given(BYTES, BYTES, st.lists(st.tuples(st.binary(max_size=5), BYTES), max_size=3))
def test_every_record_comes_back_from_its_line(key: bytes | None, value: bytes | None, headers: Any) -> None:
    (line,) = b"".join(as_json_lines([a_batch((1, 2, key, value, tuple(headers)))])).split(b"\n")[:-1]
    found = json.loads(line)

    def bytes_of(place: dict[str, Any], name: str) -> bytes | None:
        if f"{name}_b64" in place:
            return base64.b64decode(place[f"{name}_b64"])
        text: str | None = place[name]
        return None if text is None else text.encode()

    assert (bytes_of(found, "key"), bytes_of(found, "value")) == (key, value)
    assert [(bytes_of(header, "key"), bytes_of(header, "value")) for header in found["headers"]] == headers


def test_a_value_cannot_steer_a_terminal() -> None:
    (line,) = as_json_lines([a_batch((0, 5, b"\x1b[2J", "\x9b2J".encode(), ()))])
    assert line.isascii() and line.decode().strip().isprintable()


def test_an_avro_file_holds_the_records_for_any_reader() -> None:
    rows = make_rows(0, 25)
    content = b"".join(as_avro([a_batch(*rows[:10]), a_batch(), a_batch(*rows[10:])]))
    found: list[Any] = list(fastavro.reader(io.BytesIO(content)))
    assert [(r["offset"], r["timestamp"], r["key"], r["value"]) for r in found] == [row[:4] for row in rows]
    assert [tuple((h["key"], h["value"]) for h in r["headers"]) for r in found] == [row[4] for row in rows]


def test_an_avro_file_without_records_is_one_too() -> None:
    assert list(fastavro.reader(io.BytesIO(b"".join(as_avro([]))))) == []


@pytest.mark.parametrize("delimiter", [b"\n", b"\0", b"--"])
def test_values_alone_have_a_delimiter_behind_each(delimiter: bytes) -> None:
    batch = a_batch((0, 5, b"k", b"one", ()), (1, 5, b"k", None, ()), (2, 5, b"k", b"\xff", ()))
    assert b"".join(as_values([batch], delimiter)) == b"one" + delimiter + delimiter + b"\xff" + delimiter


def test_records_come_out_as_they_are_read() -> None:
    store = an_archive()
    for first in (0, 10):
        put_rows(store, make_rows(first, 10))
    opened: list[str] = []
    watched = Watched(store, opened.append)
    batches = read_range(watched, LAYOUT, range_of(watched, LAYOUT, ORDERS_3, ALL))
    assert offsets(next(batches).rows)[0] == 0
    assert len(opened) == 1
    assert offsets(chain.from_iterable(batch.rows for batch in batches))[-1] == 19
    assert len(opened) == 2


class Watched(MemoryStore):
    """Tells which windows are opened."""

    def __init__(self, inner: MemoryStore, told: Callable[[str], None]) -> None:
        super().__init__()
        self._history, self._keys, self._told = inner._history, inner._keys, told

    def open(self, key: str, **more: Any) -> Any:
        if key.endswith(".avro"):
            self._told(key)
        return super().open(key, **more)
