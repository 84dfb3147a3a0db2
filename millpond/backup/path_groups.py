"""The records of a window sorted into groups by path, with one temporary file and a bounded buffer for all groups."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from millpond.archive.codecs import Codec
from millpond.archive.encode import encode_rows
from millpond.records import Row

_PIECE_BYTES = 16 << 10
"""Of a group's records, encoded, at which they go to the file."""
_BUFFERED_BYTES = 32 << 20
"""Of all groups' records that wait for that."""


@dataclass(slots=True)
class Group:
    """The records of one path.

    Attributes:
        min_timestamp, max_timestamp: Epoch ms.
    """

    min_timestamp: int
    max_timestamp: int
    _waiting: list[bytes] = field(default_factory=list)
    _waiting_bytes: int = 0
    _waiting_count: int = 0
    _pieces: list[tuple[int, int, int]] = field(default_factory=list)  # place in the file, stored bytes, records


class PathGroups:
    """Groups by path. Records of a group stay in the order in which they were added."""

    def __init__(self, file: BinaryIO, codec: Codec) -> None:
        self.groups: dict[str, Group] = {}
        self._file, self._codec, self._waiting_bytes = file, codec, 0

    def add(self, path: str, rows: list[Row]) -> None:
        stamps = [row[1] for row in rows]
        group = self.groups.setdefault(path, Group(stamps[0], stamps[0]))
        group.min_timestamp = min(group.min_timestamp, *stamps)
        group.max_timestamp = max(group.max_timestamp, *stamps)
        for some in _in_pieces(rows):
            encoded = encode_rows(some)
            group._waiting.append(encoded)
            group._waiting_bytes += len(encoded)
            group._waiting_count += len(some)
            self._waiting_bytes += len(encoded)
            if group._waiting_bytes >= _PIECE_BYTES:
                self._store(group)
        if self._waiting_bytes > _BUFFERED_BYTES:
            self.store_waiting()

    def store_waiting(self) -> None:
        for group in self.groups.values():
            self._store(group)

    def pieces(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Number and encoding of the group's records, in order; all must have been stored."""
        for at, size, count in self.groups[path]._pieces:
            self._file.seek(at)
            yield count, self._codec.decompress(self._file.read(size))

    def _store(self, group: Group) -> None:
        if not group._waiting:
            return
        stored = self._codec.compress(b"".join(group._waiting))
        group._pieces.append((self._file.tell(), len(stored), group._waiting_count))
        self._file.write(stored)
        self._waiting_bytes -= group._waiting_bytes
        group._waiting, group._waiting_bytes, group._waiting_count = [], 0, 0


def _in_pieces(rows: list[Row]) -> Iterator[list[Row]]:
    """Slices of about a piece each: small blocks keep readers of many parts small."""
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row[2] or b"") + len(row[3] or b"") + 32
        if size >= _PIECE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


@contextmanager
def grouped(
    batches: Iterable[Iterable[tuple[str, Row]]], folder: Path, codec: Codec, *, most: int
) -> Iterator[PathGroups | None]:
    """Groups of these records, each with its path; None where they have more than `most` paths.

    The temporary file has no name in the folder, so that a killed process leaves nothing there.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        groups = PathGroups(file, codec)
        for batch in batches:
            by_path: dict[str, list[Row]] = {}
            for path, row in batch:
                by_path.setdefault(path, []).append(row)
            for path, rows in by_path.items():
                groups.add(path, rows)
            if len(groups.groups) > most:
                yield None
                return
        groups.store_waiting()
        yield groups
