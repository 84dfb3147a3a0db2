"""The proof: the target is read back under its source offsets and must give the digests that the archive states."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from confluent_kafka import Message

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_messages, encode_rows
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.writing.offset_map import Chunk
from millpond.restore.writing.source_offset import without_source_offset
from millpond.restore.writing.target import foreign, read_back, row_of


def combined(digests: Iterable[str]) -> str:
    """One digest for a partition out of those of its parts."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def digests_of_target(
    cluster: Cluster, place: Place, chunks: Sequence[Chunk], *, source_offsets: bool = False
) -> list[str]:
    """Each chunk's digest as the target gives it.

    Args:
        source_offsets: The records have one header more than the archived ones, that of their source offset.

    Raises:
        RefusedForSafety: A record lacks that header.
    """
    if not chunks:
        return []
    messages = chain.from_iterable(read_back(cluster, place, chunks[0].base, chunks[-1].end))
    return [_digest(chunk, messages, place if source_offsets else None) for chunk in chunks]


_AT_ONCE = 500


def _digest(chunk: Chunk, messages: Iterator[Message], with_header: Place | None) -> str:
    digest = Digest(bytes.fromhex(chunk.salt), chunk.kind)
    offsets = chunk.source_offsets()
    zeros = {offset for first, count in chunk.stamp_zero for offset in range(first, first + count)}
    left = chunk.count
    while left:
        batch = list(islice(messages, min(left, _AT_ONCE)))
        if not batch:
            return "incomplete"
        digest.update(_encoded(batch, islice(offsets, len(batch)), zeros, with_header))
        left -= len(batch)
    return digest.hex()


def _encoded(batch: Sequence[Message], offsets: Iterable[int], zeros: set[int], with_header: Place | None) -> bytes:
    if not zeros and with_header is None:
        return encode_messages(batch, offsets)
    rows = [row_of(message, offset) for message, offset in zip(batch, offsets, strict=True)]
    if with_header is not None:
        rows = [_archived(row, message, with_header) for row, message in zip(rows, batch, strict=True)]
    known = zip(batch, rows, strict=True)
    return encode_rows((row[0], 0, *row[2:]) if message.offset() in zeros else row for message, row in known)


def _archived(row: Row, message: Message, place: Place) -> Row:
    archived = without_source_offset(row)
    if archived is None:
        raise foreign(place, message.offset() or 0)
    return archived
