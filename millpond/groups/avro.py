"""The object of a group snapshot: an Avro file, one record a group. docs/format.md, section 11.5."""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import asdict
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException

from millpond.archive.documents import parse
from millpond.archive.schema import FORMAT_VERSION, refuse_newer
from millpond.errors import DamagedArchive
from millpond.groups.values import Failure, Group, GroupSnapshot, PartitionOffset, TopicOffsets

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Group",
    "namespace": "millpond",
    "fields": [
        {"name": "at", "type": "long"},
        {"name": "group_id", "type": "string"},
        {"name": "type", "type": "string"},
        {"name": "state", "type": "string"},
        {"name": "protocol", "type": "string"},
        {"name": "members", "type": "int"},
        {
            "name": "topics",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "TopicOffsets",
                    "fields": [
                        {"name": "topic", "type": "string"},
                        {"name": "topic_id", "type": "string"},
                        {
                            "name": "partitions",
                            "type": {
                                "type": "array",
                                "items": {
                                    "type": "record",
                                    "name": "PartitionOffset",
                                    "fields": [
                                        {"name": "partition", "type": "int"},
                                        {"name": "offset", "type": "long"},
                                        {"name": "leader_epoch", "type": "int"},
                                        {"name": "metadata", "type": "string"},
                                        {"name": "log_end", "type": "long"},
                                        {"name": "pending", "type": "boolean"},
                                    ],
                                },
                            },
                        },
                    ],
                },
            },
        },
    ],
}
_BLOCK_BYTES = 256 << 10
# What fastavro raises for bytes that are not what they claim to be.
_DAMAGE = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    StopIteration,
    zlib.error,
    struct.error,
    SchemaParseException,
)


def encode(snapshot: GroupSnapshot, *, codec: str = "deflate", sync: bytes | None = None) -> bytes:
    """The object's bytes.

    Args:
        sync: The 16 bytes between blocks, random by default.
    """
    metadata = {
        "millpond.format": str(FORMAT_VERSION),
        "millpond.archive_id": snapshot.archive_id,
        "millpond.at": str(snapshot.at),
        "millpond.count": str(len(snapshot.groups)),
        "millpond.failed": json.dumps([asdict(failure) for failure in snapshot.failed], separators=(",", ":")),
    }
    records = ({"at": snapshot.at, **asdict(group)} for group in snapshot.groups)
    out = io.BytesIO()
    schema = fastavro.parse_schema(SCHEMA)
    fastavro.writer(
        out, schema, records, codec=codec, metadata=metadata, sync_interval=_BLOCK_BYTES, sync_marker=sync or b""
    )
    return out.getvalue()


def decode(content: bytes, what: str) -> GroupSnapshot:
    """A snapshot out of its object.

    Args:
        what: Names the object in errors.

    Raises:
        DamagedArchive: The bytes are not what was written.
        WrongUsage: The object has a newer format.
    """
    try:
        reader = fastavro.reader(io.BytesIO(content))
        facts = {name: text for name, text in (reader.metadata or {}).items() if isinstance(text, str)}
        refuse_newer(facts.get("millpond.format", ""), what)
        records = [record for record in reader if isinstance(record, dict)]
        snapshot, count = _snapshot(facts, records, what), int(facts["millpond.count"])
    except _DAMAGE as error:
        raise DamagedArchive(f"{what} is not a snapshot of groups: {type(error).__name__}") from error
    if len(snapshot.groups) != count:
        raise DamagedArchive(f"{what} holds {len(snapshot.groups)} groups, its header says {count}")
    return snapshot


def _snapshot(facts: dict[str, str], records: list[dict[str, Any]], what: str) -> GroupSnapshot:
    failed = parse(facts["millpond.failed"], f"the list of failures in {what}")
    return GroupSnapshot(
        int(facts["millpond.at"]),
        facts["millpond.archive_id"],
        tuple(map(_group, records)),
        tuple(Failure(**_known(Failure, failure)) for failure in failed),
    )


def _group(record: dict[str, Any]) -> Group:
    topics = (TopicOffsets(topic["topic"], topic["topic_id"], _partitions(topic)) for topic in record["topics"])
    return Group(**(_known(Group, record) | {"topics": tuple(topics)}))


def _partitions(topic: dict[str, Any]) -> tuple[PartitionOffset, ...]:
    return tuple(PartitionOffset(**_known(PartitionOffset, partition)) for partition in topic["partitions"])


def _known(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """A later release may add fields."""
    names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    return {name: fields[name] for name in names if name in fields}
