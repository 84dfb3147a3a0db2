"""What the archive asks of an object store: seven calls, the same promises from S3, a local folder and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, Protocol, TypeAlias

from millpond.errors import MillpondError

Body: TypeAlias = bytes | BinaryIO
"""Content to store: bytes, or a seekable binary stream that is read from its start."""

NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one object, or of one version of it, without reading it.

    Attributes:
        key: Full key in the store, '/' between its parts.
        size_bytes: Length of the content.
        etag: Changes whenever the content does; opaque.
        version: Names this content for ever; "" where the store keeps no versions, and in listings (S3 does not tell).
        modified_ms: When it was stored, epoch ms; 0 from a put to S3, which does not tell.
        metadata: User metadata, keys in lower case. Only `head` and the puts fill it; listings leave it empty.
    """

    key: str
    size_bytes: int
    etag: str
    version: str = ""
    modified_ms: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of a key, newest first in a version listing; `marker` is a delete marker and has no content."""

    info: ObjectInfo
    latest: bool
    marker: bool = False


class StorageError(MillpondError):
    """A call to the object store failed; the message names the call and the key."""


class NoSuchObject(StorageError):
    """Nothing is stored under this key (or this version of it)."""


class AlreadyThere(StorageError):
    """`put_if_absent` found the key taken; nothing was written by the try that found it.

    It may be taken by this very call: an earlier try was stored and its answer lost on the way, so the store was asked
    again. Compare (`head`) before taking it for another's. The same is true of `Changed` from `put_if_match`, and after
    `TryAgain` a put may or may not have been stored.
    """


class Changed(StorageError):
    """`put_if_match` or a pinned read found other content than it was told to expect. See `AlreadyThere`."""


class ObjectStore(Protocol):
    """An object store.

    Every call raises `StorageError`, or one of the classes above where a docstring names it. Missing buckets, refused
    credentials and impossible keys are `millpond.errors.WrongUsage`, a store that does not answer is
    `millpond.errors.TryAgain`. Listings raise when they are read, not when they are asked for.

    Keys have no empty, '.' or '..' parts, and no key continues another one with '/': a folder on disk could not hold
    both. Metadata has lower-case names and printable ASCII values, 2 KB in all.
    """

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        """Store `body` where nothing is. Of any number of concurrent callers exactly one wins; others get
        `AlreadyThere`."""

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        """Replace the content that has this etag, and its metadata. `Changed` where it has another, `NoSuchObject`
        where there is none."""

    def open(
        self, key: str, *, version: str = "", etag: str = "", start: int = 0, length: int | None = None
    ) -> BinaryIO:
        """A stream of the content from byte `start`, `length` bytes or all; what lies beyond the end is empty. With
        `version`, of that version; with `etag`, `Changed` if the content has another. `NoSuchObject` where there is
        none. The caller closes it. Its `read(n)` gives n bytes until the content ends, and raises `TryAgain` when a
        connection breaks or brings other bytes than were stored."""

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        """The object's facts with its metadata, or None."""

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        """Newest content of all keys that begin with `prefix`, in byte order of their names, page by page. With
        `delimiter`, keys that hold it beyond the prefix are rolled up into one `str`, ending with it, for each. Only
        names greater than `after` are given, rolled-up ones too."""

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """All versions and delete markers below `prefix`, by key, newest first within one key. A store that keeps no
        versions yields each object once."""

    def delete_version(self, key: str, version: str) -> None:
        """Remove one version for good (with version "", in a store without versions, the object). Absent is success.
        Never makes a delete marker."""


def read(store: ObjectStore, key: str, *, version: str = "", etag: str = "") -> bytes:
    """All bytes of one object. Meant for small ones: manifests, markers, results."""
    with store.open(key, version=version, etag=etag) as stream:
        return stream.read()
