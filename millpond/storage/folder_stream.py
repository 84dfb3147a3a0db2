"""Reading a file of the folder store: the content that was there when it was opened, even if replaced meanwhile."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from millpond.storage.contract import StorageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class OpenFile(io.RawIOBase):
    """A span of a file as a raw stream; `facts` are those of the very content that is read."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        super().__init__()
        self._path, self._file = path, file
        self._left: int | None = None
        self.facts = os.fstat(file.fileno())

    def between(self, first: int, end: int | None) -> OpenFile:
        self._file.seek(first)
        self._left = None if end is None else end - first
        return self

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = self._file.readinto(view if self._left is None else view[: self._left]) or 0
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}", hint="check the disk") from error
        if self._left is not None:
            self._left -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(path: Path) -> OpenFile | None:
    """None if nothing is there or something that is no file."""
    try:
        file = io.FileIO(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return OpenFile(path, file)
