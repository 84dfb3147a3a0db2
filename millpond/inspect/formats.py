"""Records as bytes for people and programs: JSON lines, an Avro file, or values alone."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Iterator

from millpond.archive.codecs import CODECS
from millpond.archive.container import SYNC_BYTES, Block, write_block, write_header
from millpond.archive.documents import Json
from millpond.archive.encode import encode_rows
from millpond.inspect.records import Batch
from millpond.records import Row

FORMATS = ("jsonl", "avro", "raw")


def limited(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    """At most so many records."""
    left = limit
    for batch in batches:
        if left is not None and len(batch.rows) >= left:
            yield Batch(batch.partition, batch.timestamp_type, batch.rows[:left])
            return
        yield batch
        left = None if left is None else left - len(batch.rows)


def as_json_lines(batches: Iterable[Batch]) -> Iterator[bytes]:
    """One line for each record. Everything beyond ASCII is escaped: a value must not steer a terminal."""
    for batch in batches:
        yield "".join(json.dumps(document_of(batch, row)) + "\n" for row in batch.rows).encode()


def as_avro(batches: Iterable[Batch]) -> Iterator[bytes]:
    """One Avro object container file with the schema of windows; it is no window and lacks a window's metadata."""
    codec, sync = CODECS["zstandard"], secrets.token_bytes(SYNC_BYTES)
    yield write_header(codec, {}, sync)
    for batch in batches:
        if batch.rows:
            yield write_block(Block(len(batch.rows), codec.compress(encode_rows(batch.rows))), sync)


def as_values(batches: Iterable[Batch], delimiter: bytes) -> Iterator[bytes]:
    """Values, the delimiter behind each; a null value is an empty one."""
    for batch in batches:
        yield b"".join((row[3] or b"") + delimiter for row in batch.rows)


def document_of(batch: Batch, row: Row) -> Json:
    """A record. Bytes that are UTF-8 stand as text under their name, others as base64 under the name with `_b64`."""
    offset, timestamp, key, value, headers = row
    return {
        "topic": batch.partition.topic,
        "partition": batch.partition.partition,
        "offset": offset,
        "timestamp": timestamp,
        "timestamp_type": batch.timestamp_type.value,
        **_named("key", key),
        **_named("value", value),
        "headers": [_named("key", name) | _named("value", content) for name, content in headers],
    }


def _named(name: str, content: bytes | None) -> Json:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": base64.b64encode(content).decode()}
