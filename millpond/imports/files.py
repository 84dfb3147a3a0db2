"""The files of a foreign backup: below a prefix of a bucket, or in a folder. They are read and never changed.

A folder is read as it is, since other tools name files by rules of their own; `millpond.storage.folder` would not see
names that it cannot have made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from millpond.errors import WrongUsage
from millpond.storage.contract import NoSuchObject, ObjectInfo, ObjectStore, StorageError
from millpond.storage.keys import checked_key
from millpond.storage.urls import open_store


@dataclass(frozen=True, slots=True, order=True)
class FileInfo:
    """A file, its key below the folder that is imported.

    Attributes:
        modified_ms: Epoch ms.
    """

    key: str
    size_bytes: int
    modified_ms: int


class Files(Protocol):
    """Where a backup lies. Both calls raise `StorageError` and its kin."""

    def list(self) -> Iterator[FileInfo]:
        """All files, in no order."""

    def open(self, key: str) -> BinaryIO:
        """The content; the caller closes it. `NoSuchObject` where there is none."""


class StoreFiles:
    """Files below a prefix of an object store."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._root = store, f"{prefix}/" if prefix else ""

    def list(self) -> Iterator[FileInfo]:
        for info in self._store.list(self._root):
            if isinstance(info, ObjectInfo) and not info.key.endswith("/"):
                yield FileInfo(info.key.removeprefix(self._root), info.size_bytes, info.modified_ms)

    def open(self, key: str) -> BinaryIO:
        return self._store.open(checked_key(self._root + key))


class FolderFiles:
    """Files below a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self) -> Iterator[FileInfo]:
        for path in sorted(self._root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                facts = path.stat()
                modified_ms = facts.st_mtime_ns // 1_000_000
                yield FileInfo(path.relative_to(self._root).as_posix(), facts.st_size, modified_ms)

    def open(self, key: str) -> BinaryIO:
        try:
            return (self._root / checked_key(key)).open("rb")
        except FileNotFoundError as error:
            raise NoSuchObject(f"there is no file {key} in the backup") from error
        except OSError as error:
            raise StorageError(f"cannot open {key} of the backup: {error.strerror}") from error


def open_files(source: str, *, endpoint_url: str | None = None) -> tuple[Files, str]:
    """The files that `s3://bucket/prefix`, `file:///folder` or the path of a folder names, and that name in full."""
    scheme, separator, _ = source.partition("://")
    if separator and scheme == "s3":
        store, prefix = open_store(source, endpoint_url=endpoint_url)
        return StoreFiles(store, prefix), source.rstrip("/")
    if separator and scheme != "file":
        raise WrongUsage("the source is neither s3://, file:// nor a folder", hint="write s3://bucket/prefix or a path")
    folder = Path(unquote(urlsplit(source).path) if separator else source).absolute()
    if not folder.is_dir():
        raise WrongUsage(f"there is no folder {str(folder)!r}", hint="check the source")
    return FolderFiles(folder), folder.as_uri()
