"""What the backup finds out about a partition besides its records: markers and events, written before any window."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from millpond.archive.catalog import list_incarnations
from millpond.archive.coverage import Span
from millpond.archive.documents import parse_object
from millpond.archive.events import write_event
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.keys import EventKey, Incarnation, Layout, PartitionId
from millpond.archive.names import GapName, GapReason
from millpond.errors import DamagedArchive
from millpond.storage.contract import ObjectInfo, ObjectStore, read

_LOG = logging.getLogger(__name__)
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass
class Findings:
    """Writes markers and events, each once, and counts them.

    Attributes:
        gaps, events: How many were written, by reason and by kind.
    """

    store: ObjectStore
    layout: Layout
    gaps: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def retention(self, partition: PartitionId, first: int, log_start: int, now_ms: int) -> None:
        """Kafka removed the offsets from `first` to before `log_start` before they were read."""
        name = GapName(first, log_start - 1, GapReason.RETENTION)
        write_gap(self.store, self.layout, Gap(partition, name, now_ms, {"log_start": log_start}))
        self.gaps[GapReason.RETENTION] += 1

    def recreated(self, incarnation: Incarnation, now_ms: int) -> None:
        """Once, for an incarnation that follows others and has no folder yet."""
        known = list_incarnations(self.store, self.layout, incarnation.topic)
        if known and incarnation not in known:
            self._event(incarnation, "recreated", now_ms, {"earlier": sorted(other.topic_id for other in known)})

    def undecided(self, partition: PartitionId, successor: str, span: Span, now_ms: int) -> None:
        """Records that are kept under an incarnation although its successor may have given them."""
        facts = {"partition": partition.partition, "by": successor, "undecided": [span.first, span.last]}
        self._event(partition.incarnation, "recreated", now_ms, facts)

    def missing(self, partition: PartitionId, spans: Sequence[Span], committed: int, now_ms: int) -> None:
        """Offsets that this archive once held and no object covers any more."""
        ranges = [[span.first, span.last] for span in spans]
        facts = {"partition": partition.partition, "missing": ranges}
        # The commit moves on when what comes behind the hole is stored, which is nothing new to tell.
        self._once(partition.incarnation, "missing", now_ms, facts, beside={"committed": committed})

    def truncated(
        self, partition: PartitionId, branch_point: int, end: int, epochs: tuple[int, int], now_ms: int
    ) -> None:
        """Kafka's log was cut: from `branch_point` on it has other records than the archive, which reached to `end`.

        Args:
            epochs: Leader epoch of the archive's newest window before, and that of the log's end.
        """
        facts = {
            "partition": partition.partition,
            "branch_point": branch_point,
            "archived_to": end - 1,
            "old_epoch": epochs[0],
            "new_epoch": epochs[1],
        }
        self._once(partition.incarnation, "truncated", now_ms, facts)

    def tombstones(self, partition: PartitionId, span: Span, delete_retention_ms: int, now_ms: int) -> None:
        """Unread offsets of a compacted topic that waited so long that deletions may be gone."""
        facts = {
            "partition": partition.partition,
            "first": span.first,
            "last": span.last,
            "delete_retention_ms": delete_retention_ms,
        }
        self._once(partition.incarnation, "tombstones-maybe-lost", now_ms, facts)

    def _once(
        self,
        incarnation: Incarnation,
        kind: str,
        now_ms: int,
        facts: Mapping[str, object],
        *,
        beside: Mapping[str, object] = _NOTHING,
    ) -> None:
        """Nothing where the same was said before, whatever was said `beside` it: a backup that starts again finds the
        same again."""
        if not any(facts.items() <= said.items() for said in self._said(incarnation, kind)):
            self._event(incarnation, kind, now_ms, {**facts, **beside})

    def _said(self, incarnation: Incarnation, kind: str) -> list[dict[str, object]]:
        folder = f"{self.layout.incarnation(incarnation)}events/"
        keys = [entry.key for entry in self.store.list(folder) if isinstance(entry, ObjectInfo)]
        known = [key for key in keys if isinstance(what := self.layout.parse(key), EventKey) and what.kind == kind]
        return [said for key in known if (said := self._read(key)) is not None]

    def _read(self, key: str) -> dict[str, object] | None:
        """None for what is no event: records do not depend on it, so it must not keep them from being backed up."""
        try:
            return parse_object(read(self.store, key), key)
        except DamagedArchive as error:
            _LOG.warning("left out an event: %s", error.args[0])
            return None

    def _event(self, incarnation: Incarnation, kind: str, now_ms: int, facts: Mapping[str, object]) -> None:
        write_event(self.store, self.layout, incarnation, kind, now_ms, facts)
        self.events[kind] += 1
