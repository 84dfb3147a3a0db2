"""What the archive holds of one partition, listed with as few calls as its size allows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from millpond.archive.catalog import PartitionListing, listing_of
from millpond.archive.coverage import Span, covered, epochs_before, union
from millpond.archive.keys import Layout, PartitionId
from millpond.storage.contract import ObjectInfo, ObjectStore

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Archived:
    """A partition's objects, or the newest of them.

    Attributes:
        base: Everything below was archived before and was not listed.
    """

    listing: PartitionListing
    base: int = 0

    @property
    def partition(self) -> PartitionId:
        return self.listing.partition

    @property
    def surely(self) -> list[Span]:
        """Offsets that need not be read again: markers in doubt count as not read."""
        return self._with_base(covered((w.name for w in self.listing.windows), self.listing.gaps, doubt=min))

    @property
    def covered(self) -> list[Span]:
        """Offsets that a live window or marker speaks for."""
        return self._with_base(self.listing.covered())

    @property
    def end(self) -> int:
        """The offset behind all that is covered."""
        return max((span.last + 1 for span in self.covered), default=0)

    @property
    def newest_ms(self) -> int:
        """When its newest object was stored, epoch ms; 0 where there is none."""
        return max((window.info.modified_ms for window in self.listing.windows), default=0)

    def lists(self, layout: Layout, key: str) -> bool:
        """Whether an object of this key was listed."""
        gaps = (layout.object(self.partition, gap) for gap in self.listing.gaps)
        return any(window.info.key == key for window in self.listing.windows) or key in gaps

    def epoch_before(self, position: int) -> int:
        """Leader epoch of the newest live window before the position, -1 where there is none."""
        before = ((live.span.last, live.window.name.epoch) for live in self.listing.live() if live.span.last < position)
        return max(before, default=(-1, -1))[1]

    def is_doubtful(self, position: int) -> bool:
        """Whether a marker that starts there would take several epochs."""
        names = (window.name for window in self.listing.windows)
        return len(epochs_before(names, self.listing.gaps, position)) > 1

    def _with_base(self, spans: list[Span]) -> list[Span]:
        return union([*spans, Span(0, self.base - 1)]) if self.base else spans


def list_archived(store: ObjectStore, layout: Layout, partition: PartitionId, newest_key: str) -> Archived:
    """Lists the partition's folder.

    Args:
        newest_key: The newest object by the group's commit, or "". Where a folder has more than a page of objects the
            listing starts there, if the object still stands.
    """
    folder = layout.folder(partition)
    entries = store.list(folder, delimiter="/")
    first = list(islice(entries, _PAGE))
    page = [entry for entry in first if isinstance(entry, ObjectInfo)]
    if len(first) == _PAGE and newest_key.startswith(folder) and newest_key > page[-1].key:
        tail = [e for e in store.list(folder, after=newest_key[:-1], delimiter="/") if isinstance(e, ObjectInfo)]
        if tail and tail[0].key == newest_key:
            found = listing_of(layout, partition, tail)
            firsts = [*(window.name.first for window in found.windows), *(gap.first for gap in found.gaps)]
            return Archived(found, base=min(firsts, default=0))
    page += (entry for entry in entries if isinstance(entry, ObjectInfo))
    return Archived(listing_of(layout, partition, page))
