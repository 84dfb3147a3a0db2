"""An object store in memory with versions, for tests. It is as poor as S3 on purpose: listings carry neither versions
nor metadata, and nothing but `delete` makes a delete marker.
"""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from millpond.clock import now_ms
from millpond.storage.contract import (
    NO_METADATA,
    AlreadyThere,
    Body,
    Changed,
    NoSuchObject,
    ObjectInfo,
    ObjectVersion,
)
from millpond.storage.keys import checked_etag, checked_key, checked_metadata, checked_span, rolled_up


@dataclass(frozen=True, slots=True)
class _Stored:
    info: ObjectInfo
    content: bytes
    marker: bool = False


class MemoryStore:
    """Versions are `v1`, `v2`, ... in the order of the writes, over all keys."""

    def __init__(self, *, clock_ms: Callable[[], int] = now_ms) -> None:
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._history: dict[str, list[_Stored]] = {}  # oldest first, never an empty list
        self._keys: list[str] = []  # sorted; code points and UTF-8 bytes sort alike
        self._writes = 0

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        content = _content(body)
        with self._lock:
            if self._newest(key):
                raise AlreadyThere(f"cannot put {key}: the key is taken")
            return self._write(checked_key(key), content, checked_metadata(metadata))

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        content = _content(body)
        with self._lock:
            self._demand(key, "", checked_etag(etag), "replace")
            return self._write(checked_key(key), content, checked_metadata(metadata))

    def open(
        self, key: str, *, version: str = "", etag: str = "", start: int = 0, length: int | None = None
    ) -> BinaryIO:
        first, end = checked_span(start, length)
        with self._lock:
            return io.BytesIO(self._demand(key, version, etag, "open").content[first:end])

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        with self._lock:
            found = self._find(key, version)
        return found.info if found else None

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        with self._lock:
            newest = [found.info for key in self._below(prefix, after) if (found := self._newest(key))]
        yield from rolled_up(map(_as_listed, newest), prefix, after, delimiter)

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        with self._lock:
            histories = [tuple(self._history[key]) for key in self._below(prefix, "")]
        for history in histories:
            for stored in reversed(history):
                yield ObjectVersion(
                    dataclasses.replace(stored.info, metadata={}), latest=stored is history[-1], marker=stored.marker
                )

    def delete_version(self, key: str, version: str) -> None:
        with self._lock:
            history = self._history.get(key, [])
            history[:] = [stored for stored in history if stored.info.version != version]
            if key in self._history and not history:
                del self._history[key]
                self._keys.remove(key)

    def delete(self, key: str) -> None:
        """What `aws s3 rm` does to a bucket with versions: a delete marker on top. Not part of the contract."""
        with self._lock:
            self._write(key, b"", {}, marker=True)

    def _write(self, key: str, content: bytes, metadata: dict[str, str], *, marker: bool = False) -> ObjectInfo:
        self._writes += 1
        info = ObjectInfo(
            key=key,
            size_bytes=len(content),
            etag="" if marker else hashlib.sha256(content).hexdigest()[:32],
            version=f"v{self._writes}",
            modified_ms=self._clock_ms(),
            metadata=metadata,
        )
        if key not in self._history:
            bisect.insort(self._keys, key)
        self._history.setdefault(key, []).append(_Stored(info, content, marker))
        return info

    def _newest(self, key: str) -> _Stored | None:
        history = self._history.get(key)
        return None if history is None or history[-1].marker else history[-1]

    def _find(self, key: str, version: str) -> _Stored | None:
        if not version:
            return self._newest(key)
        versions = (stored for stored in self._history.get(key, ()) if not stored.marker)
        return next((stored for stored in versions if stored.info.version == version), None)

    def _demand(self, key: str, version: str, etag: str, what: str) -> _Stored:
        found = self._find(key, version)
        if found is None:
            raise NoSuchObject(f"cannot {what} {key}: there is no such object")
        if etag and found.info.etag != etag:
            raise Changed(f"cannot {what} {key}: its content has changed")
        return found

    def _below(self, prefix: str, after: str) -> Iterator[str]:
        first = bisect.bisect_right(self._keys, after) if after >= prefix else bisect.bisect_left(self._keys, prefix)
        for index in range(first, len(self._keys)):
            if not self._keys[index].startswith(prefix):
                return
            yield self._keys[index]


def _content(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    body.seek(0)
    return body.read()


def _as_listed(info: ObjectInfo) -> ObjectInfo:
    return dataclasses.replace(info, version="", metadata={})
