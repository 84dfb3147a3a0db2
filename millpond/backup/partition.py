"""One partition under backup: what was read, what is open, what waits to be stored. No I/O but the spool."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeAlias

from confluent_kafka import Message

from millpond.archive.encode import encode_messages
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import PartitionId
from millpond.archive.names import GapReason
from millpond.archive.schema import TimestampType
from millpond.backup.options import Rotation
from millpond.backup.positions import Start
from millpond.backup.window import OpenWindow
from millpond.clock import now_ms
from millpond.errors import DamagedArchive, MillpondError
from millpond.kafka.headers import has_text_names
from millpond.kafka.places import Place

_LOG = logging.getLogger(__name__)

WAITING = 2
"""Closed windows that may wait for the store before a partition is paused."""


@dataclass(frozen=True, slots=True)
class FailedTry:
    """The store failed, or refused, to take a range.

    Attributes:
        pause_s: Before the next try, about.
        not_before: Monotonic seconds of the next try.
        since_ms: Epoch ms of the first one that failed.
    """

    error: MillpondError
    pause_s: float
    not_before: float
    since_ms: int


@dataclass(slots=True)
class Closed:
    """A range that was read to its end: a window, or nothing at all.

    Attributes:
        first, last: Offsets covered, both inclusive.
        closed_at: Monotonic seconds; a later look at the topic's id confirms it.
        epoch: Leader epoch of its records, -1 if unknown.
        since_ms: Epoch ms since when its oldest record waits for the store; None where it has none.
        reason: Of the marker, where there is no window.
        failed: The last try to store it, if it failed.
    """

    partition: PartitionId
    window: OpenWindow | None
    first: int
    last: int
    closed_at: float
    epoch: int
    since_ms: int | None = None
    reason: GapReason = GapReason.EMPTY
    confirmed: bool = False
    failed: FailedTry | None = None

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

    @property
    def is_empty(self) -> bool:
        """Whether it holds no record, be it a window or not."""
        return self.window is None or self.window.count == 0

    def discard(self) -> None:
        if self.window:
            self.window.discard()


@dataclass(frozen=True, slots=True)
class EpochFell:
    """The record at this offset has a lower leader epoch than those before: it is of another life or another branch."""

    offset: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The client cannot give the record at this offset; `reason` holds nothing of its content."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Jump:
    """The archive holds what comes next: to be read from this offset on."""

    offset: int


Detour: TypeAlias = EpochFell | Unreadable | Jump
"""Why not all of a batch was taken."""

OpenWindowAt = Callable[[int, int, TimestampType, float], OpenWindow]
"""Makes a window from first offset, epoch, timestamp type and time."""


class PartitionBackup:
    """State of one partition of one incarnation.

    Attributes:
        position: The next offset that was not read; behind control records once the end was reported.
        closed: Ranges on their way to the store, in order.
        judged: Whether somebody is finding out which life of the topic its unconfirmed records are of.
    """

    def __init__(self, start: Start, open_window: OpenWindowAt) -> None:
        self.partition, self.epoch, self._least_epoch = start.partition, start.epoch, start.least_epoch
        self.position = self._next_first = start.position
        self.window: OpenWindow | None = None
        self.closed: deque[Closed] = deque()
        self.judged = False
        self._until = start.until
        self._open_window = open_window
        self._idle_since: float | None = None
        self._since_ms: int | None = None
        self._last_close_ms = start.archived_ms

    @property
    def place(self) -> Place:
        return self.partition.topic, self.partition.partition

    @property
    def stored(self) -> int:
        """The next offset that is not in the store, a marker or a window."""
        return self.closed[0].first if self.closed else self._next_first

    @property
    def unconfirmed_from(self) -> int:
        """The first offset that was read, or will be, and that no look at the topic's id has confirmed."""
        return next((closed.first for closed in self.closed if not closed.confirmed), self._next_first)

    @property
    def unstored_since_ms(self) -> int | None:
        """Epoch ms since when the oldest record that was read waits for the store; None where none does."""
        waiting = [closed.since_ms for closed in self.closed if closed.since_ms is not None]
        return min(waiting, default=self._since_ms)

    @property
    def spooled_bytes(self) -> int:
        """On the local disk, in the open window and those that wait."""
        own = self.window.stored_bytes if self.window else 0
        return own + sum(closed.window.stored_bytes for closed in self.closed if closed.window)

    def windows(self) -> Iterator[OpenWindow]:
        """All that are not stored yet."""
        yield from (closed.window for closed in self.closed if closed.window)
        if self.window:
            yield self.window

    # -- reading

    def take(self, messages: Sequence[Message], now: float) -> Detour | None:
        """Records in the order of the partition. With a detour, `position` tells how far they were taken."""
        if self._until is not None and messages[-1].offset() >= self._until:  # type: ignore[operator]  # has one
            return self._take_until_covered(messages, self._until, now)
        try:
            return self._take(messages, now)
        except (UnicodeError, SystemError):  # what the client says of a header name that is not UTF-8
            if all(map(has_text_names, messages)):
                raise
            return self._take_readable(messages, now)

    def _take(self, messages: Sequence[Message], now: float) -> EpochFell | None:
        epochs = set(map(Message.leader_epoch, messages))
        stamps = list(map(Message.timestamp, messages))
        if len(epochs) == 1 and len({kind for kind, _ in stamps}) == 1:
            return self._append(messages, [at for _, at in stamps], now)
        for _, neighbours in groupby(messages, key=lambda m: (m.leader_epoch(), m.timestamp()[0])):
            run = list(neighbours)
            if fell := self._append(run, [at for _, at in map(Message.timestamp, run)], now):
                return fell
        return None

    def _append(self, messages: Sequence[Message], stamps: Sequence[int], now: float) -> EpochFell | None:
        known, first = messages[0].leader_epoch(), messages[0].offset()
        epoch = -1 if known is None else known
        if 0 <= epoch < self.epoch:
            return EpochFell(first)  # type: ignore[arg-type]
        if first < self.position:  # type: ignore[operator]
            raise DamagedArchive(f"{self.partition} gave offset {first} after {self.position - 1}")
        encoded = encode_messages(messages, stamps=stamps)
        kind = TimestampType.from_kafka(messages[0].timestamp()[0])
        if 0 <= self.epoch < epoch:
            # A window ends older epochs where it starts. Starting below its first record, it could end windows whose
            # records compaction has removed since, so the offsets in between go to what came before.
            self.position = first  # type: ignore[assignment]
            self.close(now)
        if self.window is not None and (self.window.epoch, self.window.timestamp_type) != (epoch, kind):
            self.close(now)
        if self.window is None:
            self.window = self._open_window(self._next_first, epoch, kind, now)
            self._since_ms = self._waits_since(stamps[0])
        self.window.append(encoded, stamps)
        self.epoch, self._idle_since = epoch, None
        self.position = messages[-1].offset() + 1  # type: ignore[operator]
        return None

    def _waits_since(self, stamp: int) -> int:
        """When a record came to Kafka, as far as one can tell: producers stamp records with any time they like."""
        read_ms = now_ms()
        return max(stamp, self._last_close_ms) if 0 <= stamp <= read_ms else read_ms

    def _take_until_covered(self, messages: Sequence[Message], until: int, now: float) -> Detour | None:
        """What fills a hole, up to where the archive goes on."""
        before = [message for message in messages if message.offset() < until]  # type: ignore[operator]
        if before and (detour := self.take(before, now)):
            return detour
        self.position = until
        self.close(now)
        return Jump(until)

    def _take_readable(self, messages: Sequence[Message], now: float) -> Detour | None:
        """The records before the first one with a header name that is not UTF-8, which the client cannot give."""
        bad = next(number for number, message in enumerate(messages) if not has_text_names(message))
        # Some were taken already where epoch or timestamp type change among them.
        left = [message for message in messages[:bad] if message.offset() >= self.position]  # type: ignore[operator]
        if left and (fell := self._take(left, now)):
            return fell
        return Unreadable(messages[bad].offset(), "a header name is not UTF-8")  # type: ignore[arg-type]

    def pass_over(self, offset: int, now: float) -> None:
        """Leaves out one record that cannot be read; a marker of its own says so."""
        self.position = offset
        self.close(now)
        self.position = self._next_first = offset + 1
        gap = Closed(self.partition, None, offset, offset, now, self.epoch, reason=GapReason.UNREADABLE)
        self.closed.append(gap)

    def reached_end(self, offset: int, now: float) -> Jump | None:
        """The broker said that nothing is left before this offset; control records and aborted data may lie there."""
        if self._until is not None and offset > self._until:
            self.position = self._until
            self.close(now)
            return Jump(self._until)
        if offset > self.position:
            self.position = offset
        if self.window is None and self.position > self._next_first and self._idle_since is None:
            self._idle_since = now
        return None

    # -- closing

    def due(self, now: float, rotation: Rotation) -> bool:
        """Whether what was read since the last close is old or large enough to be stored."""
        window = self.window
        if window is not None:
            old = now - window.opened_at >= rotation.max_age_s * window.jitter
            return old or window.stored_bytes >= rotation.max_bytes or 0 < rotation.max_records <= window.count
        return self._idle_since is not None and now - self._idle_since >= rotation.max_age_s

    def close(self, now: float) -> None:
        """Ends the open window, or the stretch without records, at the position."""
        if self.position == self._next_first or not self._has_epoch(now):
            return
        if self.window is not None:
            self.window.cut_block()
            self._last_close_ms = now_ms()
        epoch = self.window.epoch if self.window else self.epoch
        closed = Closed(self.partition, self.window, self._next_first, self.position - 1, now, epoch, self._since_ms)
        self.closed.append(closed)
        self.window, self._next_first, self._idle_since, self._since_ms = None, self.position, None, None

    def _has_epoch(self, now: float) -> bool:
        """Whether what ends here can be known by an epoch, as far as brokers tell them.

        A marker has none of its own, only that of the window before it. Without one, it could not end a branch that was
        cut, nor show by itself that the log was cut: there a window without records stands in its place. Where no file
        can be made for it, nothing is lost: the stretch holds no record, and is read again.
        """
        if self.window is None and self._least_epoch >= 0:
            try:
                self.window = self._open_window(self._next_first, self._least_epoch, TimestampType.NONE, now)
            except OSError as full:
                _LOG.warning("cannot spool that %s has no records: %s", self.partition, full.strerror)
                return False
            self.epoch = self._least_epoch
        self._least_epoch = -1  # what follows has a window before it
        return True

    def discard(self) -> None:
        """Forgets all that is not in the store."""
        if self.window is not None:
            self.window.discard()
            self.window = None
        while self.closed:
            self.closed.popleft().discard()

    def keep_until(self, border: int, replacement: OpenWindow | None) -> None:
        """Settles what the topic's id did not confirm: below `border` it is this life's, from there on another's.

        Args:
            replacement: The part below `border` of the window that holds it, if one does.
        """
        kept: deque[Closed] = deque()
        for closed in self.closed:
            if closed.confirmed or closed.last < border:
                closed.confirmed = True
                kept.append(closed)
                continue
            if closed.first < border:
                window = closed.window if closed.is_empty else replacement
                kept.append(replace(closed, window=window, last=border - 1, confirmed=True, failed=None))
                if closed.is_empty:
                    continue
            closed.discard()
        self.closed = kept
