"""How far a topic came whose records go to other partitions: one document for each part of an archived partition.

It stands for the offset map too: the part's records went, in offset order, behind each target partition's `base`. Which
of them went to which partition is not written down for each record: the rule that placed them tells it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.errors import RefusedForSafety
from millpond.restore.writing.offset_map import Chunk
from millpond.storage.contract import ObjectInfo

_FOLDER = "sources"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one part became. All of it is in the target once this is written.

    Attributes:
        source: The archived partition.
        part: Number of the part within it.
        first, last: Source offsets of the first and the last record.
        count: How many records the part gave.
        filtered: How many of its records are not due by their timestamps.
        chunks: What each target partition got, by its number; none where it got nothing. Their records are told under
            their target offsets.
    """

    source: int
    part: int
    first: int
    last: int
    count: int
    filtered: int
    chunks: Mapping[int, Chunk]

    def document(self) -> Json:
        targets = {str(number): chunk.document() for number, chunk in sorted(self.chunks.items())}
        return {
            "source_partition": self.source,
            "part": self.part,
            "first": self.first,
            "last": self.last,
            "count": self.count,
            "filtered": self.filtered,
            "targets": targets,
        }

    @classmethod
    def of(cls, document: Json) -> Checkpoint:
        chunks = {int(number): Chunk.of(chunk) for number, chunk in document["targets"].items()}
        source, part = document["source_partition"], document["part"]
        count, filtered = document["count"], document["filtered"]
        return cls(source, part, document["first"], document["last"], count, filtered, chunks)


def write_checkpoint(run: Run, target: str, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint. `RefusedForSafety` where another worker wrote a different one."""
    name = f"{checkpoint.source:010d}-{checkpoint.part:07d}.json"
    found = Checkpoint.of(run.write_once(checkpoint.document(), "offset-map", target, _FOLDER, name))
    if _counts(found) != _counts(checkpoint):
        raise RefusedForSafety(f"another worker writes to {target} for the same run", hint="let one of them finish")


def read_checkpoints(run: Run, target: str) -> list[Checkpoint]:
    """Those of a target topic, in the order in which they were written."""
    prefix = run.key("offset-map", target, _FOLDER, "")
    names = [info.key.rsplit("/", 1)[-1] for info in run.store.list(prefix) if isinstance(info, ObjectInfo)]
    found = (run.find("offset-map", target, _FOLDER, name) for name in names)
    return [Checkpoint.of(document) for document in found if document is not None]


def chunks_of(checkpoints: Iterable[Checkpoint], number: int) -> list[Chunk]:
    """What a target partition got, in order."""
    return [checkpoint.chunks[number] for checkpoint in checkpoints if number in checkpoint.chunks]


def _counts(checkpoint: Checkpoint) -> list[tuple[int, int, int]]:
    return [(number, chunk.base, chunk.count) for number, chunk in sorted(checkpoint.chunks.items())]
