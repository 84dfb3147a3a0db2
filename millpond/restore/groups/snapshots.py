"""Which snapshot of groups counts, and the version of its object, so that it can be read again whatever happens."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from millpond.archive.cuts import read_cut
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive, WrongUsage
from millpond.groups.avro import decode
from millpond.groups.keep import moments
from millpond.groups.values import GroupSnapshot
from millpond.storage.contract import NoSuchObject, ObjectInfo, ObjectStore, read

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot, and the object that holds it."""

    snapshot: GroupSnapshot
    info: ObjectInfo

    def document(self) -> Json:
        """For a plan."""
        return {"at": self.snapshot.at, "key": self.info.key, "version": self.info.version, "etag": self.info.etag}


def find_snapshot(store: ObjectStore, layout: Layout, *, until_ms: int | None = None, cut: str = "") -> Found:
    """The snapshot of the cut, or the newest that can be read, none after `until_ms`.

    Raises:
        WrongUsage: There is none.
        DamagedArchive: That of the cut cannot be read.
    """
    if cut:
        return _of_cut(store, layout, cut)
    for _, info in moments(store, layout, until_ms=until_ms):
        try:
            return _read(store, info.key)
        except DamagedArchive as error:
            _LOG.warning("passed over: %s", error.args[0])
    raise WrongUsage(
        f"there is no snapshot of groups{'' if until_ms is None else ' of that time'}",
        hint="`millpond groups list` shows them",
    )


def planned_snapshot(store: ObjectStore, document: Json) -> GroupSnapshot:
    """The snapshot that a plan names."""
    key = document["key"]
    etag = "" if document["version"] else document["etag"]
    return decode(read(store, key, version=document["version"], etag=etag), key)


def _of_cut(store: ObjectStore, layout: Layout, cut: str) -> Found:
    key = layout.under(read_cut(store, layout, cut).groups)
    try:
        return _read(store, key)
    except NoSuchObject as error:
        raise WrongUsage(f"the snapshot of cut {cut} is gone: {key}", hint="name a time with --at") from error


def _read(store: ObjectStore, key: str) -> Found:
    info = store.head(key)
    if info is None:
        raise NoSuchObject(f"cannot open {key}: there is no such object")
    return Found(decode(read(store, key, version=info.version), key), info)
