"""Records for property tests: everything Kafka allows, with the borders of varints and of the encoder's tables."""

from __future__ import annotations

from typing import Any

import fastavro
from hypothesis import strategies as st

from millpond.archive.schema import SCHEMA
from millpond.records import Row

PARSED_SCHEMA = fastavro.parse_schema(SCHEMA)

BORDERS = sorted({n + d for n in (0, 64, 1 << 13, 1 << 15, 1 << 20, 1 << 34, 1 << 48, 1 << 62) for d in (-1, 0, 1)})
OFFSETS = st.sampled_from([b for b in BORDERS if b >= 0] + [2**63 - 1]) | st.integers(0, 2**63 - 1)
STAMPS = (
    st.sampled_from([*BORDERS, *(-b for b in BORDERS), -(2**63), 2**63 - 1, 1767225600000])
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(1600000000000, 1900000000000)
)
SIZES = st.sampled_from([0, 1, 63, 64, 65, 8191, 8192, 8193, 32767, 32768, 32769])
SOME_BYTES = st.binary(max_size=12) | st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
FIELDS = st.none() | SOME_BYTES
HEADER_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "a", "größe", "漢字"]
)
HEADERS = st.lists(st.tuples(HEADER_TEXT.map(str.encode) | st.binary(max_size=70), FIELDS), max_size=5).map(tuple)
ROWS = st.lists(st.tuples(OFFSETS, STAMPS, FIELDS, FIELDS, HEADERS), max_size=6)
SMALL_ROWS = st.lists(
    st.tuples(
        OFFSETS,
        STAMPS,
        st.none() | st.binary(max_size=9),
        st.none() | st.binary(max_size=70),
        st.lists(st.tuples(st.binary(max_size=4), st.none() | st.binary(max_size=4)), max_size=3).map(tuple),
    ),
    max_size=5,
)


def as_avro(row: Row) -> dict[str, Any]:
    """The record as fastavro takes and gives it."""
    offset, timestamp, key, value, headers = row
    return {
        "offset": offset,
        "timestamp": timestamp,
        "key": key,
        "value": value,
        "headers": [{"key": name, "value": content} for name, content in headers],
    }


def as_row(record: Any) -> Row:
    headers = tuple((header["key"], header["value"]) for header in record["headers"])
    return record["offset"], record["timestamp"], record["key"], record["value"], headers
