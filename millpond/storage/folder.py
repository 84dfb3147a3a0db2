"""The archive in a folder of a local disk: plain files that any Avro reader opens, and hidden ones of the store beside
them. It keeps no versions. Not for network file systems: it relies on flock and on hard links.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from millpond.errors import TryAgain, WrongUsage
from millpond.storage.contract import (
    NO_METADATA,
    AlreadyThere,
    Body,
    Changed,
    NoSuchObject,
    ObjectInfo,
    ObjectVersion,
    StorageError,
)
from millpond.storage.folder_disk import chunks_of, file_at, locked, replaced, stamped, sweep, sync_folder, written
from millpond.storage.folder_facts import Facts, etag_of, facts_path, metadata_of, write_facts
from millpond.storage.folder_names import is_shortened, name_of
from millpond.storage.folder_stream import opened
from millpond.storage.folder_walk import Walk
from millpond.storage.keys import checked_etag, checked_key, checked_metadata, checked_span, rolled_up

_NO_FOLDER = "no key may continue another one with '/'"


class FolderStore:
    """All keys below one folder, which must exist. Safe for use by many threads and processes at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self._own = self.root / ".millpond"
        self._spare = self._own / "new"
        self._names = self._own / "names"
        self._ready = False

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        with self._reporting("put", key), self._prepared(key, body, metadata) as (path, new):
            if file_at(path):
                raise AlreadyThere(f"cannot put {path}: the key is taken")
            found = stamped(new, None)
            write_facts(path, [_facts(found, metadata)], self._spare)
            path.hardlink_to(new)  # unlike a rename, it fails if the name is taken
            sync_folder(path.parent)
        return _info(key, found, metadata)

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        with self._reporting("replace", key), self._prepared(key, body, metadata) as (path, new):
            old = file_at(path)
            if old is None:
                raise NoSuchObject(f"cannot replace {path}: there is no such object")
            if etag_of(old) != checked_etag(etag):
                raise Changed(f"cannot replace {path}: its content has changed")
            found = stamped(new, old)
            facts = _facts(found, metadata)
            write_facts(path, [facts, _facts(old, metadata_of(path, old) or {})], self._spare)
            new.rename(path)
            sync_folder(path.parent)
            write_facts(path, [facts], self._spare)
        return _info(key, found, metadata)

    def open(
        self, key: str, *, version: str = "", etag: str = "", start: int = 0, length: int | None = None
    ) -> BinaryIO:
        first, end = checked_span(start, length)
        with self._reporting("open", key):
            file = None if version else opened(self._path(key))
            if file is None:
                self._confirm_root()
                raise NoSuchObject(f"cannot open {self._path(key)}: there is no such object")
            if etag and etag_of(file.facts) != etag:
                file.close()
                raise Changed(f"cannot open {self._path(key)}: its content has changed")
            return io.BufferedReader(file.between(first, end), 1 << 18)

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        path = self._path(key)
        with self._reporting("head", key):
            while not version and (found := file_at(path)):
                if (metadata := metadata_of(path, found)) is not None:
                    return _info(key, found, metadata)
            self._confirm_root()
            return None

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        with self._reporting("list", prefix):
            self._confirm_root()
            walk = Walk(self.root, self._names, prefix, after)
            if delimiter == "/":
                yield from walk.objects_and_folders()
            else:
                yield from rolled_up(walk.objects(), prefix, after, delimiter)

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        for info in self.list(prefix):
            assert isinstance(info, ObjectInfo)
            yield ObjectVersion(info, latest=True)

    def delete_version(self, key: str, version: str) -> None:
        path = self._path(key)
        with self._reporting("delete", key):
            self._confirm_root()
            if version or not file_at(path):
                return
            with locked(path.parent):
                path.unlink(missing_ok=True)
                facts_path(path).unlink(missing_ok=True)
                sync_folder(path.parent)

    @contextmanager
    def _prepared(self, key: str, body: Body, metadata: Mapping[str, str]) -> Iterator[tuple[Path, Path]]:
        """Where the object goes, and a file with its content; alone with the folder it goes to."""
        path = self._path(key)
        checked_metadata(metadata)
        self._make_ready()
        self._keep_long_names(key)
        self._make_folder(path.parent)
        if path.is_dir():
            raise WrongUsage(f"cannot put {path}: it is a folder", hint=_NO_FOLDER)
        with written(self._spare, chunks_of(body)) as new, locked(path.parent):
            yield path, new

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*map(name_of, checked_key(key).split("/")))

    def _make_ready(self) -> None:
        if not self._ready:
            self._make_folder(self._spare)
            self._make_folder(self._names)
            sweep(self._spare)
            self._ready = True

    def _make_folder(self, folder: Path) -> None:
        if folder == self.root:
            self._confirm_root()
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        try:
            folder.mkdir(exist_ok=True)
        except FileExistsError as error:
            raise WrongUsage(f"cannot make the folder {folder}: it is an object", hint=_NO_FOLDER) from error
        sync_folder(folder.parent)

    def _keep_long_names(self, key: str) -> None:
        for part in key.split("/"):
            name = name_of(part)
            if is_shortened(name) and not file_at(self._names / name):
                replaced(self._names / name, part.encode(), self._spare)

    def _confirm_root(self) -> None:
        if not self.root.is_dir():
            raise WrongUsage(f"there is no folder {self.root}", hint="make it, or correct the archive's URL")

    @contextmanager
    def _reporting(self, what: str, key: str) -> Iterator[None]:
        attempt = f"cannot {what} {key!r} in {self.root}"
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise TryAgain(f"{attempt}: {error.strerror}", hint="free some space on this disk") from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise WrongUsage(
                    f"{attempt}: {error.strerror}",
                    hint="give this user the right to read and write there; the file system must know hard links",
                ) from error
            raise StorageError(f"{attempt}: {error.strerror}", hint="check the disk") from error


def _facts(found: os.stat_result, metadata: Mapping[str, str]) -> Facts:
    return Facts(etag_of(found), found.st_size, dict(metadata))


def _info(key: str, found: os.stat_result, metadata: Mapping[str, str]) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size_bytes=found.st_size,
        etag=etag_of(found),
        modified_ms=found.st_mtime_ns // 1_000_000,
        metadata=dict(metadata),
    )
