"""What an archive holds by the words of `docs/format.md`, offset by offset, and by the product's own reading."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace

from millpond.archive.catalog import PartitionListing, read_partition
from millpond.archive.coverage import Live, overlapping
from millpond.archive.keys import Incarnation, PartitionId
from millpond.archive.names import GapName
from millpond.records import Record
from millpond.restore.writing.source import Part, PinnedWindow, Source
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.oracle import Folder, Held
from tests.unit.backup.model_client import PARTITION, TOPIC
from tests.unit.builders import LAYOUT


@dataclass
class View:
    """One incarnation of the partition.

    Attributes:
        windows: Each with all its records, also those of ranges that are dead.
        records: The union of what is live.
    """

    folder: Folder
    windows: list[tuple[Held, list[Record]]]
    records: dict[int, Record]

    def in_window(self, offset: int) -> bool:
        return any(held.first <= offset <= held.end for held, _ in self.windows)

    def reasons(self, offset: int) -> set[str]:
        """Of the live markers that speak for the offset."""
        ends = self.folder._marker_end
        return {reason for first, last, reason in self.folder.markers if first <= offset <= ends(first, last)}


def revived_without(folder: Folder, key: str, marker: tuple[int, int] | None) -> bool:
    """Whether, with the object gone, names of a branch that it ended count again.

    The page knows no cure for that: coverage is told by names alone, and what ended the branch had its name only there.
    """
    left = [window for window in folder.windows if window.key != key]
    cut = [
        replace(w, end=min([w.last, *(other.first - 1 for other in left if 0 <= w.epoch < other.epoch)])) for w in left
    ]
    rest = Folder(cut, [one for one in folder.markers if one[:2] != marker])
    before = {window.key: window.end for window in folder.windows}
    longer = any(window.end > before[window.key] for window in cut)
    ends, now = folder._marker_end, rest._marker_end
    return longer or any(now(first, last) > ends(first, last) for first, last, _ in rest.markers)


class Reader:
    """Reads; objects are never replaced, so each is decoded once."""

    def __init__(self, store: MemoryStore, archive_id: str) -> None:
        self._store, self._archive_id = store, archive_id
        self._decoded: dict[str, list[Record]] = {}

    def view(self, topic_id: str) -> View:
        folder = oracle.read_folders(self._store, LAYOUT, TOPIC, topic_id).get(PARTITION, Folder())
        windows = [(held, self._records(held, topic_id)) for held in folder.windows]
        records: dict[int, Record] = {}
        for held, found in windows:
            for record in (one for one in found if one.offset <= held.end):
                assert records.setdefault(record.offset, record) == record, f"two truths at {record.offset}"
        return View(folder, windows, records)

    def _records(self, held: Held, topic_id: str) -> list[Record]:
        info = self._store.head(held.key)
        assert info is not None
        if info.etag not in self._decoded:
            found = oracle.read_window_object(self._store, held, self._archive_id, TOPIC, topic_id, PARTITION)
            self._decoded[info.etag] = found[2]
        return self._decoded[info.etag]

    def events(self, topic_id: str, kind: str) -> list[dict[str, object]]:
        folder = LAYOUT.incarnation(Incarnation(TOPIC, topic_id)) + "events/"
        keys = [entry.key for entry in self._store.list(folder) if isinstance(entry, ObjectInfo)]
        return [json.loads(read(self._store, key)) for key in keys if key.endswith(f"-{kind}.json")]

    @staticmethod
    def key_of(partition: PartitionId, gap: GapName) -> str:
        return LAYOUT.object(partition, gap)

    # -- as the product reads

    def listing(self, topic_id: str) -> PartitionListing:
        return read_partition(self._store, LAYOUT, PartitionId(Incarnation(TOPIC, topic_id), PARTITION))

    def restored(self, topic_id: str) -> list[Record]:
        """What a restore would write, in order."""
        source, found = Source(self._store, LAYOUT, self._archive_id), []
        for group in overlapping(self.listing(topic_id).live()):
            pinned = [Live(PinnedWindow(one.window.info.key, "", one.window.info.etag), one.span) for one in group]
            with ExitStack() as stack:
                for batch in source.open(Part(tuple(pinned)), stack).batches():
                    found += [Record(*row) for row in batch]
        return found
