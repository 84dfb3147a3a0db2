from __future__ import annotations

import io
import time
from collections.abc import Iterator

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.decode import decode_block, decode_keys, decode_long, decode_values
from millpond.archive.encode import encode_long, encode_rows
from millpond.errors import DamagedArchive
from millpond.records import Row
from tests.unit.archive.strategies import PARSED_SCHEMA, ROWS, SMALL_ROWS, as_row
from tests.unit.archive.variants import VARIANTS, only
from tests.unit.builders import make_rows


@pytest.fixture(scope="module", autouse=True, params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    with only(request.param):
        yield request.param


def by_fastavro(data: bytes, count: int) -> list[Row]:
    stream = io.BytesIO(data)
    rows = [as_row(fastavro.schemaless_reader(stream, PARSED_SCHEMA, None)) for _ in range(count)]
    assert not stream.read()
    return rows


@given(ROWS)
def test_what_was_encoded_is_decoded(rows: list[Row]) -> None:
    assert decode_block(encode_rows(rows), len(rows)) == rows


class Loose:
    """Writes every encoding that Avro allows for a record, as `draw` decides."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def long(self, number: int) -> bytes:
        data = bytearray(encode_long(number))
        for _ in range(self.draw(st.sampled_from([0, 0, 0, 1, 3, 9]))):
            if len(data) < 10:
                data[-1] |= 0x80
                data.append(0)
        return bytes(data)

    def content(self, content: bytes) -> bytes:
        return self.long(len(content)) + content

    def some(self, content: bytes | None) -> bytes:
        return self.long(0) if content is None else self.long(1) + self.content(content)

    def headers(self, headers: list[tuple[bytes, bytes | None]]) -> bytes:
        out, rest = b"", list(headers)
        while rest:
            count = self.draw(st.integers(1, len(rest)))
            block = b"".join(self.content(name) + self.some(content) for name, content in rest[:count])
            sized = self.draw(st.booleans())
            out += (self.long(-count) + self.long(len(block)) if sized else self.long(count)) + block
            rest = rest[count:]
        return out + self.long(0)

    def row(self, row: Row) -> bytes:
        offset, stamp, key, value, headers = row
        numbers = self.long(offset) + self.long(stamp)
        return numbers + self.some(key) + self.some(value) + self.headers(list(headers))


@st.composite
def loose_blocks(draw: st.DrawFn) -> tuple[list[Row], bytes]:
    rows = draw(SMALL_ROWS)
    return rows, b"".join(map(Loose(draw).row, rows))


@given(loose_blocks())
def test_every_encoding_that_avro_allows_is_read_as_fastavro_does(block: tuple[list[Row], bytes]) -> None:
    rows, data = block
    assert decode_block(data, len(rows)) == by_fastavro(data, len(rows)) == rows


@given(loose_blocks())
def test_keys_and_values_are_those_of_the_records(block: tuple[list[Row], bytes]) -> None:
    rows, data = block
    assert decode_keys(data, len(rows)) == [row[2] for row in rows]
    assert decode_values(data, len(rows)) == [row[3] for row in rows]


@given(SMALL_ROWS.filter(bool))
def test_a_block_cut_anywhere_is_damage(rows: list[Row]) -> None:
    data = encode_rows(rows)
    for end in range(len(data)):
        with pytest.raises(DamagedArchive):
            decode_block(data[:end], len(rows))
        with pytest.raises(DamagedArchive):
            decode_keys(data[:end], len(rows))
        with pytest.raises(DamagedArchive):
            decode_values(data[:end], len(rows))


@given(SMALL_ROWS, st.binary(min_size=1, max_size=3))
def test_bytes_behind_the_last_record_are_damage(rows: list[Row], more: bytes) -> None:
    with pytest.raises(DamagedArchive):
        decode_block(encode_rows(rows) + more, len(rows))


@given(st.integers(0, 9))
def test_another_count_than_the_records_is_damage(count: int) -> None:
    rows = make_rows(0, 5)
    if count != len(rows):
        with pytest.raises(DamagedArchive):
            decode_block(encode_rows(rows), count)


@settings(max_examples=500)
@given(st.binary(max_size=60), st.integers(0, 4))
def test_arbitrary_bytes_are_records_or_damage(data: bytes, count: int) -> None:
    try:
        rows = decode_block(data, count)
    except DamagedArchive:
        return
    assert len(rows) == count
    assert by_fastavro(data, count) == rows


def test_a_flipped_bit_gives_other_records_or_damage() -> None:
    rows = make_rows(8190, 12)
    data = encode_rows(rows)
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            try:
                assert decode_block(flipped, len(rows)) != rows
            except DamagedArchive:
                continue


@pytest.mark.parametrize("field", ["key", "value"])
@pytest.mark.parametrize("size", [-1, -2, -64, -65, -8192, -(2**63)])
def test_a_negative_size_is_damage(field: str, size: int) -> None:
    """A size of -1 was once taken for 0 on the fast path."""
    some = b"\x02" + encode_long(size)
    data = b"\0\0" + (some + b"\0\0" if field == "key" else b"\0" + some + b"\0")
    with pytest.raises(DamagedArchive):
        decode_block(data, 1)


@pytest.mark.parametrize("branch", [-1, 2, 3, 1000])
def test_a_third_branch_of_a_union_is_damage(branch: int) -> None:
    with pytest.raises(DamagedArchive):
        decode_block(b"\0\0" + encode_long(branch) + b"\0\0\0", 1)


def test_a_number_of_more_than_64_bits_is_damage() -> None:
    assert decode_long(b"\xff" * 9 + b"\x01", 0) == (-(2**63), 10)
    for data in (b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x00"):
        with pytest.raises(DamagedArchive):
            decode_long(data, 0)
        with pytest.raises(DamagedArchive):
            decode_block(data + b"\0\0\0\0", 1)
        with pytest.raises(DamagedArchive):
            decode_block(b"\0" + data + b"\0\0\0", 1)


def test_a_run_of_continuation_bytes_does_not_keep_the_reader_busy() -> None:
    """Numbers of any length were once read, in time that grew with the square of it."""
    started = time.process_time()
    with pytest.raises(DamagedArchive):
        decode_block(b"\xff" * (8 << 20), 1)
    assert time.process_time() - started < 1


def test_a_claim_of_very_many_headers_is_damage() -> None:
    for count in (2**40, -(2**40), 2**63 - 1, -(2**63)):
        with pytest.raises(DamagedArchive):
            decode_block(b"\0\0\0\0" + encode_long(count) + b"\0" * 20, 1)
