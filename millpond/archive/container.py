"""Avro object container files: the frame around blocks. Records are not looked at here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from millpond.archive.codecs import CODECS, Codec
from millpond.archive.decode import decode_long
from millpond.archive.documents import parse
from millpond.archive.encode import encode_bytes, encode_long
from millpond.archive.schema import SCHEMA, SCHEMA_JSON, refuse_newer
from millpond.errors import DamagedArchive

MAGIC = b"Obj\x01"
SYNC_BYTES = 16
_LARGEST_BLOCK = 1 << 30


@dataclass(frozen=True, slots=True)
class Block:
    """One block as it is stored.

    Attributes:
        count: Records in it.
        stored: Its bytes, compressed.
    """

    count: int
    stored: bytes


def write_header(codec: Codec, metadata: Mapping[str, bytes], sync: bytes) -> bytes:
    """The bytes in front of the first block."""
    entries = {"avro.schema": SCHEMA_JSON, "avro.codec": codec.name.encode(), **metadata}
    pairs = [encode_bytes(name.encode()) + encode_bytes(content) for name, content in entries.items()]
    return MAGIC + encode_long(len(pairs)) + b"".join(pairs) + b"\0" + sync


def write_block(block: Block, sync: bytes) -> bytes:
    return b"".join((encode_long(block.count), encode_long(len(block.stored)), block.stored, sync))


@dataclass(frozen=True, slots=True)
class Container:
    """A file whose header has been read; `blocks` goes on from there, once."""

    codec: Codec
    metadata: Mapping[str, bytes]
    sync: bytes
    _stream: BinaryIO

    def blocks(self) -> Iterator[Block]:
        """All blocks in order. `DamagedArchive` where the file ends inside one or a sync marker is not in its place."""
        while (count := _read_long_or_end(self._stream)) is not None:
            size = _read_long(self._stream)
            if count < 0 or not 0 <= size <= _LARGEST_BLOCK:
                raise DamagedArchive(f"a block claims {count} records in {size} bytes")
            stored = read_exactly(self._stream, size)
            if read_exactly(self._stream, SYNC_BYTES) != self.sync:
                raise DamagedArchive("a block does not end with the file's sync marker")
            yield Block(count, stored)


def open_container(stream: BinaryIO) -> Container:
    """Reads the header. `DamagedArchive` where the stream is no Avro file, or one with another schema.

    `WrongUsage` where it is a window of a newer format.
    """
    if read_exactly(stream, len(MAGIC)) != MAGIC:
        raise DamagedArchive("the file does not start as an Avro object container file")
    metadata = _read_map(stream)
    if (version := metadata.get("millpond.format")) is not None:  # a newer format may have another schema
        refuse_newer(version.decode(errors="replace"), "a window")
    codec = CODECS.get(metadata.get("avro.codec", b"null").decode(errors="replace"))
    if codec is None:
        raise DamagedArchive("the file has a codec that archives do not use")
    if parse(metadata.get("avro.schema", b"null"), "the schema of a window") != SCHEMA:
        raise DamagedArchive("the file has another schema than a window")
    return Container(codec, metadata, read_exactly(stream, SYNC_BYTES), stream)


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, however the stream portions them; `DamagedArchive` where it ends before."""
    data = stream.read(size)
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise DamagedArchive(f"the file ends {size - len(data)} bytes too early")
        data += more
    return data


def _read_map(stream: BinaryIO) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while (count := _read_long(stream)) != 0:
        if count < 0:
            _read_long(stream)
        for _ in range(abs(count)):
            name = read_exactly(stream, _size(stream)).decode(errors="replace")
            found[name] = read_exactly(stream, _size(stream))
    return found


def _size(stream: BinaryIO) -> int:
    size = _read_long(stream)
    if not 0 <= size <= _LARGEST_BLOCK:
        raise DamagedArchive(f"a header field claims {size} bytes")
    return size


def _read_long(stream: BinaryIO) -> int:
    number = _read_long_or_end(stream)
    if number is None:
        raise DamagedArchive("the file ends too early")
    return number


def _read_long_or_end(stream: BinaryIO) -> int | None:
    data = stream.read(1)
    if not data:
        return None
    while data[-1] >= 0x80:
        if len(data) > 9:
            raise DamagedArchive("a number is longer than 64 bits")
        data += read_exactly(stream, 1)
    return decode_long(data, 0)[0]
