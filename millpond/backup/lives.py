"""Whose records are these? A topic was made again while some of it had been read and was not confirmed yet.

The same offsets of the new life are read: from the first record that is the same in both, what was read is the new
life's, which is backed up from its own beginning; before that it is the old one's. What cannot be told stays with the
old life, and an event says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from millpond.archive.coverage import Span
from millpond.archive.decode import decode_block
from millpond.archive.encode import encode_messages, encode_rows
from millpond.archive.keys import PartitionId
from millpond.backup.findings import Findings
from millpond.backup.partition import Closed
from millpond.backup.window import OpenWindow
from millpond.kafka.admin import Cluster
from millpond.kafka.headers import has_text_names
from millpond.kafka.places import Place
from millpond.kafka.probe import Probe
from millpond.records import Row

_AT_ONCE = 500

Reopen = Callable[[OpenWindow], OpenWindow]
"""An empty window with the same first offset, epoch and timestamp type."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was read below `border` is the old life's; `replacement` is its part of the window that holds the border."""

    border: int
    replacement: OpenWindow | None = None


class Lives:
    """Tells two lives of a topic apart. Its calls take seconds: not for the consumer's thread."""

    def __init__(self, findings: Findings, cluster: Cluster, group_id: str, reopen: Reopen) -> None:
        self._findings, self._cluster, self._group_id, self._reopen = findings, cluster, group_id, reopen

    def decide(self, partition: PartitionId, unconfirmed: Sequence[Closed], now_ms: int) -> Verdict:
        """Where the old life ends in these ranges of one partition.

        Raises:
            MillpondError: Kafka does not answer.
            OSError: The spool cannot be read or written.
        """
        first, last = unconfirmed[0].first, unconfirmed[-1].last
        place = partition.topic, partition.partition
        successor = self._life(place)
        if successor in ("", partition.incarnation.topic_id):
            return Verdict(last + 1)  # nothing else can have given them
        log_start = self._cluster.log_starts([place])[place]
        border = self._first_equal(place, unconfirmed, max(first, log_start), last)
        told = self._life(place) == successor
        unknown = Span(first, min(border, log_start) - 1 if told else border - 1)
        if unknown.size > 0:
            self._findings.undecided(partition, successor, unknown, now_ms)
        return Verdict(border, self._below(unconfirmed, border))

    def _life(self, place: Place) -> str:
        """Id of the topic of that name now, if it has the partition; else ""."""
        found = self._cluster.describe([place[0]]).get(place[0])
        return found.topic_id if found and place[1] < found.partitions else ""

    def _first_equal(self, place: Place, unconfirmed: Sequence[Closed], first: int, last: int) -> int:
        """The first offset at which both lives have the same record; behind the last where there is none."""
        rows = (row for closed in unconfirmed for row in _rows(closed))
        row = next(rows, None)
        with Probe(self._cluster.address, self._group_id) as probe:
            for message in probe.read(place, first, last) if first <= last else ():
                offset: int = message.offset()  # type: ignore[assignment]  # records have offsets
                while row is not None and row[0] < offset:
                    row = next(rows, None)
                if row is None:
                    break
                alike = row[0] == offset and has_text_names(message)
                if alike and encode_rows([row]) == encode_messages([message]):
                    return offset
        return last + 1

    def _below(self, unconfirmed: Sequence[Closed], border: int) -> OpenWindow | None:
        """What lies below the border of the window that holds it; None where that is nothing."""
        parted = [closed for closed in unconfirmed if closed.window and closed.first < border <= closed.last]
        kept = (row for closed in parted for row in _rows(closed) if row[0] < border)
        some = list(islice(kept, _AT_ONCE))
        if not some:
            return None
        window = self._reopen(parted[0].window)  # type: ignore[arg-type]  # it has one
        while some:
            window.append(encode_rows(some), [row[1] for row in some])
            some = list(islice(kept, _AT_ONCE))
        window.cut_block()
        return window


def _rows(closed: Closed) -> Iterator[Row]:
    if closed.window is None:
        return
    closed.window.wait_written()
    for count, encoded in closed.window.spool.blocks():
        yield from decode_block(encoded, count)
