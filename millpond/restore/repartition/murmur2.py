"""The hash by which Java producers place records, as `org.apache.kafka.common.utils.Utils.murmur2` computes it."""

from __future__ import annotations

import struct

_SEED, _MULTIPLIER, _32_BITS, _31_BITS = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF, 0x7FFFFFFF


def murmur2(content: bytes) -> int:
    """The hash as Java tells it, between -2**31 and 2**31 - 1."""
    found = _unsigned(content)
    return found - (1 << 32) if found > _31_BITS else found


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of so many that Java's default partitioner takes for the key."""
    return (_unsigned(key) & _31_BITS) % partitions


def _unsigned(content: bytes) -> int:
    words = len(content) // 4
    found = _SEED ^ len(content)
    for word in struct.unpack_from(f"<{words}I", content):
        word = word * _MULTIPLIER & _32_BITS
        found = (found * _MULTIPLIER & _32_BITS) ^ ((word ^ word >> 24) * _MULTIPLIER & _32_BITS)
    if len(content) % 4:
        found = (found ^ int.from_bytes(content[words * 4 :], "little")) * _MULTIPLIER & _32_BITS
    found = (found ^ found >> 13) * _MULTIPLIER & _32_BITS
    return found ^ found >> 15
