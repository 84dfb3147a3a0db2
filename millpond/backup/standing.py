"""What a backup remembers over all its connections: up to when each partition is backed up, and which topics went."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from millpond.backup.status import Gone, GoneTopic, PartitionState, PartitionStatus
from millpond.kafka.places import Place

_LOG = logging.getLogger(__name__)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class _Unread:
    """A state other than reading, and since when (epoch ms)."""

    state: PartitionState
    since_ms: int


class PartitionClocks:
    """Up to when the archive is known to hold all of each partition.

    The age of a recovery point is easy to tell of a partition that is read. One that is not has no records that wait,
    and would seem well: it counts from the last moment at which all of it was stored, or from when it was given.
    """

    def __init__(self) -> None:
        self._complete_ms: dict[Place, int] = {}
        self._unread: dict[Place, _Unread] = {}

    def read(self, place: Place, unstored_since_ms: int | None, heard_ms: int) -> None:
        """It is read, and what waits for the archive has waited since then; None where nothing did when the brokers
        were last heard of."""
        self._complete_ms[place] = heard_ms if unstored_since_ms is None else unstored_since_ms
        self._unread.pop(place, None)

    def unread(self, place: Place, state: PartitionState, now_ms: int, *, reason: str = "") -> PartitionStatus:
        """It is held and not read."""
        known = self._unread.get(place)
        if known is None or known.state is not state:
            known = self._unread[place] = _Unread(state, now_ms)
        complete_ms = self._complete_ms.setdefault(place, now_ms)
        return PartitionStatus(
            *place, state, unstored_since_ms=complete_ms, state_since_ms=known.since_ms, reason=reason
        )

    def lost(self, held: Iterable[Place], in_group: bool, now_ms: int) -> list[PartitionStatus]:
        """Partitions that were held, while the process is in no group; the group has given all others to others."""
        gone = sorted(self._complete_ms.keys() - set(held))
        if not in_group:
            return [self.unread(place, PartitionState.LOST, now_ms) for place in gone]
        for place in gone:
            del self._complete_ms[place]
            self._unread.pop(place, None)
        return []


class TopicsGone:
    """Selected topics that were there and are not any more. A deletion is nothing wrong, but nobody should miss it.

    Attributes:
        known: Topics to be asked for by name: a list of topics leaves out what the user may not describe.
    """

    def __init__(self) -> None:
        self.known: frozenset[str] = frozenset()
        self._gone: dict[str, GoneTopic] = {}

    def look(self, found: Iterable[str], refused: Iterable[str], now_ms: int) -> None:
        """What was found just now, and what may not be described."""
        there, refused = frozenset(found), frozenset(refused)
        for topic in there & self._gone.keys():
            _LOG.warning("topic %s is there again", topic, extra={"topic": topic})
            del self._gone[topic]
        for topic in sorted(self.known - there):
            self._is_gone(topic, Gone.REFUSED if topic in refused else Gone.DELETED, now_ms)
        self.known = there | {topic for topic, gone in self._gone.items() if gone.why is Gone.REFUSED}

    def _is_gone(self, topic: str, why: Gone, now_ms: int) -> None:
        known = self._gone.get(topic)
        if known is not None and known.why is why:
            return
        self._gone[topic] = GoneTopic(topic, why, now_ms)
        if why is Gone.REFUSED:
            _LOG.error("topic %s is no longer backed up: the user may not describe it", topic, extra={"topic": topic})
        else:
            _LOG.warning("topic %s was deleted; the archive keeps it", topic, extra={"topic": topic})

    def told(self, now_ms: int) -> tuple[GoneTopic, ...]:
        """Those that are refused, and those that were deleted within a day."""
        self._gone = {
            topic: gone
            for topic, gone in self._gone.items()
            if gone.why is Gone.REFUSED or now_ms - gone.since_ms < _DAY_MS
        }
        return tuple(self._gone[topic] for topic in sorted(self._gone))


@dataclass(frozen=True, slots=True)
class Standing:
    """Both, for one process."""

    partitions: PartitionClocks = field(default_factory=PartitionClocks)
    topics: TopicsGone = field(default_factory=TopicsGone)
