"""Avro files of other tools, block by block. What does not decode exactly is damage."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import fastavro

from millpond.archive.codecs import CODECS
from millpond.archive.container import MAGIC, SYNC_BYTES, Container, read_exactly
from millpond.archive.decode import decode_long
from millpond.archive.documents import parse
from millpond.errors import DamagedArchive

_LARGEST_ENTRY = 1 << 20
# What fastavro raises for bytes that are not what they claim to be.
_DAMAGE = (ValueError, KeyError, IndexError, TypeError, EOFError, OverflowError, MemoryError, struct.error)


def read_avro(stream: BinaryIO, schema: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The records of each block. `DamagedArchive` where the file has another schema, or is not whole.

    A file that ends where a block ends looks whole; Avro does not say how many blocks there are.
    """
    if read_exactly(stream, len(MAGIC)) != MAGIC:
        raise DamagedArchive("it does not start as an Avro file")
    metadata = _metadata(stream)
    codec = CODECS.get(metadata.get("avro.codec", b"null").decode(errors="replace"))
    if codec is None:
        raise DamagedArchive("its codec is none that this format uses")
    if parse(metadata.get("avro.schema", b"null").decode(errors="replace"), "its schema") != schema:
        raise DamagedArchive("it has another schema than this format")
    parsed = fastavro.parse_schema(schema)
    for block in Container(codec, metadata, read_exactly(stream, SYNC_BYTES), stream).blocks():
        yield _records(codec.decompress(block.stored), block.count, parsed)


def _records(content: bytes, count: int, schema: Any) -> list[dict[str, Any]]:
    block = io.BytesIO(content)
    try:
        found: list[Any] = [fastavro.schemaless_reader(block, schema, None) for _ in range(count)]
    except _DAMAGE as error:
        raise DamagedArchive(f"a block does not hold its {count} records: {type(error).__name__}") from error
    if block.tell() != len(content):
        raise DamagedArchive(f"a block holds more than its {count} records")
    return found


def _metadata(stream: BinaryIO) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while (count := _long(stream)) != 0:
        if count < 0:
            _long(stream)
        for _ in range(abs(count)):
            name = read_exactly(stream, _size(stream)).decode(errors="replace")
            found[name] = read_exactly(stream, _size(stream))
    return found


def _size(stream: BinaryIO) -> int:
    size = _long(stream)
    if not 0 <= size <= _LARGEST_ENTRY:
        raise DamagedArchive(f"an entry of its header claims {size} bytes")
    return size


def _long(stream: BinaryIO) -> int:
    content = read_exactly(stream, 1)
    while content[-1] >= 0x80 and len(content) < 10:
        content += read_exactly(stream, 1)
    if content[-1] >= 0x80:
        raise DamagedArchive("a number in its header is longer than 64 bits")
    return decode_long(content, 0)[0]
