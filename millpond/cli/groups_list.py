"""`millpond groups list`: the snapshots of groups, newest first."""

from __future__ import annotations

from itertools import islice

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cli.outcome import Outcome
from millpond.errors import DamagedArchive
from millpond.groups.avro import decode
from millpond.groups.keep import moments
from millpond.settings.groups import GroupsListSettings
from millpond.storage.contract import ObjectInfo, ObjectStore, read
from millpond.verify.happenings import moment

Settings = GroupsListSettings


def run(settings: GroupsListSettings) -> Outcome:
    store, layout = settings.open_archive()
    found = [_entry(store, at, info) for at, info in _shown(store, layout, settings)]
    text = "\n".join(map(_line, found)) or "no snapshot of groups"
    return Outcome({"snapshots": found}, text)


def _shown(store: ObjectStore, layout: Layout, settings: GroupsListSettings) -> list[tuple[int, ObjectInfo]]:
    return list(islice(moments(store, layout, until_ms=settings.until_ms), settings.limit))


def _entry(store: ObjectStore, at: int, info: ObjectInfo) -> Json:
    """One that cannot be read is listed all the same."""
    named = {"at": at, "key": info.key, "size_bytes": info.size_bytes}
    try:
        snapshot = decode(read(store, info.key), info.key)
    except DamagedArchive:
        return named | {"groups": None, "offsets": None, "failed": None, "damaged": True}
    offsets = sum(group.partitions for group in snapshot.groups)
    failed = len(snapshot.failed)
    return named | {"groups": len(snapshot.groups), "offsets": offsets, "failed": failed, "damaged": False}


def _line(entry: Json) -> str:
    if entry["damaged"]:
        return f"{moment(entry['at'])}  DAMAGED  {entry['key']}"
    failed = f", {entry['failed']} parts FAILED" if entry["failed"] else ""
    return f"{moment(entry['at'])}  {entry['groups']} groups, {entry['offsets']} offsets{failed}  {entry['key']}"
