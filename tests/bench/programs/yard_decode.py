"""The yardstick's decoder: blocks to tuples, without a check. It does not change with the product's."""

from __future__ import annotations

Tuples = list[tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes | None]] | None]]


def number_at(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long and the place behind it."""
    byte = data[at]
    at += 1
    number, shift = byte & 0x7F, 7
    while byte >= 0x80:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at


def decode(data: bytes, count: int) -> Tuples:
    found: Tuples = []
    append, at = found.append, 0
    for _ in range(count):
        byte = data[at]
        at += 1
        number, shift = byte & 0x7F, 7
        while byte >= 0x80:
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
        offset = number >> 1
        byte = data[at]
        at += 1
        number, shift = byte & 0x7F, 7
        while byte >= 0x80:
            byte = data[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
        stamp = (number >> 1) ^ -(number & 1)
        key: bytes | None = None
        if data[at]:
            size, at = data[at + 1], at + 2
            if size >= 0x80:
                size, at = size & 0x7F | data[at] << 7, at + 1
            at += size >> 1
            key = data[at - (size >> 1) : at]
        else:
            at += 1
        value: bytes | None = None
        if data[at]:
            byte = data[at + 1]
            at += 2
            size, shift = byte & 0x7F, 7
            while byte >= 0x80:
                byte = data[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
            at += size >> 1
            value = data[at - (size >> 1) : at]
        else:
            at += 1
        headers: list[tuple[str, bytes | None]] | None = None
        many = data[at] >> 1
        at += 1
        if many:
            headers = []
            for _ in range(many):
                size = data[at] >> 1
                name = data[at + 1 : at + 1 + size].decode()
                at += 1 + size
                content: bytes | None = None
                if data[at]:
                    size = data[at + 1] >> 1
                    content = data[at + 2 : at + 2 + size]
                    at += 2 + size
                else:
                    at += 1
                headers.append((name, content))
            at += 1
        append((offset, stamp, key, value, headers))
    return found
