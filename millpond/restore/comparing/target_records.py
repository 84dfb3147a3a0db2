"""A restored partition's records under the offsets of their originals, as the chunks of the offset map tell them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from confluent_kafka import Message

from millpond.archive.digest import Digest
from millpond.archive.encode import encode_messages, encode_rows
from millpond.archive.schema import TimestampType
from millpond.kafka.places import Place
from millpond.restore.comparing.join import Found
from millpond.restore.comparing.log import LogReader
from millpond.restore.writing.offset_map import Chunk
from millpond.restore.writing.source_offset import NAME, without_source_offset
from millpond.restore.writing.target import row_of


def target_offset(chunk: Chunk | None, offset: int) -> int | None:
    """Where the record with this source offset lies; None where it was not restored."""
    passed = 0
    for first, count in chunk.source if chunk is not None else ():
        if first <= offset < first + count:
            return chunk.base + passed + offset - first  # type: ignore[union-attr]  # it has runs
        passed += count
    return None


def target_records(reader: LogReader, place: Place, chunk: Chunk, end: int, *, with_header: bool) -> Iterator[Found]:
    """The records that a chunk became and that are still there, before `end`.

    Args:
        with_header: The restore added the header of the source offset. It is taken off; a record where it is missing or
            tells another offset has one header too many, and is found different.
    """
    zeros, originals = _zeros(chunk), enumerate(chunk.source_offsets(), chunk.base)
    for row, _, readable in reader.rows(place, chunk.base, min(end, chunk.end)):
        at = row[0]
        whole = (next(source for number, source in originals if number == at), *row[1:])
        bare = without_source_offset(whole) if with_header and readable else whole
        yield Found(bare or (*whole[:4], (*whole[4], (NAME, None))), None, readable, at in zeros)


def digest_of_target(
    batches: Iterable[list[Message]], chunk: Chunk, salt: bytes, kind: TimestampType, *, with_header: bool
) -> str:
    """The digest that a window of the chunk's records would state, under the offsets they came from; "" where some are
    missing, headers cannot be read, or the one of the source offset is not there."""
    digest, zeros, originals, at = Digest(salt, kind), _zeros(chunk), chunk.source_offsets(), chunk.base
    for batch in batches:
        if (batch[0].offset(), batch[-1].offset()) != (at, at + len(batch) - 1):
            return ""
        try:
            encoded = _encoded(batch, islice(originals, len(batch)), zeros, with_header=with_header)
        except (UnicodeError, SystemError):  # a header name that is not UTF-8
            return ""
        if encoded is None:
            return ""
        digest.update(encoded)
        at += len(batch)
    return digest.hex() if at == chunk.end else ""


def _encoded(batch: list[Message], offsets: Iterable[int], zeros: set[int], *, with_header: bool) -> bytes | None:
    if not zeros and not with_header:
        return encode_messages(batch, offsets)
    whole = [row_of(message, offset) for message, offset in zip(batch, offsets, strict=True)]
    bare = [without_source_offset(row) for row in whole] if with_header else whole
    known = [row for row in bare if row is not None]
    if len(known) < len(batch):
        return None
    known = [(row[0], 0, *row[2:]) if m.offset() in zeros else row for m, row in zip(batch, known, strict=True)]
    return encode_rows(known)


def _zeros(chunk: Chunk) -> set[int]:
    return {offset for first, count in chunk.stamp_zero for offset in range(first, first + count)}
