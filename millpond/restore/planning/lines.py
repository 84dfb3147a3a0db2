"""The lines of a plan, one for each target partition, or one for a topic whose records go to other partitions. A line
with many objects names a document that lists them, so that the plan stays small for the workers who all read it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.restore.planning.lives import Life
from millpond.restore.planning.pieces import Asked, Piece
from millpond.restore.request import RestoreRequest
from millpond.storage.contract import AlreadyThere

INLINE = 50
"""Objects that stand in the line itself."""


def lines_of(life: Life, partitions: int, request: RestoreRequest, asked: Asked) -> Iterator[tuple[Json, int]]:
    """The lines of a topic, and how many stored bytes each of them reads.

    Args:
        partitions: Of the archived topic.
    """
    topic = life.incarnation.topic
    about = {"topic": topic, "topic_id": life.incarnation.topic_id, "target": request.target(topic), **asked.line()}
    sources = [(_source(piece), piece.size_bytes) for piece in life.pieces if piece.objects]
    if request.repartition is None or request.repartition.partitions == partitions:
        yield from ((about | source, size) for source, size in sources)
    elif sources:
        kind = {"repartition": request.repartition.by, "archived_partitions": partitions}
        yield about | kind | {"sources": [source for source, _ in sources]}, sum(size for _, size in sources)


def _source(piece: Piece) -> Json:
    """An archived partition and its objects."""
    source: Json = {"partition": piece.partition.partition}
    if piece.objects <= INLINE:
        return source | {"objects": json.loads(piece.unpack())}
    reach = {"first": piece.spans[0].first, "last": piece.spans[-1].last, "offsets": piece.offsets}
    return source | {"count": piece.objects, "bytes": piece.size_bytes, **reach, "objects_in": _name(piece)}


def write_long_lines(run: Run, pieces: Iterable[Piece]) -> None:
    """Writes the documents that lines name. Their names follow from their content: another try writes the same."""
    for piece in pieces:
        if piece.objects > INLINE:
            with suppress(AlreadyThere):
                run.store.put_if_absent(run.key(_name(piece)), piece.unpack())


def objects_by_name(pieces: Iterable[Piece]) -> dict[str, Piece]:
    """What documents that lines name would hold."""
    return {_name(piece): piece for piece in pieces if piece.objects > INLINE}


def digest_of_lines(lines: Iterable[Json]) -> str:
    """One digest for all that workers will do."""
    found = hashlib.sha256()
    for line in lines:
        found.update(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return found.hexdigest()


def _name(piece: Piece) -> str:
    return f"objects/{piece.digest()[:32]}.json"
