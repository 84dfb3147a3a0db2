"""The header that tells a restored record's offset in the archived topic, where a request asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from millpond.records import Row

NAME = b"restore.source-offset"


def with_source_offsets(rows: Iterable[Row]) -> list[Row]:
    """The records with one header more, the last: the offset that they are archived under, as decimal digits."""
    return [
        (offset, stamp, key, value, (*headers, (NAME, b"%d" % offset))) for offset, stamp, key, value, headers in rows
    ]


def without_source_offset(row: Row) -> Row | None:
    """The record as it is archived; None where its last header does not tell the offset that it stands under."""
    offset, stamp, key, value, headers = row
    if not headers or headers[-1] != (NAME, b"%d" % offset):
        return None
    return offset, stamp, key, value, headers[:-1]
