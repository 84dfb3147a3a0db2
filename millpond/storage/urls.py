"""From the URL of an archive to the store that holds it. Nothing is asked of the store here."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from millpond.errors import WrongUsage
from millpond.storage.contract import ObjectStore
from millpond.storage.folder import FolderStore
from millpond.storage.keys import checked_key
from millpond.storage.s3 import S3Store

MAX_PREFIX_LENGTH = 300  # leaves 724 of S3's 1,024 bytes for the longest name below it

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FORMS = "write s3://bucket/prefix or file:///folder"


def open_store(url: str, *, endpoint_url: str | None = None, region: str | None = None) -> tuple[ObjectStore, str]:
    """The store, and the prefix of the archive in it without slashes at its ends ("" for a folder).

    Messages never repeat the URL whole: people paste credentials into it.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "s3":
        return _bucket(rest, endpoint_url, region)
    if separator and scheme == "file":
        return _folder(url)
    raise WrongUsage("the archive's URL is neither s3:// nor file://", hint=_FORMS)


def _bucket(rest: str, endpoint_url: str | None, region: str | None) -> tuple[ObjectStore, str]:
    bucket, _, path = rest.partition("/")
    if "@" in bucket:
        raise WrongUsage("the archive's URL holds credentials", hint="leave them to the AWS environment or profile")
    if not _BUCKET.fullmatch(bucket):
        raise WrongUsage(f"{bucket!r} is no name of a bucket", hint=_FORMS)
    prefix = path.strip("/")
    if len(prefix) > MAX_PREFIX_LENGTH:
        raise WrongUsage(f"a prefix of {len(prefix)} characters", hint=f"at most {MAX_PREFIX_LENGTH}")
    return S3Store(bucket, endpoint_url=endpoint_url, region=region), checked_key(prefix) if prefix else ""


def _folder(url: str) -> tuple[ObjectStore, str]:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or "\0" in str(path) or not path.is_absolute():
        raise WrongUsage("the archive's URL names no folder", hint="write file:///folder, with three slashes")
    if ".." in path.parts or path == Path(path.anchor):
        raise WrongUsage(
            f"the folder {str(path)!r} cannot be an archive", hint="name a folder of its own, without '..'"
        )
    return FolderStore(path), ""
