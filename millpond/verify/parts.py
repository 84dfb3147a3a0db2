"""Windows of several objects in the coverage report: which parts are missing, and which belong to nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from millpond.archive.catalog import PartitionListing
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.parts import part_keys, read_document, windows_in_parts
from millpond.errors import DamagedArchive
from millpond.storage.contract import ObjectStore

NAMED = 100
"""Missing parts that a report names; the sum counts all."""


@dataclass(frozen=True, slots=True)
class PartsFindings:
    """What the lists of parts and the listing say together.

    Attributes:
        windows: Lists, superseded ones too.
        missing: Keys that a list names and nothing is under, and keys of lists that are none; at most `NAMED`.
        missing_count: All of them: damage.
        orphans: Parts that no list names: left by a crash, they count for nothing.
    """

    windows: int = 0
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    orphans: int = 0
    orphan_bytes: int = 0

    def __add__(self, other: PartsFindings) -> PartsFindings:
        return PartsFindings(
            self.windows + other.windows,
            (self.missing + other.missing)[:NAMED],
            self.missing_count + other.missing_count,
            self.orphans + other.orphans,
            self.orphan_bytes + other.orphan_bytes,
        )

    def document(self) -> Json:
        return {
            "windows": self.windows,
            "missing": list(self.missing),
            "missing_count": self.missing_count,
            "orphans": self.orphans,
            "orphan_bytes": self.orphan_bytes,
        }


NO_PARTS = PartsFindings()


def parts_findings(store: ObjectStore, layout: Layout, listing: PartitionListing) -> PartsFindings:
    """Reads the lists of the partition; reads nothing where there are none."""
    lists = list(windows_in_parts(listing))
    if not lists and not listing.parts:
        return NO_PARTS
    there = {part.info.key for part in listing.parts}
    listed: set[str] = set()
    missing: list[str] = []
    for window in lists:
        try:
            newest = replace(window.info, etag="")  # a redaction may have replaced it since it was listed
            document = read_document(store, layout, listing.partition, window.name, newest)
        except DamagedArchive:
            missing.append(window.info.key)
            continue
        keys = part_keys(layout, listing.partition, document)
        listed.update(keys)
        missing += [key for key in keys if key not in there]
    orphans = [part.info for part in listing.parts if part.info.key not in listed]
    return PartsFindings(
        len(lists), tuple(missing[:NAMED]), len(missing), len(orphans), sum(info.size_bytes for info in orphans)
    )
