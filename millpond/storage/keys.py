"""What may be a key or user metadata in every store. The strictest store decides: a name that S3 takes and a folder
cannot hold (or the reverse) would make archives that cannot be copied from one to the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from millpond.errors import WrongUsage
from millpond.storage.contract import ObjectInfo

MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048  # S3 counts names and values together

_METADATA_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")  # S3 gives names back in lower case, whatever was sent
_METADATA_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?|")  # HTTP strips outer spaces; S3 garbles what is not ASCII


def checked_key(key: str) -> str:
    """The key, if every store can hold it; `WrongUsage` if not."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise WrongUsage(f"the key {key!r} is not valid Unicode") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise WrongUsage(f"a key of {size} bytes: {key!r}", hint=f"keys have 1 to {MAX_KEY_BYTES} bytes")
    if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise WrongUsage(f"the key {key!r} cannot be stored", hint="no empty, '.' or '..' parts, and no NUL in keys")
    return key


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """A copy of the metadata, if S3 gives it back as it was; `WrongUsage` if not."""
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name) or not _METADATA_VALUE.fullmatch(value):
            raise WrongUsage(
                f"the metadata {name!r} cannot be stored", hint="lower-case names, printable ASCII values, trimmed"
            )
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > MAX_METADATA_BYTES:
        raise WrongUsage(f"{size} bytes of metadata", hint=f"S3 takes {MAX_METADATA_BYTES} bytes in all")
    return dict(metadata)


def checked_etag(etag: str) -> str:
    """The etag that a replacement expects; without one, some stores would replace anything."""
    if not etag:
        raise ValueError("a replacement without an etag")
    return etag


def checked_span(start: int, length: int | None) -> tuple[int, int | None]:
    """First byte and end (exclusive; None is the end of the content) of a read."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError(f"a read from {start} of {length} bytes")
    return start, None if length is None else start + length


def rolled_up(infos: Iterable[ObjectInfo], prefix: str, after: str, delimiter: str) -> Iterator[ObjectInfo | str]:
    """The objects, in order; those that share a name up to the next delimiter beyond the prefix become that name."""
    folder = ""
    for info in infos:
        cut = info.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            yield info
            continue
        name = info.key[: cut + len(delimiter)]
        if name != folder and name > after:
            yield name
        folder = name
