"""Which source offsets became which target offsets, as data: one chunk for each part of a partition."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain

from millpond.archive.documents import Json
from millpond.archive.encode import encode_rows
from millpond.archive.runs import Run
from millpond.archive.schema import TimestampType
from millpond.errors import RefusedForSafety
from millpond.records import Row
from millpond.storage.contract import ObjectInfo


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one part became.

    Attributes:
        part: Number of the part within the partition.
        base: Target offset of its first record; the others follow without holes.
        count: Records written.
        source: Runs of source offsets: first offset and number of consecutive ones.
        salt, digest, timestamp_type: Of the records as they were read, under their source offsets.
        tip: Keyed hash of the last record, to know it again at the end of the target.
        stamp_zero: Runs of target offsets whose timestamp 0 the client turned into the time of writing.
        filtered: Records that were read since the chunk before and are not due by their timestamps.
    """

    part: int
    base: int
    count: int
    source: list[list[int]]
    salt: str
    digest: str
    timestamp_type: str
    tip: str
    stamp_zero: list[list[int]]
    filtered: int = 0

    def document(self) -> Json:
        """As it is stored."""
        return asdict(self) | {"source": text_of(self.source)}

    @classmethod
    def of(cls, document: Json) -> Chunk:
        """The chunk of a stored document."""
        return cls(**(document | {"source": runs_in(document["source"])}))

    @property
    def end(self) -> int:
        return self.base + self.count

    def source_offsets(self) -> Iterator[int]:
        return chain.from_iterable(range(first, first + count) for first, count in self.source)

    @property
    def kind(self) -> TimestampType:
        return TimestampType(self.timestamp_type)


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Rising numbers as runs of first and count."""
    runs: list[list[int]] = []
    for number in numbers:
        extend_runs(runs, number, 1)
    return runs


def extend_runs(runs: list[list[int]], first: int, count: int) -> None:
    """Adds `count` consecutive numbers from `first` on, which lie behind all there are."""
    if runs and runs[-1][0] + runs[-1][1] == first:
        runs[-1][1] += count
    else:
        runs.append([first, count])


def text_of(runs: Iterable[Sequence[int]]) -> str:
    """Runs as few characters: numbers to pass over and to take, `1000+2 3+1` for 1000, 1001 and 1005."""
    words, at = [], 0
    for first, count in runs:
        words.append(f"{first - at}+{count}")
        at = first + count
    return " ".join(words)


def runs_in(text: str) -> list[list[int]]:
    """The runs of such a text; `ValueError` where it is none."""
    runs, at = [], 0
    for word in text.split():
        gap, count = map(int, word.split("+"))
        runs.append([at + gap, count])
        at += gap + count
    return runs


def tip_hash(row: Row, salt: bytes) -> str:
    """A keyed hash of one record."""
    return hmac.new(salt, b"tip\0" + encode_rows([row]), hashlib.sha256).hexdigest()


def write_chunk(run: Run, target: str, partition: int, chunk: Chunk) -> None:
    """Writes the chunk. `RefusedForSafety` where another worker wrote a different one."""
    name = f"{chunk.base:019d}.json"
    found = Chunk.of(run.write_once(chunk.document(), "offset-map", target, str(partition), name))
    if (found.count, found.source) != (chunk.count, chunk.source):
        raise RefusedForSafety(
            f"another worker writes to {target}-{partition} for the same run", hint="let one of them finish"
        )


def read_chunks(run: Run, target: str, partition: int) -> list[Chunk]:
    """The chunks of a target partition in order."""
    prefix = run.key("offset-map", target, str(partition), "")
    names = [info.key.rsplit("/", 1)[-1] for info in run.store.list(prefix) if isinstance(info, ObjectInfo)]
    found: list[Json | None] = [run.find("offset-map", target, str(partition), name) for name in names]
    return [Chunk.of(document) for document in found if document is not None]
