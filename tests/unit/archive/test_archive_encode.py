from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive import encode
from millpond.archive.decode import decode_block
from millpond.archive.encode import MessageRun, encode_bytes, encode_long, encode_messages, encode_rows, encode_run
from millpond.records import Record, Row
from tests.unit.archive.strategies import BORDERS, HEADER_TEXT, PARSED_SCHEMA, ROWS, STAMPS, as_avro
from tests.unit.archive.variants import VARIANTS, only


@pytest.fixture(scope="module", autouse=True, params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    with only(request.param):
        yield request.param


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


def test_long_header_keys_are_not_kept(variant: str) -> None:
    """A cache of 4,096 keys of a megabyte would be the end of a small machine."""
    encode._key_cache.clear()
    rows: list[Row] = [(i, 0, None, None, ((b"%d" % i * 1000, b""), (b"short", b""))) for i in range(5)]
    assert encode_rows(rows) == by_fastavro(rows)
    assert set(encode._key_cache) == ({b"short"} if variant == "python" else set())


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


def message(offset: int, stamp: int, *rest: Any, kind: int = 1, epoch: int = -1) -> Message:
    key, value, headers = rest or (b"k", b"v", None)
    return Message(
        topic="orders", partition=3, offset=offset, key=key, value=value, headers=headers, timestamp=(kind, stamp),
        error=None, leader_epoch=epoch,
    )  # fmt: skip


@given(MESSAGES, st.sampled_from([0, 1, 2]))
def test_messages_of_a_consumer_are_encoded_like_their_rows(found: list[tuple], timestamp_type: int) -> None:  # type: ignore[type-arg]
    messages = [message(*fields, kind=timestamp_type) for fields in found]
    rows = [(o, t, k, v, tuple((name.encode(), content) for name, content in h or ())) for o, t, k, v, h in found]
    assert encode_messages(messages) == encode_rows(rows) == by_fastavro(rows)
    assert decode_block(encode_messages(messages), len(messages)) == rows


def test_messages_are_encoded_under_other_offsets_and_stamps_where_these_are_given() -> None:
    messages = [message(5 + i, 1000 + i) for i in range(3)]
    rows: list[Row] = [(o, t, b"k", b"v", ()) for o, t in ((70, 7), (80, 8), (90, 9))]
    assert encode_messages(messages, iter([70, 80, 90]), (7, 8, 9)) == encode_rows(rows)


@pytest.mark.parametrize("numbers", [[], [1], [1, 2, 3]])
def test_another_number_of_offsets_or_stamps_than_messages_is_an_error(numbers: list[int]) -> None:
    messages = [message(5, 6), message(6, 7)]
    with pytest.raises(ValueError, match=r"argument|messages"):
        encode_messages(messages, iter(numbers))
    with pytest.raises(ValueError, match=r"argument|messages"):
        encode_messages(messages, stamps=numbers)


@given(st.lists(STAMPS, min_size=1, max_size=5), st.integers(-1, 9), st.sampled_from([0, 1, 2]))
def test_a_run_tells_what_its_messages_say(stamps: list[int], epoch: int, kind: int) -> None:
    messages = [message(40 + 2 * i, stamp, kind=kind, epoch=epoch) for i, stamp in enumerate(stamps)]
    encoded = by_fastavro([(40 + 2 * i, stamp, b"k", b"v", ()) for i, stamp in enumerate(stamps)])
    last = 38 + 2 * len(stamps)
    assert encode_run(messages) == MessageRun(
        len(stamps), 40, last, epoch, kind, stamps[0], min(stamps), max(stamps), encoded
    )


@pytest.mark.parametrize("other", [{"epoch": 8}, {"epoch": -1}, {"epoch": 7, "kind": 2}])
def test_messages_of_two_epochs_or_timestamp_types_are_no_run(other: dict[str, int]) -> None:
    assert encode_run([message(1, 1, epoch=7), message(2, 2, epoch=7), message(3, 3, **other)]) is None


def test_no_message_is_no_run() -> None:
    with pytest.raises(ValueError, match=r"unpack|one message"):
        encode_run([])


@pytest.mark.parametrize(
    "row",
    [
        ("1", 1, None, None, ()), (None, 1, None, None, ()), (1, 1.5, None, None, ()), (1, 1, "text", None, ()),
        (1, 1, None, 5, ()), (1, 1, None, None, 5), (1, 1, None, None, (b"name",)), (1, 1, None, None, ((None, b""),)),
        (1, 1, None, None, ((b"name", "text"),)), 5, None,
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(row: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        encode_rows([(0, 0, b"before", None, ()), row])


def test_what_comes_wrong_out_of_an_iterator_goes_on() -> None:
    def rows() -> Iterator[Row]:
        yield 1, 2, None, b"v", ()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        encode_rows(rows())
    with pytest.raises(ZeroDivisionError):
        encode_messages([message(5, 6), message(6, 7)], (1 // offset for offset in (1, 0)))


def test_rows_may_come_from_somebody_who_encodes_too() -> None:
    inner: list[Row] = [(9, 9, b"inner", bytes(100_000), ())]
    outer: list[Row] = [(i, i, b"outer", bytes(50_000), ()) for i in range(5)]

    def rows() -> Iterator[Row]:
        for row in outer:
            assert encode_rows(inner) == by_fastavro(inner)
            yield row

    assert encode_rows(rows()) == by_fastavro(outer)


def test_a_header_name_that_is_no_utf8_text_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_messages([message(1, 1, None, None, [("\ud800", b"")])])
