"""Windows written as several objects: the document that lists the parts and speaks for them.

It is written after all parts, and it alone gives coverage. A part that no document lists counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from millpond.archive.catalog import PartitionListing, WindowObject
from millpond.archive.documents import Json, parse_object
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.keys import Layout, PartitionId, PartitionObject
from millpond.archive.names import PartName, WindowName
from millpond.errors import DamagedArchive
from millpond.storage.contract import ObjectInfo, ObjectStore, read

NO_SALT, NO_DIGEST = "0" * 32, "0" * 64
"""Of a window one of whose parts was redacted: a digest of all records would have to be made from all of them."""


@dataclass(frozen=True, slots=True)
class PartEntry:
    """What a document says of one part.

    Attributes:
        key: Below the partition's folder.
        redactions: How many sweeps had rewritten the part when the document was written.
    """

    key: str
    count: int
    size_bytes: int
    min_timestamp: int
    max_timestamp: int
    salt: str
    digest: str
    redactions: int = 0

    @classmethod
    def of(cls, key: str, facts: WindowFacts) -> PartEntry:
        return cls(
            key,
            facts.count,
            facts.size_bytes,
            facts.min_timestamp,
            facts.max_timestamp,
            facts.salt,
            facts.digest,
            len(facts.redactions),
        )


@dataclass(frozen=True, slots=True)
class PartsDocument:
    """The body of a `.parts` object.

    Attributes:
        facts: Of the window as a whole.
        partition_by: What the paths are made of, one entry for each `name=value` part of them.
        parts: In the order of their numbers.
    """

    facts: WindowFacts
    partition_by: tuple[Json, ...]
    parts: tuple[PartEntry, ...]

    @property
    def name(self) -> WindowName:
        """The window's name, without twin."""
        return replace(self.facts.name, parts=True)

    @property
    def proven(self) -> bool:
        """Whether the digest is one of all records of the window."""
        return self.facts.digest != NO_DIGEST

    def body(self) -> bytes:
        window = {name.removeprefix(_PREFIX): text.decode() for name, text in self.facts.to_file_metadata().items()}
        parts = [{_SHORT.get(name, name): getattr(part, name) for name in PartEntry.__slots__} for part in self.parts]
        content = {"window": window, "partition_by": list(self.partition_by), "parts": parts}
        return json.dumps(content, indent=1).encode()

    @classmethod
    def parse(cls, content: bytes, layout: Layout, partition: PartitionId, what: str) -> PartsDocument:
        """Raises `DamagedArchive`, with `what` in it, for anything that was not written so for this partition."""
        found = parse_object(content, what)
        window, listed, paths = found.get("window"), found.get("parts"), found.get("partition_by")
        if not _is_texts(window) or not isinstance(listed, list) or not listed or not _are_objects(paths):
            raise DamagedArchive(f"{what} is not the list of a window's parts")
        facts = WindowFacts.from_file_metadata({_PREFIX + name: text.encode() for name, text in window.items()})
        document = cls(facts, tuple(paths), tuple(_entry(part, what) for part in listed))
        document._refuse_contradictions(layout, partition, what)
        return document

    def _refuse_contradictions(self, layout: Layout, partition: PartitionId, what: str) -> None:
        facts, folder = self.facts, layout.folder(partition)
        parsed = [layout.parse(folder + part.key) for part in self.parts]
        names = [found.name if isinstance(found, PartitionObject) else None for found in parsed]
        theirs = [name.window if isinstance(name, PartName) else None for name in names]
        numbers = [name.index if isinstance(name, PartName) else None for name in names]
        if set(theirs) != {facts.name} or numbers != list(range(len(names))):
            raise DamagedArchive(f"{what} lists what are no parts of its window, or not each of them once")
        sums = sum(part.count for part in self.parts), sum(part.size_bytes for part in self.parts)
        if sums != (facts.count, facts.size_bytes):
            raise DamagedArchive(
                f"{what} states {facts.count} records in {facts.size_bytes} bytes, its parts {sums[0]} in {sums[1]}"
            )


def document_of(
    whole: WindowFacts, partition_by: Iterable[Json], parts: Sequence[tuple[str, WindowFacts]]
) -> PartsDocument:
    """The document of a window with these parts (key below the partition's folder, and facts), as they are now.

    Args:
        whole: Facts of the window; count, bytes, digest and redactions follow from the parts once one was redacted.
    """
    redactions = _united(facts.redactions for _, facts in parts)
    if redactions:
        whole = replace(
            whole,
            count=sum(facts.count for _, facts in parts),
            size_bytes=sum(facts.size_bytes for _, facts in parts),
            salt=NO_SALT,
            digest=NO_DIGEST,
            redactions=redactions,
        )
    return PartsDocument(whole, tuple(partition_by), tuple(PartEntry.of(key, facts) for key, facts in parts))


def read_document(
    store: ObjectStore, layout: Layout, partition: PartitionId, name: WindowName, info: ObjectInfo, archive_id: str = ""
) -> PartsDocument:
    """The document in exactly this version. With `archive_id`, it must be of that archive.

    Raises:
        DamagedArchive: It is none, or of another window or archive.
        NoSuchObject, Changed: The version is gone.
    """
    content = read(store, info.key, version=info.version, etag="" if info.version else info.etag)
    document = PartsDocument.parse(content, layout, partition, info.key)
    facts = document.facts
    facts.confirm(archive_id=archive_id or facts.archive_id, partition=partition, name=name)
    return document


def listed_parts(layout: Layout, listing: PartitionListing, document: PartsDocument, key: str) -> list[WindowObject]:
    """The parts that the document at `key` lists, as the listing has them; `DamagedArchive` where one is not there."""
    there = {part.info.key: part for part in listing.parts}
    keys = part_keys(layout, listing.partition, document)
    lacking = [part for part in keys if part not in there]
    if lacking:
        raise DamagedArchive(
            f"{key} lists {len(keys)} parts and {len(lacking)} of them are missing, {lacking[0]} for one",
            hint="the object may have been deleted; look for an older version of it in the bucket",
        )
    return [there[part] for part in keys]


def part_keys(layout: Layout, partition: PartitionId, document: PartsDocument) -> list[str]:
    """The full keys of the parts, in order."""
    return [layout.folder(partition) + part.key for part in document.parts]


def windows_in_parts(listing: PartitionListing) -> Iterator[WindowObject]:
    """Those of the windows that list parts, dead ones too."""
    return (window for window in listing.windows if window.name.parts)


_PREFIX = "millpond."
_SHORT = {"size_bytes": "bytes"}


def _entry(part: object, what: str) -> PartEntry:
    names = {name: _SHORT.get(name, name) for name in PartEntry.__slots__}
    kinds = {name: str if name in ("key", "salt", "digest") else int for name in names}
    if not isinstance(part, dict) or not all(isinstance(part.get(names[name]), kind) for name, kind in kinds.items()):
        raise DamagedArchive(f"{what} lists a part without saying what it holds")
    return PartEntry(**{name: part[short] for name, short in names.items()})


def _is_texts(found: object) -> TypeGuard[dict[str, str]]:
    return isinstance(found, dict) and all(isinstance(text, str) for text in found.values())


def _are_objects(found: object) -> TypeGuard[list[Json]]:
    return isinstance(found, list) and all(isinstance(entry, dict) for entry in found)


def _united(lists: Iterable[Sequence[Redaction]]) -> tuple[Redaction, ...]:
    """One entry for each sweep, with the sums of all parts, in order of time."""
    sums: dict[str, Redaction] = {}
    for entry in (entry for redactions in lists for entry in redactions):
        known = sums.get(entry.sweep)
        sums[entry.sweep] = entry if known is None else _added(known, entry)
    return tuple(sorted(sums.values(), key=lambda entry: entry.at))


def _added(one: Redaction, other: Redaction) -> Redaction:
    names: Mapping[str, Any] = {
        name: getattr(one, name) + getattr(other, name) for name in ("dropped", "tombstoned", "masked")
    }
    return replace(one, **names, at=max(one.at, other.at))
