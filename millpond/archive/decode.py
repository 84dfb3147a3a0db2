"""Avro back to records, fast. A hot path: one pass over the block with varints read in place.

It reads every encoding of the schema that Avro allows (arrays in several blocks, blocks with a byte size), not only the
canonical one, so that objects rewritten by other tools stay readable. The tests hold it to fastavro. Where the compiled
decoder is built it does the work, and leaves to this one what it cannot read. What is usual is read in place, anything
else by the functions below the loop. As in `encode`, a large number is its low two bytes, found in a table, and the
rest, which a small cache remembers.
"""

from __future__ import annotations

from millpond.archive.compiled import codec
from millpond.errors import DamagedArchive
from millpond.records import Header, Row


def decode_block(data: bytes, count: int) -> list[Row]:
    """The `count` records of one uncompressed block.

    Raises:
        DamagedArchive: The bytes do not hold exactly that many records.
    """
    rows = codec.decode_block(data, count) if codec is not None else None
    return _rows(data, count) if rows is None else rows


def decode_keys(data: bytes, count: int) -> list[bytes | None]:
    """The keys alone of what `decode_block` gives; it raises the same. For a search that seldom finds something."""
    keys = codec.decode_keys(data, count) if codec is not None else None
    return [row[2] for row in _rows(data, count)] if keys is None else keys


def decode_values(data: bytes, count: int) -> list[bytes | None]:
    """The values alone, as `decode_keys`."""
    values = codec.decode_values(data, count) if codec is not None else None
    return [row[3] for row in _rows(data, count)] if values is None else values


def _rows(data: bytes, count: int) -> list[Row]:
    try:
        rows, end = _decode(data, count)
    except (IndexError, OverflowError) as error:
        raise DamagedArchive(f"a block of {len(data)} bytes ends inside one of its {count} records") from error
    if end != len(data):
        raise DamagedArchive(f"a block of {len(data)} bytes does not hold {count} records: they end at byte {end}")
    return rows


def decode_long(data: bytes, at: int) -> tuple[int, int]:
    """The Avro long at this place and the place behind it."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    number = byte & 0x7F
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        number, at = _tenth(number, data, at)
    return (number >> 1) ^ -(number & 1), at


_SHIFTS = tuple(range(7, 63, 7))
"""Of the second to the ninth byte of a varint."""


def _tenth(number: int, data: bytes, at: int) -> tuple[int, int]:
    """The tenth and last byte of a varint, which holds a single bit."""
    if data[at] > 1:
        raise DamagedArchive("a number is longer than 64 bits")
    return number | data[at] << 63, at + 1


_LOW = {bytes((((n << 1) & 0x7F) | 0x80, ((n >> 6) & 0x7F) | 0x80)): n for n in range(8192)}
"""The low 13 bits of a long of 8192 or more, by its first two bytes."""
_CACHED = 4096

_high_cache: dict[bytes, int] = {}
"""The number without its low 13 bits, by all but its first two bytes. Whole varints only: a hit also tells the end."""


def _number(data: bytes, at: int) -> tuple[int, int, int]:
    """An Avro long, the place behind it and its size in bytes; its like will be found in the cache."""
    number, end = decode_long(data, at)
    if number >= 8192:
        if len(_high_cache) >= _CACHED:
            _high_cache.clear()
        _high_cache[data[at + 2 : end]] = number & ~8191
    return number, end, end - at


def _decode(data: bytes, count: int) -> tuple[list[Row], int]:
    rows: list[Row] = []
    append, at, lows, highs = rows.append, 0, _LOW.get, _high_cache.get
    offset_size, stamp_size = 3, 6
    for _ in range(count):
        low, high = lows(data[at : at + 2]), highs(data[at + 2 : at + offset_size])
        if low is None or high is None:
            offset, at, offset_size = _number(data, at)
        else:
            offset = low + high
            at += offset_size
        low, high = lows(data[at : at + 2]), highs(data[at + 2 : at + stamp_size])
        if low is None or high is None:
            stamp, at, stamp_size = _number(data, at)
        else:
            stamp = low + high
            at += stamp_size
        if not data[at]:
            key = None
            at += 1
        else:
            size = data[at + 1]
            if not size & 0x81 and data[at] == 2:  # one byte, not negative
                at += 2
                key = data[at : at + (size >> 1)]
                at += size >> 1
            else:
                key, at = _some(data, at)
        if not data[at]:
            value = None
            at += 1
        else:
            size, more = data[at + 1], data[at + 2] if data[at + 1] >= 0x80 else 0
            if size & 0x81 == 0x80 > more and data[at] == 2:  # two bytes, not negative
                size = (size & 0x7F | more << 7) >> 1
                at += 3
                value = data[at : at + size]
                at += size
            else:
                value, at = _some(data, at)
        if data[at]:
            headers, at = _headers(data, at)
        else:
            headers = ()
            at += 1
        append((offset, stamp, key, value, headers))
    return rows, at


def _some(data: bytes, at: int) -> tuple[bytes | None, int]:
    """A union of null and bytes."""
    if data[at] == 2:
        return _bytes(data, at + 1)
    branch, at = decode_long(data, at)
    if branch == 0:
        return None, at
    if branch != 1:
        raise DamagedArchive(f"a union has branch {branch}, the schema has two")
    return _bytes(data, at)


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = decode_long(data, at)
    if size < 0 or at + size > len(data):
        raise DamagedArchive(f"a field of {size} bytes does not fit into its block")
    return data[at : at + size], at + size


def _headers(data: bytes, at: int) -> tuple[tuple[Header, ...], int]:
    start, many = at, data[at]
    if many & 0x81:  # more than one byte, or negative
        return _any_headers(data, start)
    found: list[Header] = []
    at += 1
    for _ in range(many >> 1):
        size = data[at]
        if size & 0x81:
            return _any_headers(data, start)
        end = at + 1 + (size >> 1)
        size = data[end + 1]
        if size & 0x81 or data[end] != 2:  # or the content is null
            return _any_headers(data, start)
        name = data[at + 1 : end]
        at = end + 2 + (size >> 1)
        found.append((name, data[end + 2 : at]))
    return (tuple(found), at + 1) if not data[at] else _any_headers(data, start)


def _any_headers(data: bytes, at: int) -> tuple[tuple[Header, ...], int]:
    found: list[Header] = []
    while True:
        count, at = decode_long(data, at)
        if count == 0:
            return tuple(found), at
        if count < 0:
            count = -count
            _, at = decode_long(data, at)
        for _ in range(count):
            name, at = _bytes(data, at)
            content, at = _some(data, at)
            found.append((name, content))
