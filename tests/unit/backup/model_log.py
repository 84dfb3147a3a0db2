"""A reference for one partition of a topic: each of its lives, kept as plainly as Kafka's rules can be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from millpond.records import Record

APPEND_TIME, CREATE_TIME = 2, 1


@dataclass(frozen=True)
class Entry:
    """What takes an offset: a record, or (`control`) the mark that a transaction has ended."""

    record: Record
    epoch: int
    kind: int = CREATE_TIME
    transaction: int | None = None
    control: bool = False

    @property
    def offset(self) -> int:
        return self.record.offset


@dataclass
class Life:
    """One incarnation of the topic.

    Attributes:
        log: What Kafka has now, by offset.
        branch: What was ever readable of the present branch: retention and compaction take nothing away from it.
        written: Every entry of every branch.
        start, end: Of the log; the end is the high watermark.
        epochs: Each leader epoch of the present branch and the offset at which it began.
        ended: Transactions that were committed (True) or aborted.
        parted: The lowest offset at which the log was ever cut.
    """

    topic_id: str
    compacted: bool
    log: dict[int, Entry] = field(default_factory=dict)
    branch: dict[int, Entry] = field(default_factory=dict)
    written: set[tuple[int, Record]] = field(default_factory=set)
    start: int = 0
    end: int = 0
    epochs: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    ended: dict[int, bool] = field(default_factory=dict)
    parted: int | None = None

    @property
    def epoch(self) -> int:
        return self.epochs[-1][0]

    @property
    def stable_end(self) -> int:
        """How far read_committed goes: the first offset of a transaction that is still open."""
        return min((offset for offset, entry in self.log.items() if self._is_open(entry)), default=self.end)

    def _is_open(self, entry: Entry) -> bool:
        return entry.transaction is not None and entry.transaction not in self.ended

    def open_transactions(self) -> set[int]:
        return {e.transaction for e in self.log.values() if e.transaction is not None and self._is_open(e)}

    def visible(self, first: int, before: int) -> Iterator[Entry]:
        """What a consumer is given of these offsets, as far as they are stable."""
        for offset in range(max(first, self.start), min(before, self.stable_end)):
            entry = self.log.get(offset)
            if entry and not entry.control and (entry.transaction is None or self.ended[entry.transaction]):
                yield entry

    def readable(self) -> dict[int, Record]:
        return {entry.offset: entry.record for entry in self.visible(self.start, self.end)}

    # -- producers

    def append(
        self, key: bytes, value: bytes | None, serial: int, kind: int = CREATE_TIME, transaction: int | None = None
    ) -> None:
        """Records of two branches or lives differ in their serial numbers at least."""
        headers = ((b"serial", b"%d" % serial),)
        record = Record(self.end, 1767225600000 + self.end, key, value, headers)
        self._add(Entry(record, self.epoch, kind, transaction))

    def finish(self, transaction: int, committed: bool) -> None:
        """A control record takes an offset, and what the transaction wrote becomes readable or never will be."""
        mark = Record(self.end, 1767225600000 + self.end, None, None, ())
        self._add(Entry(mark, self.epoch, transaction=transaction, control=True))
        self.ended[transaction] = committed
        self.settle()

    def _add(self, entry: Entry) -> None:
        self.log[self.end] = entry
        self.written.add((entry.epoch, entry.record))
        self.end += 1
        self.settle()

    def settle(self) -> None:
        """Notes what has become readable."""
        self.branch |= {entry.offset: entry for entry in self.visible(self.start, self.end)}

    # -- what becomes of a log

    def compact(self, chosen: int) -> None:
        """Removes some of the older records of a key, by the bits of `chosen`, and aborted ones. Offsets stay."""
        newest = {entry.record.key: entry.offset for entry in self.visible(self.start, self.end)}
        stable = self.stable_end
        gone = [
            offset
            for offset, entry in sorted(self.log.items())
            if offset < stable and not entry.control and offset != newest.get(entry.record.key)
        ]
        for number, offset in enumerate(gone):
            if chosen >> number & 1:
                del self.log[offset]

    def cuttable(self) -> list[int]:
        """Offsets at which a new leader may begin without parting a transaction; the end is an ordinary election."""
        reach: dict[int, list[int]] = {}
        for offset, entry in self.log.items():
            if entry.transaction is not None:
                reach.setdefault(entry.transaction, []).append(offset)
        ends = {number: max(offsets) if number in self.ended else self.end - 1 for number, offsets in reach.items()}
        inside = {o for number, offsets in reach.items() for o in range(min(offsets) + 1, ends[number] + 1)}
        return [offset for offset in range(self.start, self.end + 1) if offset not in inside]

    def elect(self, at: int, skipped: int = 0) -> None:
        """A new leader has what lies below `at` only."""
        if at < self.end:
            self.parted = at if self.parted is None else min(at, self.parted)
        self.log = {offset: entry for offset, entry in self.log.items() if offset < at}
        self.branch = {offset: entry for offset, entry in self.branch.items() if offset < at}
        epoch = self.epoch + 1 + skipped
        self.epochs = [(one, first) for one, first in self.epochs if first < at] + [(epoch, at)]
        self.end = at

    def forget_below(self, offset: int) -> None:
        """Retention."""
        self.start = max(self.start, offset)
        self.log = {offset: entry for offset, entry in self.log.items() if offset >= self.start}

    # -- what a broker answers about epochs (KIP-320)

    def end_of_epoch(self, epoch: int) -> int | None:
        """Where the epoch ends by this log; None where it does not know it."""
        if epoch == self.epoch:
            return self.end
        return next((first for one, first in self.epochs if one > epoch), None)
