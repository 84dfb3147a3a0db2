"""Windows written as several objects, in the plan: a line for each part and, behind all parts, one for each list.

A part whose path says by its bucket that no subject is in it keeps its line, so that the reckoning finds it, but nobody
reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from millpond.archive.documents import Json
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import PartName, WindowName
from millpond.archive.parts import PartsDocument, part_keys, read_document
from millpond.erasure.buckets import bucketed, cannot_hold, overlaps
from millpond.erasure.policy import SearchedTopic
from millpond.erasure.request import RedactRequest
from millpond.erasure.secret import ErasureSecret, keyed_hash
from millpond.erasure.versions import with_content
from millpond.errors import DamagedArchive
from millpond.storage.contract import Changed, NoSuchObject, ObjectStore, ObjectVersion

IN_NAMES = "identifiers in names"


@dataclass(frozen=True, slots=True)
class ListOfParts:
    """A `.parts` object in scope."""

    key: str
    versions: list[ObjectVersion]
    partition: PartitionId
    name: WindowName


@dataclass(slots=True)
class PartsPlanner:
    """Adds the lists to the lines of a plan.

    Attributes:
        lines: Of windows in one object and of parts; line n is the n-th.
        skipped: How many parts nobody will read.
        in_names: By topic, parts whose names may tell who somebody is.
    """

    store: ObjectStore
    layout: Layout
    archive_id: str
    request: RedactRequest
    secret: ErasureSecret
    lines: list[Json]
    skipped: int = 0
    in_names: Counter[str] = field(default_factory=Counter)

    def with_lists(self, lists: Sequence[ListOfParts]) -> list[Json]:
        """All lines: first those that were there, the skipped ones marked, then one for each list."""
        numbers = {line["key"]: number for number, line in enumerate(self.lines)}
        hashes = self._hashes()
        members: list[list[int]] = []
        for entry in lists:
            document = self._document(entry)
            keys = part_keys(self.layout, entry.partition, document) if document else []
            members.append([numbers[key] for key in keys if key in numbers])
            searched = self.request.policy.searched(entry.partition.topic)
            if document is not None and searched is not None:
                self._skip(document, entry, searched, members[-1], hashes)
                self._note_names(document, entry.partition.topic, searched)
        self.skipped = sum("skip" in line for line in self.lines)
        return [*self.lines, *(self._line(entry, found) for entry, found in zip(lists, members, strict=True))]

    def exceptions(self) -> Iterator[Json]:
        """Records can be taken out of objects, and not out of their names."""
        for topic, parts in sorted(self.in_names.items()):
            yield {"kind": IN_NAMES, "topic": topic, "objects": parts}

    def _line(self, entry: ListOfParts, members: Sequence[int]) -> Json:
        parts = [{"line": number, **self.lines[number]} for number in members]
        return {"key": entry.key, "versions": [version.info.version for version in entry.versions], "parts": parts}

    def _document(self, entry: ListOfParts) -> PartsDocument | None:
        """What the newest version lists; None where it is no list. Its parts are searched all the same, one by one."""
        info = with_content(entry.versions)[0].info
        try:
            return read_document(self.store, self.layout, entry.partition, entry.name, info, self.archive_id)
        except (DamagedArchive, NoSuchObject, Changed):
            return None

    def _hashes(self) -> dict[tuple[str, str], set[str]]:
        """Of the subjects under every key of the secret: windows may be older than the newest."""
        found: dict[tuple[str, str], set[str]] = {}
        for key_id in self.secret.keys:
            check = self.secret.check(key_id, self.archive_id)
            for subject in self.request.subjects:
                key = self.secret.derived(key_id, self.archive_id, subject.type)
                found.setdefault((check, subject.type), set()).add(keyed_hash(key, subject.canonical()))
        return found

    def _skip(
        self,
        document: PartsDocument,
        entry: ListOfParts,
        searched: SearchedTopic,
        members: Sequence[int],
        hashes: dict[tuple[str, str], set[str]],
    ) -> None:
        """Of several versions one may hold anything, whatever the newest list says of its name."""
        declarations, places = bucketed(document.partition_by), searched.places_of(self.request.types)
        if not declarations or len(entry.versions) != 1:
            return
        for line in (self.lines[number] for number in members):
            path = self._path(line["key"])
            if len(line["versions"]) == 1 and cannot_hold(path, declarations, places, hashes):
                line["skip"] = True

    def _path(self, key: str) -> str:
        found = self.layout.parse(key)
        name = getattr(found, "name", None)
        return name.path if isinstance(name, PartName) else ""

    def _note_names(self, document: PartsDocument, topic: str, searched: SearchedTopic) -> None:
        clear = [str(entry.get("source", "")) for entry in document.partition_by if "bucket" not in entry]
        if any(overlaps(source, place) for source in clear for place in searched.places_of(self.request.types)):
            self.in_names[topic] += len(document.parts)
