"""The value that flows through everything: one Kafka record, as bytes that nobody interprets."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Header: TypeAlias = tuple[bytes, bytes | None]
"""Key and value of one header. Headers are an ordered list in which keys may repeat and values may be null."""

Row: TypeAlias = tuple[int, int, bytes | None, bytes | None, tuple[Header, ...]]
"""A `Record` as the plain tuple that hot loops build; same fields, same order."""


class Record(NamedTuple):
    """One record of one partition.

    Attributes:
        offset: Position in the partition, 0 to 2**63 - 1.
        timestamp: Milliseconds since the epoch as Kafka stores them; -1 where there is none.
        key: None and b"" are different things.
        value: None is a tombstone.
        headers: In order, duplicates kept.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
