"""Listing a folder as S3 lists a bucket. A folder counts as its name with '/' at the end when names are sorted: 'a-b'
comes before what is in 'a', though 'a' comes before 'a-b'.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from millpond.storage.contract import ObjectInfo, StorageError
from millpond.storage.folder_facts import etag_of
from millpond.storage.folder_names import is_shortened, name_of, part_of


class Walk:
    """One pass over the keys below `prefix` and beyond `after`; it holds the names of the folders it is in, no more."""

    def __init__(self, root: Path, long_names: Path, prefix: str, after: str) -> None:
        self._root, self._long_names = root, long_names
        self._prefix, self._after = prefix, after

    def objects(self) -> Iterator[ObjectInfo]:
        return (info for info in self._names(by_folder=False) if isinstance(info, ObjectInfo))

    def objects_and_folders(self) -> Iterator[ObjectInfo | str]:
        """As a listing with the delimiter '/', without reading the folders that are rolled up."""
        return self._names(by_folder=True)

    def _names(self, *, by_folder: bool) -> Iterator[ObjectInfo | str]:
        base = self._prefix[: self._prefix.rfind("/") + 1]
        parts = base.split("/")[:-1]
        if not any(part in ("", ".", "..") or "\0" in part for part in parts):  # else no key can begin with it
            yield from self._below(self._root.joinpath(*map(name_of, parts)), base, by_folder)

    def _below(self, folder: Path, base: str, by_folder: bool) -> Iterator[ObjectInfo | str]:
        for name, entry in self._entries(folder):
            key = base + name
            if not name.endswith("/"):
                if key.startswith(self._prefix) and key > self._after and (info := _info(key, entry)):
                    yield info
            elif self._is_wanted(key):
                below = self._below(Path(entry.path), key, by_folder)
                if not (by_folder and key.startswith(self._prefix)):
                    yield from below
                elif key > self._after and next(below, None):  # folders that are left empty are no objects
                    yield key

    def _is_wanted(self, folder_key: str) -> bool:
        """Some key in this folder can be below the prefix and beyond `after`."""
        if not folder_key.startswith(self._prefix) and not self._prefix.startswith(folder_key):
            return False
        return folder_key > self._after or self._after.startswith(folder_key)

    def _entries(self, folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
        """What is in the folder by the names it has in keys, '/' behind folders, in the order of keys."""
        try:
            with os.scandir(folder) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []
        named = [(self._part(entry.name) + ("/" if entry.is_dir() else ""), entry) for entry in entries]
        return sorted(named, key=itemgetter(0))

    def _part(self, name: str) -> str:
        if is_shortened(name):
            return (self._long_names / name).read_text(encoding="utf-8")
        part = part_of(name)
        if part is None:
            raise StorageError(
                f"cannot list {self._root}: {name!r} is no name that Millpond gives",
                hint="move it away; an archive from elsewhere must be copied object by object, not file by file",
            )
        return part


def _info(key: str, entry: os.DirEntry[str]) -> ObjectInfo | None:
    try:
        found = entry.stat()
    except FileNotFoundError:  # removed since the folder was read
        return None
    return ObjectInfo(
        key=key, size_bytes=found.st_size, etag=etag_of(found), modified_ms=found.st_mtime_ns // 1_000_000
    )
