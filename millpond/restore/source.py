"""Records out of the archive for one target partition, in source order, part by part.

A part is one window or several that share offsets. Every window is checked against its name, the archive and its own
digest while it is read.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import BinaryIO, cast

from millpond.archive.coverage import Live, Span, overlapping
from millpond.archive.digest import new_salt
from millpond.archive.documents import Json
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName
from millpond.archive.schema import TimestampType
from millpond.archive.window import StoredWindow, open_window
from millpond.errors import DamagedArchive, WrongUsage
from millpond.records import Row
from millpond.storage.contract import Changed, NoSuchObject, ObjectStore

_READ_AHEAD = 1 << 20
_CHECKSUMMED = "zstandard"
"""The codec whose blocks carry a checksum: a flipped bit is found before a record of the block is handed on."""
_REPLACED = "put back what was there; or delete the target topic and restore again with a new --run-id"


@dataclass(frozen=True, slots=True)
class PinnedWindow:
    """A window in the version that the plan saw."""

    key: str
    version: str
    etag: str


@dataclass(frozen=True, slots=True)
class Part:
    """Windows that share offsets, each with the span that counts; most parts hold one."""

    windows: tuple[Live[PinnedWindow], ...]


def parts_of(line: Json) -> list[Part]:
    """The parts of a plan's line, in order."""
    live = [
        Live(PinnedWindow(item["key"], item["version"], item["etag"]), Span(item["first"], item["last"]))
        for item in line["objects"]
    ]
    return [Part(tuple(group)) for group in overlapping(live)]


@dataclass(slots=True)
class PartReader:
    """Reads one part.

    Attributes:
        timestamp_type: What the part's digest is taken under.
        salt: Of the window's own digest, or a new one where the part is no whole window.
        digest: The digest that the window states over exactly these records; "" where there is none.
    """

    windows: list[tuple[StoredWindow, Span, str]]
    timestamp_type: TimestampType
    salt: bytes
    digest: str

    def batches(self) -> Iterator[list[Row]]:
        """The part's records in offset order. What is damaged raises `DamagedArchive`, at the latest at the end."""
        readers = [_rows(stored, span, key) for stored, span, key in self.windows]
        if len(readers) == 1:
            return readers[0]
        return _merged(readers, [(stored.facts, key) for stored, _, key in self.windows])


class Source:
    """Opens parts; closes what it opened."""

    def __init__(self, store: ObjectStore, layout: Layout, archive_id: str) -> None:
        self._store, self._layout, self._archive_id = store, layout, archive_id

    def open(self, part: Part, stack: ExitStack) -> PartReader:
        """The part's windows, headers read and checked. Streams are closed by `stack`.

        Raises:
            NoSuchObject, Changed: A window was deleted or replaced since it was planned.
            DamagedArchive: A header is not what the name says.
        """
        windows = [(self._open(live, stack), live.span, live.window.key) for live in part.windows]
        stored, span, _ = windows[0]
        whole = len(windows) == 1 and (span.first, span.last) == (stored.facts.first, stored.facts.last)
        salt = bytes.fromhex(stored.facts.salt) if whole else new_salt()
        digest = stored.facts.digest if whole else ""
        return PartReader(windows, stored.facts.timestamp_type, salt, digest)

    def _open(self, live: Live[PinnedWindow], stack: ExitStack) -> StoredWindow:
        stored = self._stored(live.window, stack)
        if stored.container.codec.name == _CHECKSUMMED:
            return stored
        # What the other codecs give is known to be right at the end only, and records cannot be taken back from Kafka.
        with _naming(live.window.key):
            for _ in stored.blocks():
                pass
        return self._stored(live.window, stack)

    def _stored(self, pinned: PinnedWindow, stack: ExitStack) -> StoredWindow:
        etag = "" if pinned.version else pinned.etag
        try:
            raw = stack.enter_context(self._store.open(pinned.key, version=pinned.version, etag=etag))
        except (NoSuchObject, Changed) as error:
            raise type(error)(f"{error.args[0]} since the restore was planned", hint=_REPLACED) from error
        stream = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw), _READ_AHEAD))
        with _naming(pinned.key):
            stored = open_window(stream)
        self._check(stored.facts, pinned.key)
        return stored

    def _check(self, facts: WindowFacts, key: str) -> None:
        """The header must be that of the window that the key names, in this archive."""
        what = self._layout.parse(key)
        if not isinstance(what, PartitionObject) or not isinstance(what.name, WindowName):
            raise DamagedArchive(f"the plan names {key}, which is no window", hint="plan again under a new run id")
        facts.confirm(archive_id=self._archive_id, partition=what.partition, name=what.name)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """What is wrong with the object, found inside the block, is named after it."""
    try:
        yield
    except DamagedArchive as error:
        raise DamagedArchive(f"{key} is damaged: {error.args[0]}", hint="look for an older version of it") from error
    except WrongUsage as error:
        raise WrongUsage(f"cannot read {key}: {error.args[0]}", hint=error.hint) from error


def _rows(stored: StoredWindow, span: Span, key: str) -> Iterator[list[Row]]:
    """A window's records within the span, a block at a time; offsets and timestamps must be as its facts say."""
    facts = stored.facts
    whole = (span.first, span.last) == (facts.first, facts.last)
    after, oldest, newest = facts.first - 1, facts.max_timestamp, facts.min_timestamp
    with _naming(key):
        for block in stored.blocks():
            rows = block.rows()
            if not rows:
                continue
            after = _checked(rows, after, facts.last)
            stamps = [row[1] for row in rows]
            oldest, newest = min(oldest, min(stamps)), max(newest, max(stamps))
            if oldest < facts.min_timestamp or newest > facts.max_timestamp:
                raise DamagedArchive(f"a timestamp near offset {rows[0][0]} lies outside the window's bounds")
            yield rows if whole else [row for row in rows if span.first <= row[0] <= span.last]
        if facts.count and not facts.redactions and (oldest, newest) != (facts.min_timestamp, facts.max_timestamp):
            raise DamagedArchive("no record has the smallest or largest timestamp that the window states")


def _checked(rows: list[Row], after: int, last: int) -> int:
    """The offset of the last row; `DamagedArchive` where offsets do not rise within (after, last]."""
    first, count = rows[0][0], len(rows)
    offsets = [row[0] for row in rows]
    dense = offsets == list(range(first, first + count))
    rising = dense or all(low < high for low, high in pairwise(offsets))
    if not rising or first <= after or offsets[-1] > last:
        raise DamagedArchive(f"offsets near {first} do not rise within the window")
    return offsets[-1]


_MERGED_BATCH = 1000


def _merged(readers: list[Iterator[list[Row]]], windows: list[tuple[WindowFacts, str]]) -> Iterator[list[Row]]:
    """The union of windows by offset. Two records at one offset are equal, or a redaction went through one of them."""
    streams = [_ranked(reader, rank) for rank, reader in enumerate(readers)]
    batch: list[Row] = []
    for offset, same in groupby(heapq.merge(*streams, key=lambda item: item[0][0]), key=lambda item: item[0][0]):
        batch.append(_the_one(offset, [(row, *windows[rank]) for row, rank in same]))
        if len(batch) >= _MERGED_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _ranked(reader: Iterator[list[Row]], rank: int) -> Iterator[tuple[Row, int]]:
    for rows in reader:
        for row in rows:
            yield row, rank


def _the_one(offset: int, found: list[tuple[Row, WindowFacts, str]]) -> Row:
    """Of the records at one offset, the one that counts: that of the newest redaction, and of those the first key's."""
    first, facts, key = found[0]
    if all(row == first and other.timestamp_type == facts.timestamp_type for row, other, _ in found):
        return first
    redacted = [(-other.redactions[-1].at, key, row) for row, other, key in found if other.redactions]
    if not redacted:
        raise DamagedArchive(
            f"{key} and {found[-1][2]} hold different records at offset {offset}",
            hint="one of them was altered, or two clusters were archived together",
        )
    return min(redacted, key=lambda item: item[:2])[2]
