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
from typing import BinaryIO, NamedTuple, TypeAlias, cast

from millpond.archive.coverage import Live, Span, overlapping
from millpond.archive.digest import new_salt
from millpond.archive.documents import Json
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import Layout, PartitionId, PartitionObject
from millpond.archive.names import PartName, WindowName
from millpond.archive.parts import part_keys, read_document
from millpond.archive.parts_reading import FetchedParts, StoredParts
from millpond.archive.schema import TimestampType
from millpond.archive.window import StoredWindow, open_window
from millpond.errors import DamagedArchive, WrongUsage
from millpond.records import Row
from millpond.restore.planning.choice import LAST_OFFSET, up_to
from millpond.restore.planning.moments import EVERY, Moments
from millpond.storage.contract import Changed, NoSuchObject, ObjectInfo, ObjectStore

_READ_AHEAD = 1 << 20
_CHECKSUMMED = "zstandard"
"""The codec whose blocks carry a checksum: a flipped bit is found before a record of the block is handed on."""
AnyWindow: TypeAlias = StoredWindow | StoredParts
_REPLACED = "put back what was there; or delete the target topic and restore again with a new --run-id"


@dataclass(frozen=True, slots=True)
class PinnedWindow:
    """A window in the version that the plan saw.

    Attributes:
        parts: The objects that hold its records, where it only lists them.
    """

    key: str
    version: str
    etag: str
    parts: tuple[PinnedWindow, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Windows that share offsets, each with the span that counts; most parts hold one."""

    windows: tuple[Live[PinnedWindow], ...]


def parts_of(line: Json) -> list[Part]:
    """The parts of a plan's line, in order."""
    live = [
        Live(_pinned(item, tuple(map(_pinned, item.get("parts", ())))), Span(item["first"], item["last"]))
        for item in line["objects"]
    ]
    return [Part(tuple(group)) for group in overlapping(live)]


def _cut(parts: list[Part], end: int) -> list[Part]:
    """The parts without the offsets from `end` on. Those that are left keep their numbers."""
    cut = [tuple(short for live in part.windows for short in _before(live, end)) for part in parts]
    return [Part(windows) for windows in cut if windows]


def _before(live: Live[PinnedWindow], end: int) -> list[Live[PinnedWindow]]:
    return [Live(live.window, span) for span in up_to(end - 1, [live.span])]


def _pinned(item: Json, parts: tuple[PinnedWindow, ...] = ()) -> PinnedWindow:
    return PinnedWindow(item["key"], item["version"], item["etag"], parts)


@dataclass(slots=True)
class PartReader:
    """Reads one part.

    Attributes:
        timestamp_type: What the part's digest is taken under.
        salt: Of the window's own digest, or a new one where the part is no whole window.
        digest: The digest that the window states over exactly these records; "" where there is none.
        moments: Which of the records are due by their timestamps.
        filtered: How many of those that were read are not.
    """

    windows: list[tuple[AnyWindow, Span, str]]
    timestamp_type: TimestampType
    salt: bytes
    digest: str
    moments: Moments = EVERY
    filtered: int = 0

    def batches(self) -> Iterator[list[Row]]:
        """The part's records that are due, in offset order; a batch may be empty. What is damaged raises
        `DamagedArchive`, at the latest at the end."""
        return self._united() if self.moments == EVERY else self._due()

    def _due(self) -> Iterator[list[Row]]:
        for rows in self._united():
            due = self.moments.due(rows)
            self.filtered += len(rows) - len(due)
            yield due

    def _united(self) -> Iterator[list[Row]]:
        readers = [_rows(stored, span, key) for stored, span, key in self.windows]
        if len(readers) == 1:
            return readers[0]
        return _merged(readers, [(stored.facts, key) for stored, _, key in self.windows])


class WindowPlace(NamedTuple):
    """What the key of a window says."""

    partition: PartitionId
    name: WindowName


@contextmanager
def _since_planned(key: str) -> Iterator[None]:
    try:
        yield
    except (NoSuchObject, Changed) as error:
        message = f"{error.args[0]} since the restore was planned"
        raise type(error)(message, hint=_REPLACED, object_key=key) from error


class Source:
    """Opens parts; closes what it opened."""

    def __init__(self, store: ObjectStore, layout: Layout, archive_id: str) -> None:
        self._store, self._layout, self._archive_id = store, layout, archive_id

    def parts_of(self, line: Json) -> list[Part]:
        """The parts of a plan's line, in order, cut before the first record past the line's `cut` if it has one."""
        parts = parts_of(line)
        if line.get("cut") is None:
            return parts
        return _cut(parts, self._first_past(parts, line["cut"]))

    def _first_past(self, parts: list[Part], cut_ms: int) -> int:
        """Offset of the first record with a timestamp behind the moment; where there is none, that behind the last."""
        past = Moments(since=cut_ms + 1)
        for part in parts:
            names = [self._name(live.window.key).name for live in part.windows]
            if not any(past.may_hold(name.oldest_ms, name.newest_ms) for name in names):
                continue
            with ExitStack() as stack:
                first = next((rows[0][0] for rows in self.open(part, stack, past).batches() if rows), None)
            if first is not None:
                return first
        return LAST_OFFSET

    def open(self, part: Part, stack: ExitStack, moments: Moments = EVERY) -> PartReader:
        """The part's windows, headers read and checked. Streams are closed by `stack`.

        Args:
            moments: Which records are wanted.

        Raises:
            NoSuchObject, Changed: A window was deleted or replaced since it was planned.
            DamagedArchive: A header is not what the name says.
        """
        windows = [(self._open(live, stack), live.span, live.window.key) for live in part.windows]
        stored, span, _ = windows[0]
        whole = len(windows) == 1 and (span.first, span.last) == (stored.facts.first, stored.facts.last)
        whole &= not isinstance(stored, StoredParts) or stored.proven
        if all(moments.hold_all(s.facts.min_timestamp, s.facts.max_timestamp) for s, _, _ in windows):
            moments = EVERY
        whole &= moments == EVERY
        salt = bytes.fromhex(stored.facts.salt) if whole else new_salt()
        digest = stored.facts.digest if whole else ""
        return PartReader(windows, stored.facts.timestamp_type, salt, digest, moments)

    def _open(self, live: Live[PinnedWindow], stack: ExitStack) -> AnyWindow:
        if self._name(live.window.key).name.parts:
            return self._open_parts(live.window, stack)
        stored = self._stored(live.window, stack)
        if stored.container.codec.name == _CHECKSUMMED:
            return stored
        # What the other codecs give is known to be right at the end only, and records cannot be taken back from Kafka.
        with _naming(live.window.key):
            for _ in stored.blocks():
                pass
        return self._stored(live.window, stack)

    def _open_parts(self, pinned: PinnedWindow, stack: ExitStack) -> StoredParts:
        partition, name = self._name(pinned.key)
        parts = {part.key: part for part in pinned.parts}
        with _naming(pinned.key):
            info = ObjectInfo(pinned.key, 0, pinned.etag, pinned.version)
            with _since_planned(pinned.key):
                document = read_document(self._store, self._layout, partition, name, info, self._archive_id)
            unplanned = [key for key in part_keys(self._layout, partition, document) if key not in parts]
            if unplanned:
                raise DamagedArchive(f"it lists {unplanned[0]}, which was not planned")
            fetched = FetchedParts(self._layout, partition, document, lambda key: self._stream(parts[key]), stack)
            stored = fetched.open()
            if fetched.codecs != {_CHECKSUMMED}:
                for _ in stored.blocks():
                    pass
                stored = fetched.open()
        return stored

    def _stream(self, pinned: PinnedWindow) -> BinaryIO:
        etag = "" if pinned.version else pinned.etag
        with _since_planned(pinned.key):
            return self._store.open(pinned.key, version=pinned.version, etag=etag)

    def _stored(self, pinned: PinnedWindow, stack: ExitStack) -> StoredWindow:
        raw = stack.enter_context(self._stream(pinned))
        stream = cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, raw), _READ_AHEAD))
        with _naming(pinned.key):
            stored = open_window(stream)
            self._check(stored.facts, pinned.key)
        return stored

    def _check(self, facts: WindowFacts, key: str) -> None:
        """The header must be that of the window that the key names, in this archive."""
        partition, name = self._name(key)
        facts.confirm(archive_id=self._archive_id, partition=partition, name=name)

    def _name(self, key: str) -> WindowPlace:
        what = self._layout.parse(key)
        if (
            not isinstance(what, PartitionObject)
            or not isinstance(what.name, WindowName)
            or isinstance(what.name, PartName)
        ):
            raise DamagedArchive(f"the plan names {key}, which is no window", hint="plan again under a new run id")
        return WindowPlace(what.partition, what.name)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """What is wrong with the object, found inside the block, is named after it."""
    try:
        yield
    except DamagedArchive as error:
        message, hint = f"{key} is damaged: {error.args[0]}", "look for an older version of it"
        raise DamagedArchive(message, hint=hint, object_key=key) from error
    except WrongUsage as error:
        raise WrongUsage(f"cannot read {key}: {error.args[0]}", hint=error.hint, object_key=key) from error


def _rows(stored: AnyWindow, span: Span, key: str) -> Iterator[list[Row]]:
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
            object_key=key,
        )
    return min(redacted, key=lambda item: item[:2])[2]
