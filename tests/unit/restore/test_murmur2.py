"""The hash by which Java producers place records."""

from __future__ import annotations

import pytest

from millpond.restore.repartition.murmur2 import murmur2, partition_of

# Of org.apache.kafka.common.utils.UtilsTest.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("content", "expected"), JAVA.items())
def test_the_hash_is_that_of_java(content: bytes, expected: int) -> None:
    assert murmur2(content) == expected


@pytest.mark.parametrize("length", range(9))
def test_every_length_of_the_rest_and_bytes_above_127_count(length: int) -> None:
    contents = [bytes([200 + n] * n) + bytes(length - n) for n in range(length + 1)]
    assert len({murmur2(content) for content in contents}) == len(contents)
    assert all(-(2**31) <= murmur2(content) < 2**31 for content in contents)


def test_a_negative_hash_loses_its_sign_bit_as_in_java() -> None:
    assert partition_of(b"21", 7) == (-973932308 & 0x7FFFFFFF) % 7
    assert partition_of(b"abc", 1) == 0
