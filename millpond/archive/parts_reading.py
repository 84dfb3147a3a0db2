"""The records of a window that was written as several objects, merged back into the order of their offsets.

The parts are fetched one after the other into one temporary file, which stays in memory while it is small: so any
number of parts needs one connection, one open file, and one open block for each part.
"""

from __future__ import annotations

import heapq
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO, TypeAlias, cast

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_rows
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.parts import PartEntry, PartsDocument, document_of
from millpond.archive.window import StoredWindow, open_window
from millpond.errors import DamagedArchive, WrongUsage
from millpond.records import Row

_IN_MEMORY = 32 << 20
"""Stored bytes of a window's parts; more go to disk."""
_BATCH = 1000
_COPY_BYTES = 1 << 20

Fetch: TypeAlias = Callable[[str], BinaryIO]
"""Opens the object with this key, in the version that is meant."""


@dataclass(frozen=True, slots=True)
class MergedRows:
    """Some consecutive records of a window; what a block is to a window in one object."""

    _rows: list[Row]

    def rows(self) -> list[Row]:
        return self._rows


class StoredParts:
    """A window of several objects, headers read and held against its document.

    Attributes:
        facts: Of the window as it is now: a sweep may have rewritten parts and not yet the document.
        proven: Whether the digest in the facts is one of all records.
    """

    def __init__(self, document: PartsDocument, parts: list[tuple[str, StoredWindow]]) -> None:
        found = [(entry.key, part.facts) for entry, (_, part) in zip(document.parts, parts, strict=True)]
        now = document_of(document.facts, document.partition_by, found)
        self.facts, self.proven = now.facts, now.proven
        self._parts = parts

    def blocks(self) -> Iterator[MergedRows]:
        """All records in order, once, in pieces.

        Raises:
            DamagedArchive: A part is damaged, two hold the same offset, or together they are not what the document
                states; at the latest at the end.
        """
        digest = Digest(bytes.fromhex(self.facts.salt), self.facts.timestamp_type)
        count, last = 0, -1
        merged = heapq.merge(*(_rows(key, part) for key, part in self._parts), key=itemgetter(0))
        for rows in _batches(merged):
            _refuse_repeated(rows, last)
            count, last = count + len(rows), rows[-1][0]
            if self.proven:
                digest.update(encode_rows(rows))
            yield MergedRows(rows)
        if count != self.facts.count:
            raise DamagedArchive(f"the parts hold {count} records, their list says {self.facts.count}")
        if self.proven and digest.hex() != self.facts.digest:
            raise DamagedArchive("the records of the parts together do not give the digest in their list")


class FetchedParts:
    """The parts of one window on local disk or in memory, to be read any number of times until `stack` closes."""

    def __init__(
        self, layout: Layout, partition: PartitionId, document: PartsDocument, fetch: Fetch, stack: ExitStack
    ) -> None:
        self._document, self._layout, self._partition = document, layout, partition
        spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  # the caller's stack closes it
        self._file = cast(BinaryIO, stack.enter_context(spool))
        self._spans = [(part, *self._copied(fetch, layout.folder(partition) + part.key)) for part in document.parts]

    def open(self) -> StoredParts:
        """From the beginning. `DamagedArchive` where a part's header is not what name and document say."""
        return StoredParts(self._document, [self._opened(*span) for span in self._spans])

    @property
    def codecs(self) -> set[str]:
        """Names of the parts' codecs."""
        return {self._opened(*span)[1].container.codec.name for span in self._spans}

    def _copied(self, fetch: Fetch, key: str) -> tuple[int, int]:
        start = self._file.tell()
        with fetch(key) as stream:
            while piece := stream.read(_COPY_BYTES):
                self._file.write(piece)
        return start, self._file.tell()

    def _opened(self, entry: PartEntry, start: int, end: int) -> tuple[str, StoredWindow]:
        stream = cast(BinaryIO, io.BufferedReader(_Slice(self._file, start, end)))
        with _naming(entry.key):
            stored = open_window(stream)
            _confirm(stored.facts, self._document, entry, self._layout, self._partition)
        return entry.key, stored


class _Slice(io.RawIOBase):
    """Some bytes of a file that others read as well; not on several threads."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._at, self._end = file, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io's own stubs say Buffer
        self._file.seek(self._at)
        piece = self._file.read(min(len(buffer), self._end - self._at))
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _confirm(
    facts: WindowFacts, document: PartsDocument, entry: PartEntry, layout: Layout, partition: PartitionId
) -> None:
    """The part must be that of the window, and what the document states, unless a sweep went over it since."""
    whole = document.facts
    name = layout.parse(layout.folder(partition) + entry.key).name  # type: ignore[union-attr]  # the document was parsed
    facts.confirm(archive_id=whole.archive_id, partition=partition, name=name)  # type: ignore[arg-type]
    if facts.timestamp_type is not whole.timestamp_type or facts.part.parts != len(document.parts):  # type: ignore[union-attr]
        raise DamagedArchive("it is a part of another window")
    if len(facts.redactions) <= entry.redactions and PartEntry.of(entry.key, facts) != entry:
        raise DamagedArchive("it is not the part that the list of the window's parts states")


def _rows(key: str, part: StoredWindow) -> Iterator[Row]:
    facts = part.facts
    with _naming(key):
        for block in part.blocks():
            for row in block.rows():
                if not facts.min_timestamp <= row[1] <= facts.max_timestamp:
                    raise DamagedArchive(f"the timestamp of offset {row[0]} lies outside the part's bounds")
                yield row


def _batches(merged: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in merged:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _refuse_repeated(rows: list[Row], last: int) -> None:
    for row in rows:
        if row[0] <= last:
            raise DamagedArchive(f"two parts hold offset {row[0]}, or one is not in order")
        last = row[0]


@contextmanager
def _naming(key: str) -> Iterator[None]:
    try:
        yield
    except DamagedArchive as error:
        raise DamagedArchive(f"{key}: {error.args[0]}", hint=error.hint) from error
    except WrongUsage as error:
        raise WrongUsage(f"{key}: {error.args[0]}", hint=error.hint) from error
