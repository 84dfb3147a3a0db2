"""One window: looking through it, writing it again without what matches, and telling what an older version would be
without what later sweeps took out. Nothing here decides; `sweep` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from millpond.archive.digest import Digest, new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.keys import PartitionId
from millpond.archive.names import WindowName
from millpond.archive.window import StoredWindow, WindowBlock, WindowSpool, open_window
from millpond.erasure.match import Matcher, Tally
from millpond.errors import DamagedArchive
from millpond.storage.contract import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class Expected:
    """What a window under this key must say of itself to be intact."""

    archive_id: str
    partition: PartitionId
    name: WindowName

    def confirm(self, facts: WindowFacts) -> None:
        said = (facts.archive_id, facts.partition)
        if said != (self.archive_id, self.partition) or not facts.fits(self.name):
            raise DamagedArchive("the header of a window is not that of its archive, partition or name")


@contextmanager
def opened(store: ObjectStore, info: ObjectInfo, expected: Expected) -> Iterator[StoredWindow]:
    """The window in exactly this version.

    Raises:
        DamagedArchive: Here or while the blocks are read: it is no window, or not this one, or not whole. The text
            quotes nothing of the content.
        NoSuchObject, Changed: The version is gone.
    """
    with store.open(info.key, version=info.version, etag=info.etag) as stream:
        try:
            window = open_window(stream)
        except DamagedArchive:  # its text may quote a header, which somebody else may have written
            window = None
        if window is None:
            raise DamagedArchive("an object named as a window has no header of one")
        expected.confirm(window.facts)
        yield window


def scan(store: ObjectStore, info: ObjectInfo, expected: Expected, matcher: Matcher) -> tuple[WindowFacts, Tally]:
    """Looks at every record of a version, and at count and digest, without keeping anything."""
    tally = matcher.tally()
    with opened(store, info, expected) as window:
        for block in window.blocks():
            matcher.kept(block.rows(), tally)
        return window.facts, tally


def without(block: WindowBlock, matchers: Sequence[Matcher]) -> tuple[int, bytes] | None:
    """Count and encoding of a block without the records that match; None where none does."""
    rows = block.rows()
    for matcher in matchers:
        rows = matcher.kept(rows, matcher.tally())
    return (len(rows), encode_rows(rows)) if len(rows) < block.block.count else None


@contextmanager
def rewritten(
    store: ObjectStore, info: ObjectInfo, expected: Expected, matcher: Matcher, entry: Redaction, folder: Path
) -> Iterator[tuple[WindowFacts, WindowSpool]]:
    """The window without what matches, on local disk: untouched blocks as they are, others encoded again, empty ones
    left out. Coverage, timestamp bounds and time of writing stay; salt and digest are new.

    `finish` of the spool with these facts gives the object. The file has no name in the folder, so that not even a
    killed process leaves records there.
    """
    with (
        opened(store, info, expected) as window,
        tempfile.TemporaryDirectory(dir=folder, prefix="redact-") as directory,
    ):
        facts, container = window.facts, window.container
        path = Path(directory) / "blocks"
        spool = WindowSpool(
            path,
            codec=container.codec,
            salt=new_salt(),
            timestamp_type=facts.timestamp_type,
            sync=container.sync,
        )
        try:
            path.unlink()
            for block in window.blocks():
                _copy(block, spool, matcher)
            yield replace(facts, redactions=(*facts.redactions, entry)), spool
        finally:
            spool.discard()


def _copy(block: WindowBlock, spool: WindowSpool, matcher: Matcher) -> None:
    changed = without(block, [matcher])
    if changed is None:
        spool.copy(block.block, block.encoded)
    elif changed[0]:
        spool.add(*changed)


def is_explained(
    store: ObjectStore, info: ObjectInfo, expected: Expected, newest: WindowFacts, matchers: Sequence[Matcher]
) -> bool:
    """Whether an older version, without what the matchers match, holds exactly the records of the newest one.

    The newest one's digest stands for its records, so that they need not be read again. A damaged older version is not
    explained.
    """
    digest = Digest(bytes.fromhex(newest.salt), newest.timestamp_type)
    try:
        with opened(store, info, expected) as window:
            for block in window.blocks():
                changed = without(block, matchers)
                digest.update(block.encoded if changed is None else changed[1])
            same_stamps = window.facts.timestamp_type is newest.timestamp_type
    except DamagedArchive:
        return False
    return same_stamps and digest.hex() == newest.digest
