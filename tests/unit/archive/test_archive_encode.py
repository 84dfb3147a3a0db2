from __future__ import annotations

import io

import fastavro
import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive import encode
from millpond.archive.decode import decode_block
from millpond.archive.encode import encode_bytes, encode_long, encode_messages, encode_rows
from millpond.records import Record, Row
from tests.unit.archive.strategies import BORDERS, HEADER_TEXT, PARSED_SCHEMA, ROWS, STAMPS, as_avro


def by_fastavro(rows: list[Row]) -> bytes:
    out = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(out, PARSED_SCHEMA, as_avro(row))
    return out.getvalue()


@given(ROWS)
def test_records_are_encoded_as_fastavro_does(rows: list[Row]) -> None:
    assert encode_rows(rows) == by_fastavro(rows)


@pytest.mark.parametrize("number", sorted({*BORDERS, *(-b for b in BORDERS), -(2**63), 2**63 - 1}))
def test_a_long_is_encoded_as_fastavro_does(number: int) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "long"}, number)
    assert encode_long(number) == out.getvalue()


@given(st.binary(max_size=200))
def test_bytes_are_encoded_as_fastavro_does(content: bytes) -> None:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, {"type": "bytes"}, content)
    assert encode_bytes(content) == out.getvalue()


def test_the_plain_tuple_and_the_record_are_encoded_alike() -> None:
    record = Record(5, -1, b"k", None, ((b"a", None),))
    assert encode_rows([record]) == encode_rows([(5, -1, b"k", None, ((b"a", None),))])


@pytest.mark.parametrize("count", [63, 64, 1023, 1024, 1025, 8192])
def test_many_headers_are_one_block_of_an_array(count: int) -> None:
    rows: list[Row] = [(1, 2, None, b"v", tuple((b"h%d" % i, b"%d" % i) for i in range(count)))]
    assert encode_rows(rows) == by_fastavro(rows)


def test_more_header_keys_than_the_cache_holds_stay_right() -> None:
    rows: list[Row] = [
        (i, 0, None, None, ((b"key-%d" % i, b"x"), (b"fixed", None), (b"key-%d" % (i - 4096), b"y")))
        for i in range(3 * encode._CACHED)
    ]
    assert encode_rows(rows) == by_fastavro(rows)
    assert len(encode._key_cache) <= encode._CACHED


def test_long_header_keys_are_not_kept() -> None:
    """A cache of 4,096 keys of a megabyte would be the end of a small machine."""
    encode._key_cache.clear()
    rows: list[Row] = [(i, 0, None, None, ((b"%d" % i * 1000, b""), (b"short", b""))) for i in range(5)]
    assert encode_rows(rows) == by_fastavro(rows)
    assert set(encode._key_cache) == {b"short"}


def test_more_distant_offsets_and_timestamps_than_the_cache_holds_stay_right() -> None:
    rows: list[Row] = [(i << 13, (i << 20) + 8192, None, None, ()) for i in range(3 * encode._CACHED)]
    assert encode_rows(rows) == by_fastavro(rows)
    assert len(encode._high_cache) <= encode._CACHED


@settings(max_examples=200)
@given(st.integers(0, 2**50), st.integers(-5, 2**50))
def test_neighbours_share_the_cache_and_nothing_else(offset: int, stamp: int) -> None:
    rows: list[Row] = [(offset + i * 5000, stamp + i * 3000, None, None, ()) for i in range(4)]
    assert encode_rows(rows) == by_fastavro(rows)


MESSAGE_HEADERS = st.none() | st.lists(st.tuples(HEADER_TEXT, st.none() | st.binary(max_size=70)), max_size=4)
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1), STAMPS, st.none() | st.binary(max_size=70), st.none() | st.binary(), MESSAGE_HEADERS
    ),
    max_size=5,
)


@given(MESSAGES, st.sampled_from([0, 1, 2]))
def test_messages_of_a_consumer_are_encoded_like_their_rows(found: list[tuple], timestamp_type: int) -> None:  # type: ignore[type-arg]
    messages = [
        Message(
            topic="orders", partition=3, offset=o, key=k, value=v, headers=h, timestamp=(timestamp_type, t), error=None
        )
        for o, t, k, v, h in found
    ]
    rows = [(o, t, k, v, tuple((name.encode(), content) for name, content in h or ())) for o, t, k, v, h in found]
    assert encode_messages(messages) == encode_rows(rows) == by_fastavro(rows)
    assert decode_block(encode_messages(messages), len(messages)) == rows
