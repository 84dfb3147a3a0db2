"""Files that a client read when it was made, and whether they have changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class WatchedFiles:
    """Sees each change of a file once it is whole; a file that is just being replaced counts as it was."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def digest(self, paths: Iterable[str]) -> str:
        """Changes with path, size or time of any file; "" for no paths. Reads no file."""
        names = sorted(set(paths))
        for name in names:
            with suppress(OSError):
                found = Path(name).stat()
                self._seen[name] = found.st_size, found.st_mtime_ns
        if not names:
            return ""
        known = [(name, *self._seen.get(name, ())) for name in names]
        return hashlib.sha256(repr(known).encode()).hexdigest()
