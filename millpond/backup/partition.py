"""One partition under backup: what was read, what is open, what waits to be stored. No I/O but the spool."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from confluent_kafka import Message

from millpond.archive.facts import WindowFacts
from millpond.archive.keys import PartitionId
from millpond.archive.schema import TimestampType
from millpond.backup.positions import Start
from millpond.backup.window import OpenWindow
from millpond.errors import DamagedArchive
from millpond.kafka.places import Place

WAITING = 2
"""Closed windows that may wait for the store before a partition is paused."""


@dataclass(slots=True)
class Closed:
    """A range that was read to its end: a window, or nothing at all.

    Attributes:
        first, last: Offsets covered, both inclusive.
        closed_at: Monotonic seconds; a later look at the topic's id confirms it.
        epoch: Leader epoch of its records, -1 if unknown.
    """

    partition: PartitionId
    window: OpenWindow | None
    first: int
    last: int
    closed_at: float
    epoch: int
    confirmed: bool = False

    def facts(self, archive_id: str, written_ms: int) -> WindowFacts:
        """All but what the spool knows: count, bytes, salt, digest."""
        window = self.window
        if window is None:
            raise ValueError("a range without records has no facts")
        return WindowFacts(
            archive_id=archive_id,
            partition=self.partition,
            first=self.first,
            last=self.last,
            count=0,
            size_bytes=0,
            leader_epoch=window.epoch,
            timestamp_type=window.timestamp_type,
            min_timestamp=window.min_timestamp,
            max_timestamp=window.max_timestamp,
            salt="",
            digest="",
            written=written_ms,
        )

    def discard(self) -> None:
        if self.window:
            self.window.discard()


OpenWindowAt = Callable[[int, int, TimestampType, float], OpenWindow]
"""Makes a window from first offset, epoch, timestamp type and time."""


class PartitionBackup:
    """State of one partition of one incarnation.

    Attributes:
        position: The next offset that was not read; behind control records once the end was reported.
        stored: The next offset that is not in the store, a marker or a window.
        closed: Ranges on their way to the store, in order.
    """

    def __init__(self, start: Start, open_window: OpenWindowAt) -> None:
        self.partition, self.epoch = start.partition, start.epoch
        self.position = self.stored = self._next_first = start.position
        self.window: OpenWindow | None = None
        self.closed: deque[Closed] = deque()
        self._open_window = open_window
        self._idle_since: float | None = None

    @property
    def place(self) -> Place:
        return self.partition.topic, self.partition.partition

    @property
    def unconfirmed_from(self) -> int:
        """The first offset that was read, or will be, and that no look at the topic's id has confirmed."""
        return next((closed.first for closed in self.closed if not closed.confirmed), self._next_first)

    def take(self, messages: Sequence[Message], now: float) -> bool:
        """Records in the order of the partition. False when the epoch fell: they are another incarnation's."""
        epochs = set(map(Message.leader_epoch, messages))
        stamps = list(map(Message.timestamp, messages))
        if len(epochs) == 1 and len({kind for kind, _ in stamps}) == 1:
            return self._append(messages, [at for _, at in stamps], now)
        runs = [list(run) for _, run in groupby(messages, key=lambda m: (m.leader_epoch(), m.timestamp()[0]))]
        return all(self._append(run, [at for _, at in map(Message.timestamp, run)], now) for run in runs)

    def _append(self, messages: Sequence[Message], stamps: Sequence[int], now: float) -> bool:
        known = messages[0].leader_epoch()
        epoch = -1 if known is None else known
        if 0 <= epoch < self.epoch:
            return False
        if messages[0].offset() < self.position:  # type: ignore[operator]  # records have offsets
            raise DamagedArchive(f"{self.partition} gave offset {messages[0].offset()} after {self.position - 1}")
        kind = TimestampType.from_kafka(messages[0].timestamp()[0])
        if 0 <= self.epoch < epoch:
            # A window ends older epochs where it starts. Starting below its first record, it could end windows whose
            # records compaction has removed since, so the offsets in between go to what came before.
            self.position = messages[0].offset()  # type: ignore[assignment]
            self.close(now)
        if self.window is not None and (self.window.epoch, self.window.timestamp_type) != (epoch, kind):
            self.close(now)
        if self.window is None:
            self.window = self._open_window(self._next_first, epoch, kind, now)
        self.window.append(messages, stamps)
        self.epoch, self._idle_since = epoch, None
        self.position = messages[-1].offset() + 1  # type: ignore[operator]
        return True

    def reached_end(self, offset: int, now: float) -> None:
        """The broker said that nothing is left before this offset; control records and aborted data may lie there."""
        if offset > self.position:
            self.position = offset
        if self.window is None and self.position > self._next_first and self._idle_since is None:
            self._idle_since = now

    def due(self, now: float, *, max_age_s: float, max_bytes: int) -> bool:
        """Whether what was read since the last close is old or large enough to be stored."""
        if self.window is not None:
            old = now - self.window.opened_at >= max_age_s * self.window.jitter
            return old or self.window.stored_bytes >= max_bytes
        return self._idle_since is not None and now - self._idle_since >= max_age_s

    def close(self, now: float) -> None:
        """Ends the open window, or the stretch without records, at the position."""
        if self.position == self._next_first:
            return
        if self.window is not None:
            self.window.cut_block()
        epoch = self.window.epoch if self.window else self.epoch
        closed = Closed(self.partition, self.window, self._next_first, self.position - 1, now, epoch)
        self.closed.append(closed)
        self.window, self._next_first, self._idle_since = None, self.position, None

    def discard(self) -> None:
        """Forgets all that is not in the store."""
        if self.window is not None:
            self.window.discard()
            self.window = None
        while self.closed:
            self.closed.popleft().discard()

    def discard_unconfirmed(self) -> None:
        """Forgets what the topic's id did not confirm."""
        kept = [closed for closed in self.closed if closed.confirmed]
        for closed in self.closed:
            if not closed.confirmed:
                closed.discard()
        self.closed = deque(kept)
