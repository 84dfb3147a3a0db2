"""Where Kafka's log and the archive part ways, after a log was cut (an unclean leader election) and has grown again.

Brokers say whether a position is still on their log. If it is not, single records are compared at the starts of
archived windows, backwards in growing steps, until epoch and content agree; then record by record from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from confluent_kafka import Message

from millpond.archive.catalog import PartitionListing, WindowObject
from millpond.archive.coverage import Live
from millpond.archive.encode import encode_messages, encode_rows
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import GapReason
from millpond.archive.parts import read_document
from millpond.archive.parts_reading import FetchedParts, StoredParts
from millpond.archive.window import StoredWindow, open_window
from millpond.kafka.admin import LogEnd
from millpond.kafka.headers import has_text_names
from millpond.kafka.places import Place
from millpond.kafka.probe import Probe
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.storage.contract import ObjectStore

_LEFT_OUT = (GapReason.UNREADABLE, GapReason.SKIPPED)


@dataclass(frozen=True, slots=True)
class Archive:
    """Where windows are read from."""

    store: ObjectStore
    layout: Layout
    archive_id: str

    def open(self, partition: PartitionId, window: WindowObject, stack: ExitStack) -> StoredWindow | StoredParts:
        """The window, whether it is one object or several, until the stack closes."""
        if not window.name.parts:
            return open_window(stack.enter_context(self.store.open(window.info.key)))
        document = read_document(self.store, self.layout, partition, window.name, window.info, self.archive_id)
        return FetchedParts(self.layout, partition, document, self.store.open, stack).open()


@dataclass(frozen=True, slots=True)
class Log:
    """What Kafka has of one partition: from `start`, to before `end`."""

    partition: PartitionId
    start: int
    end: LogEnd

    @property
    def place(self) -> Place:
        return self.partition.topic, self.partition.partition


@dataclass(frozen=True, slots=True)
class Divergence:
    """From `offset` on Kafka has other records than the archive, or none; `epoch` is that of the records before it."""

    offset: int
    epoch: int


def find_divergence(
    archive: Archive, probe: Probe, listing: PartitionListing, log: Log, position: int, *, compacted: bool
) -> Divergence | None:
    """Where the two part ways below `position`; None where they do not.

    Args:
        compacted: Whether Kafka may lack records that the archive holds for another reason than a cut.

    Raises:
        DamagedArchive: A window that is needed for the comparison cannot be read.
        MillpondError: Kafka does not answer, or refuses.
    """
    return _Comparison(archive, probe, listing, log, position, compacted).divergence()


def least_epoch(address: ClusterAddress, group_id: str, log: Log, offset: int) -> int:
    """The lowest leader epoch of what the log has, and will ever have, from the offset on; -1 if brokers tell none.

    A broker refuses the position behind an offset with an epoch whose leader, and all before it, had no such offset.

    Raises:
        MillpondError: Kafka refuses.
    """
    least, most = min(0, log.end.epoch), log.end.epoch
    asked = most
    while least < most:
        # A client has only its first position checked: one that has fetched of a partition goes on with any other.
        with Probe(address, group_id) as probe:
            told = probe.accepted({log.place: (offset + 1, asked - 1)})
        if told.get(log.place) is False:
            least = asked
        else:  # or nobody answers: a lower one is true as well
            most = asked - 1
        asked = (least + most + 1) // 2
    return least


class _Comparison:
    """Kafka's readable records beside the archive's, in one partition below one position."""

    def __init__(
        self, archive: Archive, probe: Probe, listing: PartitionListing, log: Log, position: int, compacted: bool
    ) -> None:
        self._archive, self._probe, self._log, self._position = archive, probe, log, position
        self._redactions: dict[str, bool] = {}
        near = (w for w in listing.live() if log.start <= w.span.last and w.span.first < position)
        self._windows = [window for window in near if not self._never_held_records(window)]
        self._left_out = [gap for gap in listing.gaps if gap.reason in _LEFT_OUT]
        self._compacted = compacted

    def divergence(self) -> Divergence | None:
        number = self._last_agreeing()
        epoch = self._windows[number].window.name.epoch if number is not None else -1
        border = self._all_differ_from() if number is None else self._border(number)
        if border is None and self._log.end.offset < self._position:
            border = self._log.end.offset
        return None if border is None else Divergence(min(border, self._log.end.offset), epoch)

    def _all_differ_from(self) -> int | None:
        """Where the first of the two has a record, if no window agrees; None where neither has one.

        On a compacted topic it is Kafka's first: what the archive holds below may only be compacted away.
        """
        read = self._read(self._log.start, self._position - 1)
        first = next((message for message in read if not self._is_left_out(message.offset())), None)  # type: ignore[arg-type]  # records have offsets
        ours = [max(self._log.start, window.span.first) for window in self._windows[:1]]
        if first is None:
            return ours[0] if ours else None
        theirs: int = first.offset()  # type: ignore[assignment]
        return theirs if self._compacted else min([*ours, theirs])

    def _last_agreeing(self) -> int | None:
        """Number of the last window whose start agrees. Logs part only once: all before it agree, and none behind."""
        bad, step = len(self._windows), 1
        while bad > 0:
            good = max(bad - step, 0)
            if self._agrees(good):
                return self._between(good, bad)
            bad, step = good, 2 * step
        return None

    def _between(self, good: int, bad: int) -> int:
        """The last that agrees, from one that does and a later one that does not (or the end of all)."""
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self._agrees(middle) else (good, middle)
        return good

    def _agrees(self, number: int) -> bool:
        """Whether Kafka has records from the window's start on, the first of them as the archive holds it."""
        message = next(self._read(self._windows[number].span.first, self._position - 1), None)
        if message is None:
            return False  # the new branch may hold nothing but aborted data here, and records before it
        offset: int = message.offset()  # type: ignore[assignment]  # records have offsets
        holding = [live for live in self._windows if live.span.first <= offset <= live.span.last]
        for live in holding:
            row = next(self._rows(live, offset), None)
            if self._same(live, message, row if row is not None and row[0] == offset else None):
                return True
        return not holding and self._is_left_out(offset)

    def _border(self, number: int) -> int | None:
        """The first offset at which the two differ, from a window whose start agrees to the start of the next."""
        live, behind = self._windows[number], self._windows[number + 1 : number + 2]
        first = max(live.span.first, self._log.start)
        last = behind[0].span.first - 1 if behind else self._position - 1
        border, rows = first, self._rows(live, first)
        row = next(rows, None)
        for message in self._read(first, last):
            offset: int = message.offset()  # type: ignore[assignment]
            while row is not None and row[0] < offset:
                if not self._compacted:
                    return row[0]
                row = next(rows, None)
            mine = row if row is not None and row[0] == offset else None
            if not self._same(live, message, mine) and not self._is_left_out(offset):
                return border
            border = offset + 1
            row = next(rows, None) if mine else row
        while row is not None and self._compacted and row[0] < self._log.end.offset:
            row = next(rows, None)
        if row is not None:
            return row[0]
        return behind[0].span.first if behind else None

    def _same(self, live: Live[WindowObject], message: Message, row: Row | None) -> bool:
        """Whether a record of Kafka is the archive's. What a redaction removed has only its epoch to be known by."""
        known, epoch = message.leader_epoch(), live.window.name.epoch
        if epoch >= 0 and known is not None and known >= 0 and known != epoch:
            return False
        if row is None:
            return self._redacted(live)
        if self._redacted(live):
            return True
        return has_text_names(message) and encode_messages([message]) == encode_rows([row])

    def _is_left_out(self, offset: int) -> bool:
        """Whether the archive says of a record that is there that it was not to be read."""
        return any(gap.first <= offset <= gap.last for gap in self._left_out)

    def _read(self, first: int, last: int) -> Iterator[Message]:
        first = max(first, self._log.start)
        return self._probe.read(self._log.place, first, last) if first < self._log.end.offset else iter(())

    def _never_held_records(self, live: Live[WindowObject]) -> bool:
        """Whether it is a window for its epoch alone: there is nothing in it to compare."""
        name = live.window.name
        if (name.oldest_ms, name.newest_ms) != (-1, -1):
            return False
        with ExitStack() as stack:
            facts = self._archive.open(self._log.partition, live.window, stack).facts
            return facts.count == 0 and not facts.redactions

    def _redacted(self, live: Live[WindowObject]) -> bool:
        key = live.window.info.key
        if key not in self._redactions:
            with ExitStack() as stack:
                facts = self._archive.open(self._log.partition, live.window, stack).facts
                self._redactions[key] = bool(facts.redactions)
        return self._redactions[key]

    def _rows(self, live: Live[WindowObject], first: int) -> Iterator[Row]:
        """Live records of the window from an offset on."""
        with ExitStack() as stack:
            for block in self._archive.open(self._log.partition, live.window, stack).blocks():
                yield from (row for row in block.rows() if first <= row[0] <= live.span.last)
