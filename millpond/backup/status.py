"""What a running backup says of itself: one value, made anew every second, from which metrics and health are told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class PartitionState(StrEnum):
    """What a member of the group does with a partition that it has."""

    FINDING = "finding"
    """Its position is looked for."""
    READING = "reading"
    PAUSED = "paused"
    """Held back until the store or the spool has room."""
    STOPPED = "stopped"
    """Given up with an error; a person is needed."""
    LOST = "lost"
    """Held until the session with the group ended: as far as can be known, nobody reads it."""


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition at one moment.

    Attributes:
        position: The next offset to read, -1 while it is not known.
        stored: The next offset that is not in the archive, -1 while it is not known.
        end: The high watermark, -1 while it is not known.
        unstored_since_ms: Epoch ms since when the oldest record that is not in the archive waits; None if none waits.
            Of a partition that is not read: since when the archive may lack something of it.
        state_since_ms: Epoch ms since when it has been finding, stopped or lost; None while it is read.
        reason: Why it was stopped, as a short text without content of records.
    """

    topic: str
    partition: int
    state: PartitionState
    position: int = -1
    stored: int = -1
    end: int = -1
    unstored_since_ms: int | None = None
    state_since_ms: int | None = None
    reason: str = ""

    @property
    def lag(self) -> int:
        """Offsets that are not read yet; 0 where the end is not known."""
        return max(0, self.end - self.position) if self.position >= 0 and self.end >= 0 else 0

    def unstored_age_s(self, now_ms: int) -> float:
        """The recovery point: how much would be lost if Kafka were gone now, in seconds."""
        return _seconds_since(self.unstored_since_ms, now_ms)

    def state_age_s(self, now_ms: int) -> float:
        """For how many seconds it has been finding, stopped or lost; 0 while it is read."""
        return _seconds_since(self.state_since_ms, now_ms)


def _seconds_since(then_ms: int | None, now_ms: int) -> float:
    return 0.0 if then_ms is None else max(0, now_ms - then_ms) / 1000


class Gone(StrEnum):
    """Why a selected topic is no longer seen."""

    DELETED = "deleted"
    REFUSED = "refused"
    """The user may no longer describe it."""


@dataclass(frozen=True, slots=True)
class GoneTopic:
    """A topic that was there while the backup ran. `since_ms`: epoch ms when that was seen first."""

    topic: str
    why: Gone
    since_ms: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Sums since the process started.

    Attributes:
        records, record_bytes: Read, and bytes of their encoding before compression.
        objects, object_bytes: Windows and markers that were stored, and their bytes in the store.
        upload_seconds: Time spent in uploads that succeeded.
        upload_failures: Tries that failed and were or will be tried again.
        gaps: Markers written, by reason.
        events: Events written, by kind (truncated, missing, recreated, tombstones-maybe-lost).
        topic_errors: Errors of partitions, by topic; each stopped a partition or made it look for its position again.
    """

    records: int = 0
    record_bytes: int = 0
    objects: int = 0
    object_bytes: int = 0
    upload_seconds: float = 0.0
    upload_failures: int = 0
    rebalances: int = 0
    gaps: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    topic_errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackupStatus:
    """One member of the group, or several processes of one command together.

    Attributes:
        at_ms: When this was true, epoch ms; a status that grows old tells of a loop that hangs.
        started_ms: When the process started, epoch ms.
        heard_ms: When the brokers last answered anything, epoch ms.
        stored_ms: When something was last stored, epoch ms; 0 before the first.
        uploads_failing_since_ms: Epoch ms since when no upload has succeeded although some were tried; None if all is
            well.
        spool_bytes, spool_limit_bytes: On the local disk, and what is allowed.
        gone: Topics that are no longer seen: all that are refused, and those that were deleted a short while ago.
        snapshots_ms: Epoch ms of the newest snapshots by kind (groups, cluster), told by the worker that takes them;
            before its first one, since when it has been the one.
    """

    at_ms: int
    started_ms: int
    heard_ms: int
    stored_ms: int = 0
    uploads_failing_since_ms: int | None = None
    spool_bytes: int = 0
    spool_limit_bytes: int = 0
    counters: Counters = field(default_factory=Counters)
    partitions: tuple[PartitionStatus, ...] = ()
    gone: tuple[GoneTopic, ...] = ()
    snapshots_ms: Mapping[str, int] = field(default_factory=dict)


def starting(started_ms: int, now_ms: int) -> BackupStatus:
    """Before there is more to tell. The brokers are taken to have answered at the start."""
    return BackupStatus(at_ms=now_ms, started_ms=started_ms, heard_ms=started_ms)


def together(parts: Iterable[BackupStatus]) -> BackupStatus:
    """Several processes as one. The oldest `at_ms` counts, so that one that hangs shows."""
    told = list(parts)
    failing = [part.uploads_failing_since_ms for part in told if part.uploads_failing_since_ms is not None]
    return BackupStatus(
        at_ms=min(part.at_ms for part in told),
        started_ms=min(part.started_ms for part in told),
        heard_ms=min(part.heard_ms for part in told),
        stored_ms=max(part.stored_ms for part in told),
        uploads_failing_since_ms=min(failing, default=None),
        spool_bytes=sum(part.spool_bytes for part in told),
        spool_limit_bytes=sum(part.spool_limit_bytes for part in told),
        counters=_sum([part.counters for part in told]),
        partitions=tuple(
            sorted((one for part in told for one in part.partitions), key=lambda p: (p.topic, p.partition))
        ),
        gone=_once_each(one for part in told for one in part.gone),
        snapshots_ms=_newest(part.snapshots_ms for part in told),
    )


def _once_each(gone: Iterable[GoneTopic]) -> tuple[GoneTopic, ...]:
    """All workers look for all topics: what was seen first counts."""
    first: dict[str, GoneTopic] = {}
    for one in sorted(gone, key=lambda one: (one.topic, one.since_ms)):
        first.setdefault(one.topic, one)
    return tuple(first.values())


def _newest(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for kind, at_ms in part.items():
            found[kind] = max(at_ms, found.get(kind, at_ms))
    return found


def _sum(counters: list[Counters]) -> Counters:
    plain = ("records", "record_bytes", "objects", "object_bytes", "upload_seconds", "upload_failures", "rebalances")
    sums = {name: sum(getattr(one, name) for one in counters) for name in plain}
    return Counters(
        **sums,
        gaps=_merged(one.gaps for one in counters),
        events=_merged(one.events for one in counters),
        topic_errors=_merged(one.topic_errors for one in counters),
    )


def _merged(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
