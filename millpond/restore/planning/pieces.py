"""One partition of a plan: the objects that are due, pinned, and what speaks against restoring them.

A partition may have any number of objects, a plan any number of partitions: what is kept of one is its numbers and its
packed objects.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from millpond.archive.catalog import PartitionListing, WindowObject
from millpond.archive.coverage import Live, Span, holes, union
from millpond.archive.cuts import CutEnd
from millpond.archive.documents import Json
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.parts import listed_parts, read_document
from millpond.errors import DamagedArchive
from millpond.restore.planning.choice import LAST_OFFSET, Choice, up_to, within
from millpond.restore.planning.left_out import left_out
from millpond.restore.planning.moments import Moments, last_before
from millpond.restore.request import Trouble
from millpond.storage.contract import ObjectStore


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a partition is asked for.

    Attributes:
        cut_ms: The partition ends before its first record past this.
        ends: Of a named cut, by partition; a partition that is not in it has nothing.
    """

    choice: Choice
    moments: Moments
    cut_ms: int | None = None
    ends: Mapping[PartitionId, CutEnd] | None = None

    def takes(self, partition: PartitionId) -> bool:
        chosen = self.choice.takes(partition.topic, partition.partition)
        return chosen and (self.ends is None or partition in self.ends)

    def line(self) -> Json:
        """What a line of the plan says of it, beside its objects."""
        found = {"since": self.moments.since, "until": self.moments.until, "cut": self.cut_ms}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stops a plan."""

    trouble: Trouble
    text: str


@dataclass(slots=True)
class Piece:
    """What is to be restored of one partition.

    Attributes:
        objects: How many windows.
        size_bytes: Stored, of all their objects.
        offsets: That they cover: an upper bound of records.
        spans: Those offsets.
        scope: Offsets that were asked for.
        newest_ms: Largest timestamp that names of the windows tell, -1 if there is none.
        left_out: Asked offsets that no window holds, by reason.
        held: Offsets that windows or markers speak for, asked for or not.
    """

    partition: PartitionId
    scope: tuple[Span, ...]
    held: list[Span] = field(default_factory=list)
    objects: int = 0
    size_bytes: int = 0
    offsets: int = 0
    newest_ms: int = -1
    left_out: dict[str, int] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _packed: list[bytes] = field(default_factory=list)
    _digest: str = ""

    def pack(self, objects: Iterable[Json]) -> None:
        """Keeps the plan's entries of the objects, which come in the order of their first offsets. One at a time: all
        of them as JSON would be many times what is kept."""
        packer, digest, comma = zlib.compressobj(1), hashlib.sha256(), ""
        for item in objects:
            self._count(item)
            encoded = (comma or "[") + json.dumps(item, separators=(",", ":"))
            comma = ","
            self._add(packer.compress(encoded.encode()))
            digest.update(encoded.encode())
        last = b"]" if comma else b"[]"
        self._add(packer.compress(last) + packer.flush())
        digest.update(last)
        self._digest = digest.hexdigest()

    def _count(self, item: Json) -> None:
        span = Span(item["first"], item["last"])
        self.objects += 1
        self.size_bytes += item["size"]
        self.offsets += span.size
        self.spans[-1:] = union([*self.spans[-1:], span])

    def _add(self, packed: bytes) -> None:
        if packed:
            self._packed.append(packed)

    def unpack(self) -> bytes:
        """The entries, as JSON."""
        return zlib.decompress(b"".join(self._packed))

    def digest(self) -> str:
        """Of the entries as JSON."""
        return self._digest


@dataclass(frozen=True, slots=True)
class Pinning:
    """Makes pieces out of listings. Reads the lists of windows of several objects, and nothing else."""

    store: ObjectStore
    layout: Layout
    archive_id: str
    asked: Asked

    def piece(self, listing: PartitionListing) -> Piece:
        """What is due of a partition that is asked for."""
        partition, asked = listing.partition, self.asked
        end = asked.ends[partition] if asked.ends is not None else None
        if end is not None:
            listing = _as_it_was(listing, end)
        live = listing.live()
        chosen = asked.choice.spans(partition.topic, partition.partition)
        scope = up_to(end.offset - 1, chosen) if end is not None else chosen
        if asked.cut_ms is not None:
            scope = up_to(last_before(asked.cut_ms, live), scope)
        piece = Piece(partition, scope, listing.covered())
        piece.pack(self._items(piece, listing, _due(live, scope, asked.moments)))
        piece.left_out = left_out(listing, scope)
        piece.findings += _unexplained(listing, scope)
        piece.findings += _behind(piece, end) if end is not None else ()
        piece.warnings += _beyond(piece, chosen)
        return piece

    def _items(self, piece: Piece, listing: PartitionListing, due: list[Live[WindowObject]]) -> Iterator[Json]:
        for live in due:
            item = pinned(live.window) | {
                "size": live.window.info.size_bytes,
                "first": live.span.first,
                "last": live.span.last,
            }
            try:
                item |= self._parts(listing, live.window)
            except DamagedArchive as error:
                piece.findings.append(Finding(Trouble.PARTS, str(error.args[0])))
                continue
            piece.newest_ms = max(piece.newest_ms, live.window.name.newest_ms)
            yield item

    def _parts(self, listing: PartitionListing, window: WindowObject) -> Json:
        """The parts of a window; nothing where it is one object."""
        if not window.name.parts:
            return {}
        info = window.info
        document = read_document(self.store, self.layout, listing.partition, window.name, info, self.archive_id)
        listed = listed_parts(self.layout, listing, document, info.key)
        return {"size": sum(part.info.size_bytes for part in listed), "parts": [pinned(part) for part in listed]}


def pinned(window: WindowObject) -> Json:
    """The object in the version that was listed."""
    return {"key": window.info.key, "version": window.info.version, "etag": window.info.etag}


def _as_it_was(listing: PartitionListing, end: CutEnd) -> PartitionListing:
    """Without what a later leader wrote: at the cut, what it discarded was still there."""
    if end.leader_epoch < 0:
        return listing
    windows = tuple(window for window in listing.windows if window.name.epoch <= end.leader_epoch)
    return replace(listing, windows=windows)


def _due(windows: list[Live[WindowObject]], scope: tuple[Span, ...], moments: Moments) -> list[Live[WindowObject]]:
    """In offset order. A window of which several ranges are due is there for each."""
    held = (live for live in windows if moments.may_hold(live.window.name.oldest_ms, live.window.name.newest_ms))
    found = [Live(live.window, span) for live in held for span in within(live.span, scope)]
    return sorted(found, key=lambda live: live.span.first)


def _unexplained(listing: PartitionListing, scope: tuple[Span, ...]) -> Iterator[Finding]:
    for hole in listing.unexplained():
        for part in within(hole, scope):
            yield Finding(Trouble.UNEXPLAINED, f"{listing.partition} offsets {part.first} to {part.last}")


def _behind(piece: Piece, end: CutEnd) -> Iterator[Finding]:
    """Offsets before the cut's end that the archive has not reached."""
    reached = piece.held[-1].last + 1 if piece.held else 0
    for hole in holes((), start=reached, end=end.offset - 1):
        for part in within(hole, piece.scope):
            yield Finding(Trouble.BEHIND_CUT, f"{piece.partition} offsets {part.first} to {part.last}")


def _beyond(piece: Piece, chosen: tuple[Span, ...]) -> Iterator[str]:
    reached = piece.held[-1].last if piece.held else -1
    if reached < chosen[-1].last < LAST_OFFSET:
        yield f"offsets of {piece.partition} up to {chosen[-1].last} are asked for; the archive ends at {reached}"
