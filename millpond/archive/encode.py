"""Records to Avro, fast. A hot path: look-up tables and one join replace a writer that walks the schema.

The bytes are the canonical encoding of `docs/format.md`, equal to what fastavro writes for the same records; the tests
hold the two together byte for byte. A varint of a large number is split into its low two bytes, found in a table, and
the rest, which neighbouring offsets and timestamps share and a small cache remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import Message

from millpond.records import Row


def encode_long(number: int) -> bytes:
    """An Avro long: zigzag, then seven bits a byte, lowest first."""
    return _varint((number << 1) ^ (number >> 63))


def encode_bytes(content: bytes) -> bytes:
    """Avro bytes: the length as a long, then the content."""
    return encode_long(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_LENGTHS = 1 << 15
_SOME = [b"\x02" + encode_long(length) for length in range(_LENGTHS)]
"""The union's second branch (bytes) and a length."""
_COUNTS = [encode_long(count) for count in range(1024)]
_SMALL = [encode_long(n) for n in range(8192)]
_LOW = [bytes((((n << 1) & 0x7F) | 0x80, ((n >> 6) & 0x7F) | 0x80)) for n in range(8192)]
"""First two bytes of a long of 8192 or more, by its low 13 bits."""
_CACHED = 4096
_CACHED_BYTES = 256

_high_cache: dict[int, bytes] = {}
_key_cache: dict[str | bytes, bytes] = {}


def _high(number: int) -> bytes:
    """All but the first two bytes of a long, from the number without its low 13 bits."""
    if len(_high_cache) >= _CACHED:
        _high_cache.clear()
    found = _high_cache[number] = _varint(number)
    return found


def _header_key(key: str | bytes) -> bytes:
    found = encode_bytes(key.encode() if isinstance(key, str) else key)
    if len(found) <= _CACHED_BYTES:  # a header key may be as long as a message
        if len(_key_cache) >= _CACHED:
            _key_cache.clear()
        _key_cache[key] = found
    return found


def encode_rows(rows: Iterable[Row]) -> bytes:
    """The canonical encoding of the records, joined. Offsets must not be negative."""
    return _encode((row[0], row[1], row[2], row[3], row[4]) for row in rows)


def encode_messages(
    messages: Sequence[Message], offsets: Iterable[int] | None = None, stamps: Iterable[int] | None = None
) -> bytes:
    """The same for what a consumer returned; every message must be a record, not an error.

    Args:
        offsets: One for each message, in place of its own.
        stamps: The messages' own timestamps, where the caller has them already.
    """
    if stamps is None:
        stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    own = map(Message.offset, messages) if offsets is None else offsets
    columns = (own, stamps, map(Message.key, messages), map(Message.value, messages))
    return _encode(zip(*columns, map(Message.headers, messages), strict=True))


def _encode(rows: Iterable[tuple]) -> bytes:  # type: ignore[type-arg]  # rows of records or of message columns
    parts: list[bytes] = []
    extend, high, keys = parts.extend, _high_cache.get, _key_cache.get
    some, low, small, counts = _SOME, _LOW, _SMALL, _COUNTS
    for offset, stamp, key, value, headers in rows:
        if offset >= 8192:
            offset_low, offset_high = low[offset & 8191], high(offset >> 13) or _high(offset >> 13)
        else:
            offset_low, offset_high = small[offset] if offset >= 0 else encode_long(offset), b""
        if stamp < 8192:
            stamp_low, stamp_high = encode_long(stamp), b""
        else:
            stamp_low, stamp_high = low[stamp & 8191], high(stamp >> 13) or _high(stamp >> 13)
        if key is None:
            key_head, key = b"\0", b""
        else:
            size = len(key)
            key_head = some[size] if size < _LENGTHS else b"\x02" + encode_long(size)
        if value is None:
            value_head, value = b"\0", b""
        else:
            size = len(value)
            value_head = some[size] if size < _LENGTHS else b"\x02" + encode_long(size)
        if not headers:
            extend((offset_low, offset_high, stamp_low, stamp_high, key_head, key, value_head, value, b"\0"))
            continue
        count = len(headers)
        many = counts[count] if count < 1024 else encode_long(count)
        extend((offset_low, offset_high, stamp_low, stamp_high, key_head, key, value_head, value, many))
        for name, content in headers:
            if content is None:
                extend((keys(name) or _header_key(name), b"\0"))
            else:
                size = len(content)
                head = some[size] if size < _LENGTHS else b"\x02" + encode_long(size)
                extend((keys(name) or _header_key(name), head, content))
        parts.append(b"\0")
    return b"".join(parts)
