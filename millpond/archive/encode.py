"""Records to Avro, fast. A hot path: look-up tables and one join replace a writer that walks the schema.

The bytes are the canonical encoding of `docs/format.md`, equal to what fastavro writes for the same records; the tests
hold the two together byte for byte. Where the compiled encoder is built it does the work, and this is what it must do.
A varint of a large number is split into its low two bytes, found in a table, and the rest, which neighbouring offsets
and timestamps share and a small cache remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from confluent_kafka import Message

from millpond.archive.compiled import codec
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
_CACHED = 4096
_CACHED_BYTES = 256

_high_cache: dict[int, bytes] = {}
_key_cache: dict[str | bytes, bytes] = {}


class _Tables(NamedTuple):
    """Made when the first record is encoded here, which is never where the compiled encoder does it.

    Attributes:
        some: The union's second branch (bytes) and a length.
        low: First two bytes of a long of 8192 or more, by its low 13 bits.
    """

    some: list[bytes]
    low: list[bytes]
    small: list[bytes]
    counts: list[bytes]


@cache
def _tables() -> _Tables:
    small = [encode_long(n) for n in range(_LENGTHS)]
    low = [bytes((((n << 1) & 0x7F) | 0x80, ((n >> 6) & 0x7F) | 0x80)) for n in range(8192)]
    return _Tables([b"\x02" + length for length in small], low, small[:8192], small[:1024])


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


class MessageRun(NamedTuple):
    """Neighbouring messages that share a leader epoch and a timestamp type.

    Attributes:
        records: How many they are.
        first, last: Offsets of the first and the last one.
        epoch: -1 if unknown.
        kind: The client's number of the timestamp type.
        first_timestamp: Of the first one, ms as the others.
        encoded: All of them, in their canonical encoding.
    """

    records: int
    first: int
    last: int
    epoch: int
    kind: int
    first_timestamp: int
    min_timestamp: int
    max_timestamp: int
    encoded: bytes


def encode_rows(rows: Iterable[Row]) -> bytes:
    """The canonical encoding of the records, joined. Offsets must not be negative."""
    if codec is not None:
        return codec.encode_rows(rows)
    return _encode((row[0], row[1], row[2], row[3], row[4]) for row in rows)


def encode_messages(
    messages: Sequence[Message], offsets: Iterable[int] | None = None, stamps: Iterable[int] | None = None
) -> bytes:
    """The same for what a consumer returned; every message must be a record, not an error.

    Args:
        offsets: One for each message, in place of its own.
        stamps: The messages' own timestamps, where the caller has them already.

    Raises:
        UnicodeDecodeError: The name of a header is not UTF-8; the client cannot give it.
    """
    if codec is not None:
        return codec.encode_messages(messages, offsets, stamps)
    if stamps is None:
        stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    own = map(Message.offset, messages) if offsets is None else offsets
    columns = (own, stamps, map(Message.key, messages), map(Message.value, messages))
    return _encode(zip(*columns, map(Message.headers, messages), strict=True))


def encode_run(messages: Sequence[Message]) -> MessageRun | None:
    """One message or more, encoded, with what a window must know of them; None where they are no run."""
    if codec is not None:
        found = codec.encode_run(messages)
        return None if found is None else MessageRun(*found)
    epochs = set(map(Message.leader_epoch, messages))
    kinds, stamps = zip(*map(Message.timestamp, messages), strict=True)
    if len(epochs) > 1 or len(set(kinds)) > 1:
        return None
    known, first, last = epochs.pop(), messages[0].offset(), messages[-1].offset()
    return MessageRun(
        len(messages),
        first,
        last,
        -1 if known is None else known,
        kinds[0],
        stamps[0],
        min(stamps),
        max(stamps),
        encode_messages(messages, stamps=stamps),
    )


def _encode(rows: Iterable[tuple]) -> bytes:  # type: ignore[type-arg]  # rows of records or of message columns
    parts: list[bytes] = []
    extend, high, keys = parts.extend, _high_cache.get, _key_cache.get
    some, low, small, counts = _tables()
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
