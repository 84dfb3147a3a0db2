"""A store with versions as it stood at a moment. Whatever was deleted, hidden or overwritten since does not matter.

S3 tells the time of a version in whole seconds: what was stored within the second of the moment counts as stored
before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import BinaryIO

from millpond.errors import WrongUsage
from millpond.storage.contract import NO_METADATA, Body, NoSuchObject, ObjectInfo, ObjectStore, ObjectVersion
from millpond.storage.keys import rolled_up


class AsOf:
    """Reads another store. What listings and `head` give names its version, so it can be read later, too.

    A listing reads all versions below the prefix, also where a delimiter rolls them up.
    """

    def __init__(self, store: ObjectStore, at_ms: int) -> None:
        self._store, self.at_ms = store, at_ms // 1000 * 1000 + 999

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        infos = (info for info in self._objects(prefix) if info.key > after)
        yield from rolled_up(infos, prefix, after, delimiter)

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        if version:
            return self._store.head(key, version=version)
        found = self._find(key)
        return self._store.head(key, version=found.version) if found else None

    def open(
        self, key: str, *, version: str = "", etag: str = "", start: int = 0, length: int | None = None
    ) -> BinaryIO:
        found = None if version else self._find(key)
        if found is None and not version:
            raise NoSuchObject(f"cannot open {key}: there was no such object at {self.at_ms} ms")
        if found and not found.version:
            etag = etag or found.etag
        return self._store.open(
            key, version=version or (found.version if found else ""), etag=etag, start=start, length=length
        )

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        versions = self._store.list_versions(prefix)
        for _, group in groupby(versions, key=lambda version: version.info.key):
            then = [version for version in group if version.info.modified_ms <= self.at_ms]
            yield from (ObjectVersion(v.info, latest=v is then[0], marker=v.marker) for v in then)

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        raise _unwritable(key)

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        raise _unwritable(key)

    def delete_version(self, key: str, version: str) -> None:
        raise _unwritable(key)

    def _objects(self, prefix: str) -> Iterator[ObjectInfo]:
        return (found.info for found in self.list_versions(prefix) if found.latest and not found.marker)

    def _find(self, key: str) -> ObjectInfo | None:
        return next((info for info in self._objects(key) if info.key == key), None)


def _unwritable(key: str) -> WrongUsage:
    return WrongUsage(f"cannot write {key}: the store is read as it was, and the past cannot be changed")
