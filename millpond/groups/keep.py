"""The history of group snapshots in an archive: written once each, found by time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace

from millpond.archive.history import newest_first
from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive
from millpond.groups.avro import decode, encode
from millpond.groups.values import GroupSnapshot
from millpond.storage.contract import AlreadyThere, ObjectInfo, ObjectStore, read

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a snapshot.

    Attributes:
        key: Where it lies, "" where it was not written.
        refused: Why it was not written, or "".
    """

    snapshot: GroupSnapshot
    key: str = ""
    refused: str = ""


def keep(store: ObjectStore, layout: Layout, snapshot: GroupSnapshot) -> Kept:
    """Adds the snapshot to the history, unless it holds no group where the newest one holds some."""
    if not snapshot.groups and (known := newest(store, layout)) and known.groups:
        refused = f"no group was read, the snapshot before holds {len(known.groups)}"
        _LOG.warning("the snapshot of groups is not kept: %s", refused)
        return Kept(snapshot, refused=refused)
    while True:
        content, key = encode(snapshot), layout.groups(snapshot.at)
        try:
            store.put_if_absent(key, content)
        except AlreadyThere:
            if read(store, key) != content:  # another's of the same millisecond
                snapshot = replace(snapshot, at=snapshot.at + 1)
                continue
        return Kept(snapshot, key)


def moments(store: ObjectStore, layout: Layout, *, until_ms: int | None = None) -> Iterator[tuple[int, ObjectInfo]]:
    """Times and objects of the snapshots, newest first, none after `until_ms`."""
    limit = {} if until_ms is None else {"until_ms": until_ms}
    return newest_first(store, layout.under("groups/"), "avro", **limit)


def newest(store: ObjectStore, layout: Layout, *, until_ms: int | None = None) -> GroupSnapshot | None:
    """The newest snapshot that can be read, none after `until_ms`. Those that cannot are passed over, loudly."""
    for _, info in moments(store, layout, until_ms=until_ms):
        try:
            return decode(read(store, info.key), info.key)
        except DamagedArchive as error:
            _LOG.warning("passed over: %s", error.args[0])
    return None
