"""A closed window into the store as several objects, one for each path: first the parts, then the list of them.

Until the list is there the window does not count; a crash before that leaves parts that nobody reads, and whoever
writes the window next finds and uses them, or puts its own beside them.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from millpond.archive.digest import digest_of, new_salt
from millpond.archive.facts import PartOf, WindowFacts, has_redactions
from millpond.archive.keys import Layout
from millpond.archive.names import PartName, WindowName
from millpond.archive.parts import document_of, read_document
from millpond.archive.window import WindowSpool, open_window
from millpond.backup.partitioner import Partitioner, Paths
from millpond.backup.path_groups import PathGroups, grouped
from millpond.backup.store_window import store_window
from millpond.records import Row
from millpond.storage.contract import AlreadyThere, ObjectInfo, ObjectStore
from millpond.storage.keys import MAX_KEY_BYTES

_LOG = logging.getLogger(__name__)
_TWIN = "0" * 8
"""Stands for any."""
_BLOCK_BYTES, _LEAST_BLOCK_BYTES = 256 << 10, 16 << 10
_OPEN_BYTES = 32 << 20
"""A reader holds a block of every part at once; this is what all of them together may have."""


def store_parts(
    store: ObjectStore, layout: Layout, spool: WindowSpool, facts: WindowFacts, partitioner: Partitioner
) -> str:
    """Stores the window and returns the key that gives it coverage: that of its list of parts.

    A window with no record, or with more paths than the partitioner allows, is stored as one object. Where a name
    is taken, the rules are those of a window in one object: the same records are success, so is a redacted window
    of the same coverage, and other records go beside it as a twin.
    """
    done, _ = spool.finish(facts)
    window = _Window(store, layout, spool, done)
    if (key := window.served()) is not None:
        return key
    if not done.count:
        return store_window(store, layout, spool, facts)
    paths = partitioner.paths(done.partition.topic, done.partition.partition)
    batches = _with_paths(spool, facts, paths)
    with grouped(batches, spool.path.parent, spool.codec, most=partitioner.most_parts) as groups:
        if groups is not None:
            return window.store_list(paths, window.store_all(groups))
    _LOG.info("%s has more than %d paths: stored as one object", done.partition, partitioner.most_parts)
    return store_window(store, layout, spool, facts)


def _with_paths(spool: WindowSpool, facts: WindowFacts, paths: Paths) -> Iterator[list[tuple[str, Row]]]:
    """The records of the spool with their paths, a block at a time."""
    _, body = spool.finish(facts)
    path_of = paths.of
    for block in open_window(body).blocks():
        yield [(path_of(row), row) for row in block.rows()]


@dataclass(frozen=True, slots=True)
class _Window:
    """The window on its way to the store; `facts` are complete."""

    store: ObjectStore
    layout: Layout
    spool: WindowSpool
    facts: WindowFacts

    def served(self) -> str | None:
        """The key of an object that makes ours superfluous, in one object or in several."""
        names = replace(self.facts.name, parts=True), self.facts.name
        plain = [self.store.head(self.layout.object(self.facts.partition, name)) for name in names]
        if not any(plain):
            return None  # there are no twins without what has the name
        twins = self.layout.object(self.facts.partition, replace(names[1], twin=_TWIN)).removesuffix(f"{_TWIN}.avro")
        beside = (self.store.head(twin.key) for twin in self.store.list(twins) if isinstance(twin, ObjectInfo))
        serving = (there.key for there in chain(plain, beside) if there is not None and self._serves(there))
        return next(serving, None)

    def _serves(self, there: ObjectInfo) -> bool:
        theirs, redacted = self._facts_of(there)
        return redacted or _same(self.spool.encoded(), self.facts, theirs)

    def _facts_of(self, there: ObjectInfo) -> tuple[WindowFacts, bool]:
        """What the object says of itself, and whether it was redacted. Copies by other tools often lose metadata."""
        if "millpond-format" in there.metadata:
            return WindowFacts.from_object_metadata(there.metadata), has_redactions(there.metadata)
        if there.key.endswith(".parts"):
            name = replace(self.facts.name, parts=True)
            facts = read_document(self.store, self.layout, self.facts.partition, name, there).facts
        else:
            facts = _header_of(self.store, there.key)
        return facts, bool(facts.redactions)

    def store_all(self, groups: PathGroups) -> list[tuple[str, WindowFacts]]:
        """Every group as a part, in the order of the paths: its key below the partition's folder, and its facts."""
        block_bytes = min(_BLOCK_BYTES, max(_LEAST_BLOCK_BYTES, _OPEN_BYTES // len(groups.groups)))
        return [
            self._store_part(groups, path, PartOf(index, len(groups.groups), self._stem), block_bytes)
            for index, path in enumerate(sorted(groups.groups))
        ]

    @property
    def _stem(self) -> str:
        partition = self.facts.partition
        return self.facts.name.stem(topic=partition.topic, partition=partition.partition)

    def _store_part(self, groups: PathGroups, path: str, part: PartOf, block_bytes: int) -> tuple[str, WindowFacts]:
        group = groups.groups[path]
        facts = replace(self.facts, min_timestamp=group.min_timestamp, max_timestamp=group.max_timestamp, part=part)
        with self._part_spool() as spool:
            for count, encoded in _joined(groups.pieces(path), block_bytes):
                spool.add(count, encoded)
            return self._put_part(spool, facts, self._part_name(path, part.index))

    @contextmanager
    def _part_spool(self) -> Iterator[WindowSpool]:
        ours = self.spool
        # The ending is that of spooled windows: what a killed process leaves is removed at the next start.
        path = ours.path.with_name(f"{ours.path.stem}-{uuid.uuid4().hex}.blocks")
        spool = WindowSpool(path, codec=ours.codec, salt=new_salt(), timestamp_type=self.facts.timestamp_type)
        try:
            yield spool
        finally:
            spool.discard()

    def _part_name(self, path: str, index: int) -> PartName:
        """Long prefixes and topics leave little room for a path; then it is one hash."""
        plain = self.facts.name
        name = PartName(
            plain.first, plain.last, plain.epoch, plain.oldest_ms, plain.newest_ms, twin=_TWIN, path=path, index=index
        )
        if len(self.layout.object(self.facts.partition, name).encode()) > MAX_KEY_BYTES:
            name = replace(name, path=f"path={hashlib.sha256(path.encode()).hexdigest()[:32]}")
        return replace(name, twin="")

    def _put_part(self, spool: WindowSpool, facts: WindowFacts, plain: PartName) -> tuple[str, WindowFacts]:
        done, body = spool.finish(facts)
        partition = done.partition
        twin = replace(plain, twin=done.digest[:8])
        for name in (plain, twin):
            key = self.layout.object(partition, name)
            try:
                self.store.put_if_absent(key, body, done.to_object_metadata())
            except AlreadyThere:
                if (found := self._same_part(spool, done, plain)) is not None:
                    return found
                continue
            return self.layout.relative(partition, name), done
        raise AlreadyThere(f"cannot put {key}: the key is taken by another part")

    def _same_part(self, spool: WindowSpool, ours: WindowFacts, plain: PartName) -> tuple[str, WindowFacts] | None:
        """A part of this name, or a twin of it, that holds our records or was redacted: left by an earlier try."""
        key = self.layout.object(ours.partition, plain)
        twins = self.layout.object(ours.partition, replace(plain, twin=_TWIN)).partition(f"{_TWIN}-p")[0]
        listed = [entry.key for entry in self.store.list(twins) if isinstance(entry, ObjectInfo)]
        for found in (key, *(twin for twin in listed if twin.endswith(f"-p{plain.index}.avro"))):
            theirs = _header_of(self.store, found)
            if theirs.part == ours.part and (theirs.redactions or _same(spool.encoded(), ours, theirs)):
                return found.removeprefix(self.layout.folder(ours.partition)), theirs
        return None

    def store_list(self, paths: Paths, parts: list[tuple[str, WindowFacts]]) -> str:
        """The list of parts under the window's name, or under its twin's where that is taken."""
        document = document_of(self.facts, paths.declared, parts)
        twin = replace(document.name, twin=self.facts.digest[:8])
        names: tuple[WindowName, ...] = (document.name, twin)
        for name in names:
            key = self.layout.object(self.facts.partition, name)
            try:
                self.store.put_if_absent(key, document.body(), document.facts.to_object_metadata())
            except AlreadyThere:
                if (there := self.served()) is not None:
                    return there
                continue
            return key
        raise AlreadyThere(f"cannot put {key}: the key is taken by another window")


def _header_of(store: ObjectStore, key: str) -> WindowFacts:
    with store.open(key) as stream:
        return open_window(stream).facts


def _same(encoded: Iterable[bytes], ours: WindowFacts, theirs: WindowFacts) -> bool:
    """Whether theirs are the records with this encoding."""
    if (theirs.count, theirs.timestamp_type) != (ours.count, ours.timestamp_type):
        return False
    salt = bytes.fromhex(theirs.salt)
    return digest_of(encoded, salt=salt, timestamp_type=ours.timestamp_type) == theirs.digest


def _joined(pieces: Iterable[tuple[int, bytes]], block_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The same records in pieces that are as large as a block may be."""
    some: list[bytes] = []
    size, records = 0, 0
    for count, encoded in pieces:
        if some and size + len(encoded) > block_bytes:
            yield records, b"".join(some)
            some, size, records = [], 0, 0
        some.append(encoded)
        size, records = size + len(encoded), records + count
    if some:
        yield records, b"".join(some)
