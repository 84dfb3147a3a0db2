"""Writing and reading one window: blocks, counts and digest kept together.

Blocks go to a local file as they come; the header is made when the window closes, so that counts and digest stand at
the front and a file cut at a block boundary is found out.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from millpond.archive.codecs import Codec
from millpond.archive.container import SYNC_BYTES, Block, Container, open_container, write_block, write_header
from millpond.archive.decode import decode_block
from millpond.archive.digest import Digest
from millpond.archive.facts import WindowFacts
from millpond.archive.schema import TimestampType
from millpond.errors import DamagedArchive
from millpond.records import Row


class WindowSpool:
    """The blocks of a window on their way to the store. One thread at a time."""

    def __init__(
        self, path: Path, *, codec: Codec, salt: bytes, timestamp_type: TimestampType, sync: bytes | None = None
    ) -> None:
        self.path, self.codec, self.salt = path, codec, salt
        self.count, self.size_bytes, self.stored_bytes = 0, 0, 0
        self._sync = sync or secrets.token_bytes(SYNC_BYTES)
        self._timestamp_type, self._digest = timestamp_type, Digest(salt, timestamp_type)
        self._file = path.open("xb+")

    def add(self, count: int, encoded: bytes) -> None:
        """One block of `count` records in their canonical encoding."""
        self._write(Block(count, self.codec.compress(encoded)), encoded)

    def copy(self, block: Block, encoded: bytes) -> None:
        """A block of another file with the same codec, byte for byte; `encoded` is its content."""
        self._write(block, encoded)

    def _write(self, block: Block, encoded: bytes) -> None:
        self._digest.update(encoded)
        framed = write_block(block, self._sync)
        self._file.write(framed)
        self.count += block.count
        self.size_bytes += len(encoded)
        self.stored_bytes += len(framed)

    def finish(self, facts: WindowFacts) -> tuple[WindowFacts, BinaryIO]:
        """The facts completed with all that the spool knows better, and the whole object as a stream."""
        self._file.flush()
        done = replace(
            facts,
            count=self.count,
            size_bytes=self.size_bytes,
            timestamp_type=self._timestamp_type,
            salt=self.salt.hex(),
            digest=self._digest.hex(),
        )
        header = write_header(self.codec, done.to_file_metadata(), self._sync)
        return done, cast(BinaryIO, io.BufferedReader(_HeaderThenFile(header, self._file)))

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Count and content of each block again."""
        self._file.flush()
        with self.path.open("rb") as file:
            container = Container(self.codec, {}, self._sync, file)
            for block in container.blocks():
                yield block.count, self.codec.decompress(block.stored)

    def encoded(self) -> Iterator[bytes]:
        """The blocks' contents again, for a digest under another salt."""
        return (content for _, content in self.blocks())

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        with suppress(OSError):  # what is buffered has no room on a full disk, and nobody wants it any more
            self._file.close()


class _HeaderThenFile(io.RawIOBase):
    """Two sources as one seekable stream, so that an upload never holds the window in memory."""

    def __init__(self, header: bytes, file: BinaryIO) -> None:
        self._header, self._file, self._at = header, file, 0
        self._size = len(header) + file.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io's own stubs say Buffer
        if self._at < len(self._header):
            piece = self._header[self._at : self._at + len(buffer)]
        else:
            self._file.seek(self._at - len(self._header))
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


@dataclass(frozen=True, slots=True)
class WindowBlock:
    """One block of a window: as stored, its canonical encoding, and its records."""

    block: Block
    encoded: bytes

    def rows(self) -> list[Row]:
        return decode_block(self.encoded, self.block.count)


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """A window whose header has been read."""

    facts: WindowFacts
    container: Container

    def blocks(self) -> Iterator[WindowBlock]:
        """All blocks in order, once.

        Raises:
            DamagedArchive: At a damaged block before it is yielded; at the end if count, bytes or digest are not the
                header's.
        """
        digest = Digest(bytes.fromhex(self.facts.salt), self.facts.timestamp_type)
        count, size_bytes = 0, 0
        for block in self.container.blocks():
            encoded = self.container.codec.decompress(block.stored)
            digest.update(encoded)
            count += block.count
            size_bytes += len(encoded)
            yield WindowBlock(block, encoded)
        if (count, size_bytes) != (self.facts.count, self.facts.size_bytes):
            raise DamagedArchive(
                f"a window holds {count} records in {size_bytes} bytes, "
                f"its header says {self.facts.count} in {self.facts.size_bytes}"
            )
        if digest.hex() != self.facts.digest:
            raise DamagedArchive("the records of a window do not give the digest in its header")


def open_window(stream: BinaryIO) -> StoredWindow:
    """Reads the header. The stream must stay open until the blocks are read."""
    container = open_container(stream)
    return StoredWindow(WindowFacts.from_file_metadata(container.metadata), container)
