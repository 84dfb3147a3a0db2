"""One part of a partition on its way into the target: counted, digested, compared with what is there, written."""

from __future__ import annotations

from dataclasses import dataclass

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_rows
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.writing.offset_map import Chunk, extend_runs, runs_of, tip_hash
from millpond.restore.writing.source import PartReader
from millpond.restore.writing.source_offset import without_source_offset
from millpond.restore.writing.tally import Tally
from millpond.restore.writing.target import TargetPartition, foreign, read_back, row_of


@dataclass(slots=True)
class PartWriting:
    """One part; its first `skip` records are there already.

    Attributes:
        number: Of the part within the partition.
        base: Target offset of its first record.
    """

    number: int
    base: int
    reader: PartReader
    target: TargetPartition
    skip: int
    tally: Tally

    def run(self, cluster: Cluster) -> Chunk:
        """Hands the records over; they are written once the target is settled."""
        digest = None if self.reader.digest else Digest(self.reader.salt, self.reader.timestamp_type)
        count, source, zeros, last = 0, [], [], None  # type: ignore[var-annotated]
        for rows in self.reader.batches():
            if not rows:
                continue
            for first, length in runs_of(row[0] for row in rows) if _holes(rows) else [[rows[0][0], len(rows)]]:
                extend_runs(source, first, length)
            for at in (index for index, row in enumerate(rows) if row[1] == 0):
                extend_runs(zeros, self.base + count + at, 1)
            if digest is not None:
                digest.update(encode_rows(rows))
            self._write(rows, count, cluster)
            count, last = count + len(rows), rows[-1]
        return Chunk(
            part=self.number,
            base=self.base,
            count=count,
            source=source,
            salt=self.reader.salt.hex(),
            digest=digest.hex() if digest is not None else self.reader.digest,
            timestamp_type=self.reader.timestamp_type.value,
            tip=tip_hash(last, self.reader.salt) if last is not None else "",
            stamp_zero=zeros,
            filtered=self.reader.filtered,
        )

    def _write(self, rows: list[Row], before: int, cluster: Cluster) -> None:
        """Writes those that are not there; the newest that is there must be the one due at its place."""
        there = min(len(rows), max(0, self.skip - before))
        if there and before + there == self.skip:
            due, at = rows[there - 1], self.base + self.skip - 1
            found = archived_record(cluster, self.target.place, at, due[0], self.target.source_offsets)
            if found != due and not (due[1] == 0 and (0, *found[2:]) == due[1:]):
                raise foreign(self.target.place, at)
        self.target.write(rows[there:])
        self.tally.records(rows)


def _holes(rows: list[Row]) -> bool:
    return rows[-1][0] - rows[0][0] + 1 != len(rows)


def archived_record(cluster: Cluster, place: Place, at: int, source_offset: int, with_header: bool) -> Row:
    """The record at a target offset, as it would be archived under a source offset.

    Raises:
        RefusedForSafety: There is none, or it lacks the header that this run adds.
    """
    for batch in read_back(cluster, place, at, at + 1):
        row = row_of(batch[0], source_offset)
        archived = without_source_offset(row) if with_header else row
        if archived is not None:
            return archived
    raise foreign(place, at)
