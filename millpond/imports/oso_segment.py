"""One segment of OSO kafka-backup, version 1: a header, records, a CRC-32 of all before it, and an end mark.

The CRC stands at the end, so a segment is copied to a local file and checked before its first record is given.
"""

from __future__ import annotations

import io
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import lz4.block  # type: ignore[import-untyped]

from millpond.archive.container import read_exactly
from millpond.errors import DamagedArchive
from millpond.imports.backup import ABORT, COMMIT, Item, NoRecord
from millpond.records import Header, Row

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_HEAD = struct.Struct("<4sBB2sQqq")
_FOOT = struct.Struct("<I4s")
_RECORD = struct.Struct("<qqi")
_LENGTH, _SHORT, _INT = struct.Struct("<I"), struct.Struct("<H"), struct.Struct("<i")
_VERSION, _NONE, _ZSTD, _LZ4 = 1, 0, 1, 2
_CHUNK, _LARGEST = 1 << 20, 1 << 30
_MARKS = {b"\0\0\0\0": ABORT, b"\0\0\0\1": COMMIT}
"""Keys of control records: version 0, then the type, abort or commit."""
_MARK_VALUE_BYTES = 6
"""Their values: version 0 in two bytes, then the coordinator's epoch."""


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What the manifest says of a segment; offsets inclusive, control records counted."""

    first: int
    last: int
    count: int


def read_segment(stream: BinaryIO, expected: SegmentFacts, spool: Path) -> Iterator[Item]:
    """All items of a segment. `DamagedArchive` where it is not whole, or not what the manifest says.

    Args:
        spool: A folder for the local copy, which has no name there.
    """
    with tempfile.TemporaryFile(dir=spool) as local:
        compression = _check(stream, cast(BinaryIO, local), expected)
        with _body(cast(BinaryIO, local), compression) as body:
            yield from _items(body, expected)


def _check(stream: BinaryIO, local: BinaryIO, expected: SegmentFacts) -> int:
    """Copies the segment, leaves the copy without its footer at its first record, and tells the compression."""
    while chunk := stream.read(_CHUNK):
        local.write(chunk)
    size = local.tell() - _FOOT.size
    if size < _HEAD.size:
        raise DamagedArchive("it is too short for a segment")
    local.seek(size)
    crc, end = _FOOT.unpack(read_exactly(local, _FOOT.size))
    local.truncate(size)
    local.seek(0)
    found = 0
    while chunk := local.read(_CHUNK):
        found = zlib.crc32(chunk, found)
    local.seek(0)
    start, version, compression, _, count, first, last = _HEAD.unpack(read_exactly(local, _HEAD.size))
    if (start, end) != (b"KBAK", b"BKAE"):
        raise DamagedArchive("it does not begin or end as a segment")
    if crc != found:
        raise DamagedArchive("its checksum is wrong")
    if version != _VERSION:
        raise DamagedArchive(f"it has version {version}, {_VERSION} is known")
    if SegmentFacts(first, last, count) != expected:
        raise DamagedArchive(f"it holds {count} entries from {first} to {last}, the manifest says otherwise")
    return int(compression)


@contextmanager
def _body(local: BinaryIO, compression: int) -> Iterator[BinaryIO]:
    """The records' bytes. Only LZ4 needs them in memory: its tool compresses a segment in one piece."""
    if compression == _NONE:
        yield local
    elif compression == _LZ4:
        yield io.BytesIO(_unpacked(local.read()))
    elif compression == _ZSTD:
        try:
            with zstd.ZstdFile(local) as body:
                yield cast(BinaryIO, body)
        except (zstd.ZstdError, EOFError) as error:
            raise DamagedArchive(f"it is not valid zstandard: {error}") from error
    else:
        raise DamagedArchive(f"its compression {compression} is none of none, zstd and lz4")


def _unpacked(content: bytes) -> bytes:
    size = _INT.unpack(content[: _INT.size])[0] if len(content) >= _INT.size else -1
    if not 0 <= size <= _LARGEST:
        raise DamagedArchive(f"its LZ4 block claims {size} bytes")
    try:
        return bytes(lz4.block.decompress(content))
    except lz4.block.LZ4BlockError as error:
        raise DamagedArchive(f"it is not a valid LZ4 block: {error}") from error


def _items(body: BinaryIO, expected: SegmentFacts) -> Iterator[Item]:
    before = expected.first - 1
    for number in range(expected.count):
        size = _LENGTH.unpack(read_exactly(body, _LENGTH.size))[0]
        if size > _LARGEST:
            raise DamagedArchive(f"entry {number} claims {size} bytes")
        row = _row(read_exactly(body, size), number)
        last = number == expected.count - 1
        if not before < row[0] <= expected.last or (number == 0 and row[0] != expected.first):
            raise DamagedArchive(f"offset {row[0]} is not in its place")
        if last and (row[0] != expected.last or body.read(1)):
            raise DamagedArchive(f"it does not end with offset {expected.last}")
        before = row[0]
        yield _as_item(row)


def _row(content: bytes, number: int) -> Row:
    try:
        stamp, offset, key_size = _RECORD.unpack_from(content)
        key, at = _field(content, _RECORD.size, key_size)
        value, at = _sized(content, at)
        count, at = _SHORT.unpack_from(content, at)[0], at + _SHORT.size
        headers: list[Header] = []
        for _ in range(count):
            size = _SHORT.unpack_from(content, at)[0]
            name, at = _field(content, at + _SHORT.size, size)
            found, at = _sized(content, at)
            headers.append((name or b"", found))
    except struct.error as error:
        raise DamagedArchive(f"entry {number} ends too early") from error
    if at != len(content):
        raise DamagedArchive(f"entry {number} is longer than its fields")
    return offset, stamp, key, value, tuple(headers)


def _sized(content: bytes, at: int) -> tuple[bytes | None, int]:
    return _field(content, at + _INT.size, _INT.unpack_from(content, at)[0])


def _field(content: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    """So many bytes from there, None for -1, and the place behind them."""
    if size == -1:
        return None, at
    if size < 0 or at + size > len(content):
        raise struct.error("a field is longer than its entry")
    return content[at : at + size], at + size


def _as_item(row: Row) -> Item:
    """The record without what the tool added to its headers, or the control record that has this shape."""
    offset, stamp, key, value, headers = row
    own = _own_headers(offset, stamp, headers)
    if key in _MARKS and value is not None and len(value) == _MARK_VALUE_BYTES and value[:2] == b"\0\0" and not own:
        return NoRecord(offset, _MARKS[key])
    return offset, stamp, key, value, own


def _own_headers(offset: int, stamp: int, headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """Without the last two or three, if they are those that the tool writes for this very record."""
    added = ((b"x-original-offset", struct.pack("<q", offset)), (b"x-original-timestamp", struct.pack("<q", stamp)))
    end = len(headers) - 1 if headers and headers[-1][0] == b"x-source-cluster" else len(headers)
    return headers[: end - 2] if end >= 2 and headers[end - 2 : end] == added else headers
