"""Metadata of a file in a hidden file beside it: `.<name>.json`, because the content must stay a plain Avro file.

Facts and content cannot be renamed in one step. So facts name the content that they belong to by its etag, are
written first, and during a replacement hold those of the old and of the new content. Whenever a crash comes, the
content that is there finds its own facts; facts without content are never looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from millpond.storage.contract import StorageError
from millpond.storage.folder_disk import file_at, replaced


@dataclass(frozen=True, slots=True)
class Facts:
    etag: str
    size_bytes: int
    metadata: Mapping[str, str]


def etag_of(found: os.stat_result) -> str:
    """`stamped` times are never given twice for one key; content is never changed in place."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def facts_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")


def write_facts(path: Path, facts: list[Facts], spare: Path) -> None:
    replaced(facts_path(path), json.dumps([asdict(one) for one in facts]).encode(), spare)


def metadata_of(path: Path, found: os.stat_result) -> Mapping[str, str] | None:
    """The metadata of this content; None if the content was replaced meanwhile."""
    facts = _read(path)
    mine = [one for one in facts if one.etag == etag_of(found)]
    if not mine and ((now := file_at(path)) is None or etag_of(now) != etag_of(found)):
        return None
    # Copying a folder changes the times of its files, and with them the etags.
    mine = mine or (facts if len(facts) <= 1 else [one for one in facts if one.size_bytes == found.st_size])
    if facts and len(mine) != 1:
        raise StorageError(
            f"cannot tell which metadata belongs to {path}",
            hint=f"look into {facts_path(path)}; a put was cut off there",
        )
    return mine[0].metadata if mine else {}


def _read(path: Path) -> list[Facts]:
    try:
        return [Facts(**one) for one in json.loads(facts_path(path).read_bytes())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"cannot read {facts_path(path)}: it is damaged", hint="remove it: it can be spared"
        ) from error
