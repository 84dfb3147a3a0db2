"""One part of an archived partition on its way into all partitions of the target topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_rows
from millpond.archive.schema import TimestampType
from millpond.errors import RefusedForSafety
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.repartition.checkpoints import Checkpoint
from millpond.restore.repartition.placing import Placing
from millpond.restore.repartition.writer import TopicWriter
from millpond.restore.writing.offset_map import Chunk, extend_runs, tip_hash
from millpond.restore.writing.source import PartReader
from millpond.restore.writing.source_offset import with_source_offsets
from millpond.restore.writing.tally import Tally
from millpond.restore.writing.target import read_back, row_of
from millpond.restore.writing.terms import Terms


@dataclass(slots=True)
class _Growing:
    """What one target partition gets of the part. Its records are told under their target offsets.

    Attributes:
        skip: So many of its records are there already.
        newest: The last record so far.
    """

    part: int
    base: int
    skip: int
    salt: bytes
    kind: TimestampType
    count: int = 0
    zeros: list[list[int]] = field(default_factory=list)
    newest: Row | None = None
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        self.digest = Digest(self.salt, self.kind)

    def add(self, rows: list[Row]) -> list[Row]:
        """The same records under their target offsets."""
        start = self.base + self.count
        placed = [(offset, *row[1:]) for offset, row in enumerate(rows, start)]
        for row in placed:
            if row[1] == 0:
                extend_runs(self.zeros, row[0], 1)
        self.digest.update(encode_rows(placed))
        self.count, self.newest = self.count + len(rows), placed[-1]
        return placed

    def chunk(self) -> Chunk:
        return Chunk(
            part=self.part,
            base=self.base,
            count=self.count,
            source=[[self.base, self.count]],
            salt=self.salt.hex(),
            digest=self.digest.hex(),
            timestamp_type=self.kind.value,
            tip=tip_hash(self.newest, self.salt) if self.newest is not None else "",
            stamp_zero=self.zeros,
        )


@dataclass(slots=True)
class PartWriting:
    """Reads a part and writes what is missing of it.

    Attributes:
        source: The archived topic and partition.
        number: Of the part within it.
        written: Where each target partition stood before this part.
        ahead: How many records are there behind that; they are this part's or those of parts to come.
    """

    cluster: Cluster
    source: Place
    number: int
    reader: PartReader
    placing: Placing
    target: TopicWriter
    written: Mapping[int, int]
    ahead: Mapping[int, int]
    terms: Terms
    tally: Tally
    _growing: dict[int, _Growing] = field(default_factory=dict)

    def run(self) -> Checkpoint:
        """All of the part handed over; the target is not settled.

        Raises:
            RefusedForSafety: The newest record of a target partition is not the one that is due there.
        """
        first = last = -1
        for rows in self.reader.batches():
            if not rows:
                continue
            first, last = rows[0][0] if first < 0 else first, rows[-1][0]
            split = self.placing.split(self.source, with_source_offsets(rows) if self.terms.source_offsets else rows)
            self.target.write({number: self._missing(number, placed) for number, placed in split.items()})
            self.tally.records(rows)
        chunks = {number: growing.chunk() for number, growing in self._growing.items()}
        count = sum(chunk.count for chunk in chunks.values())
        return Checkpoint(self.source[1], self.number, first, last, count, self.reader.filtered, chunks)

    def _missing(self, number: int, rows: list[Row]) -> list[Row]:
        """Those of the records that the partition does not hold yet."""
        growing = self._of(number)
        there = min(len(rows), max(0, growing.skip - growing.count))
        newest = there > 0 and growing.count + there == growing.skip
        placed = growing.add(rows)
        if newest:
            check_record(self.cluster, self.target.topic, number, placed[there - 1])
        return rows[there:]

    def _of(self, number: int) -> _Growing:
        if number not in self._growing:
            about = self.number, self.written[number], self.ahead[number]
            self._growing[number] = _Growing(*about, self.reader.salt, self.reader.timestamp_type)
        return self._growing[number]


def check_record(cluster: Cluster, topic: str, number: int, due: Row) -> None:
    """`RefusedForSafety` where the target holds another record at the place of this one."""
    found = record_at(cluster, (topic, number), due[0])
    if found != due and not (due[1] == 0 and (0, *found[2:]) == due[1:]):
        raise foreign(topic, number, due[0])


def record_at(cluster: Cluster, place: Place, offset: int) -> Row:
    """The record of a target partition; `RefusedForSafety` where there is none."""
    for batch in read_back(cluster, place, offset, offset + 1):
        return row_of(batch[0], offset)
    raise foreign(*place, offset)


def foreign(topic: str, number: int, offset: int) -> RefusedForSafety:
    """The refusal for a record that is not of this run."""
    return RefusedForSafety(
        f"{topic}-{number} holds a record at offset {offset} that this run did not write, or placed elsewhere then",
        hint="stop other producers and do not change the function that places records; delete the target topic and"
        " restore again with a new --run-id",
    )
