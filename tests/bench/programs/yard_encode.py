"""The yardstick's encoder: messages to Avro by tables and one join. It does not change with the product's."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message


def varint(number: int) -> bytes:
    """A number that is zigzagged already."""
    out = bytearray()
    while number > 0x7F:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def long(number: int) -> bytes:
    return varint((number << 1) ^ (number >> 63))


_SOME = [b"\x02" + long(size) for size in range(1 << 15)]
_COUNTS = [long(count) for count in range(1024)]
_LOW = [bytes((((n << 1) & 0x7F) | 0x80, ((n >> 6) & 0x7F) | 0x80)) for n in range(8192)]
_high: dict[int, bytes] = {}
_names: dict[str, bytes] = {}


def high(number: int) -> bytes:
    if len(_high) > 4096:
        _high.clear()
    found = _high[number] = varint(number)
    return found


def name_of(text: str) -> bytes:
    found = _names[text] = long(len(text.encode())) + text.encode()
    return found


def encode(messages: Sequence[Message]) -> bytes:
    """Good for what the bench writes: sizes below 32 KiB, few header names."""
    parts: list[bytes] = []
    extend, cached, names, some, low = parts.extend, _high.get, _names.get, _SOME, _LOW
    for message in messages:
        offset, (_, stamp), key, value = message.offset(), message.timestamp(), message.key(), message.value()
        headers = message.headers()
        if offset < 8192:
            offset_low, offset_high = long(offset), b""
        else:
            offset_low, offset_high = low[offset & 8191], cached(offset >> 13) or high(offset >> 13)
        stamp_low, stamp_high = low[stamp & 8191], cached(stamp >> 13) or high(stamp >> 13)
        key_head, key = (b"\0", b"") if key is None else (some[len(key)], key)
        value_head, value = (b"\0", b"") if value is None else (some[len(value)], value)
        if not headers:
            extend((offset_low, offset_high, stamp_low, stamp_high, key_head, key, value_head, value, b"\0"))
            continue
        count = _COUNTS[len(headers)]
        extend((offset_low, offset_high, stamp_low, stamp_high, key_head, key, value_head, value, count))
        for name, content in headers:
            if content is None:
                extend((names(name) or name_of(name), b"\0"))
            else:
                extend((names(name) or name_of(name), some[len(content)], content))
        parts.append(b"\0")
    return b"".join(parts)
