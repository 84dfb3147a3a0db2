"""kafka-data-keep: Avro files `<topic>/<partition>/<topic>-<partition>-<first>.avro`, and one file of groups.

A file goes on from its first record until its tool closed it; where it ends stands nowhere but in its last record.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from millpond.errors import DamagedArchive, WrongUsage
from millpond.groups.values import Group, PartitionOffset, TopicOffsets
from millpond.imports.avro import read_avro
from millpond.imports.backup import Backup, Commits, Problem, SourceFile, SourcePartition
from millpond.imports.files import FileInfo, Files
from millpond.records import Row

FORMAT = "kafka-data-keep"
_NAMES = "github.utilitywarehouse.kafka_backup_restore."
_FILE = re.compile(
    r"(?P<root>(?:.*/)?)(?P<topic>(?!\.{1,2}/)[A-Za-z0-9._-]{1,249})/(?P<partition>0|[1-9][0-9]{0,9})"
    r"/(?P=topic)-(?P=partition)-(?P<first>[0-9]{19})\.avro"
)
_GROUPS = "consumers.avro"

RECORD_SCHEMA: dict[str, Any] = {
    "name": _NAMES + "KafkaRecord",
    "type": "record",
    "fields": [
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "value", "type": ["null", "bytes"]},
        {"name": "headers", "type": {"type": "map", "values": "bytes"}},
        {"name": "topic", "type": "string"},
        {"name": "partition", "type": "int"},
        {"name": "timestamp", "type": "long"},
        {"name": "offset", "type": "long"},
    ],
}
_PARTITION_SCHEMA = {
    "name": _NAMES + "PartitionOffset",
    "type": "record",
    "fields": [
        {"name": "partition", "type": "int"},
        {"name": "offset", "type": "long"},
        {"name": "leader_epoch", "type": ["null", "int"]},
        {"name": "metadata", "type": ["null", "string"]},
    ],
}
_TOPIC_SCHEMA = {
    "name": _NAMES + "TopicOffset",
    "type": "record",
    "fields": [
        {"name": "topic", "type": "string"},
        {"name": "partitions", "type": {"type": "array", "items": _PARTITION_SCHEMA}},
    ],
}
GROUP_SCHEMA: dict[str, Any] = {
    "name": _NAMES + "ConsumerGroupOffsets",
    "type": "record",
    "fields": [
        {"name": "group_id", "type": "string"},
        {"name": "topics", "type": {"type": "array", "items": _TOPIC_SCHEMA}},
    ],
}
LOST = {
    "duplicate_headers": "of several headers with one key only the last is there",
    "header_order": "headers have no order; they are sorted by key",
    "null_header_values": "header values that were null are empty",
    "aborted_records": "records of aborted transactions are there as if committed, and cannot be told from others",
    "timestamp_type": "who stamped a record is not told; create_time is assumed",
    "leader_epochs": "leader epochs are not told",
    "gap_reasons": "why offsets between or before files are missing is not told",
    "file_ends": "a file that was cut between two blocks looks whole; a gap before the next file may come from that",
    "group_facts": "type, state and members of groups are not told; the file's own time stands for when they were read",
}


def open_backup(files: Files, name: str) -> Backup:
    """What the folder holds. `WrongUsage` where that is no backup, or more than one."""
    found: dict[tuple[str, int], list[SourceFile]] = defaultdict(list)
    roots, groups, ignored, problems = set(), [], [], []
    for info in sorted(files.list()):
        match = _FILE.fullmatch(info.key)
        if match and int(match["partition"]) < 2**31 and int(match["first"]) < 2**63:
            roots.add(match["root"])
            topic, partition, first = match["topic"], int(match["partition"]), int(match["first"])
            read = partial(_rows, files, info.key, topic, partition, first)
            found[topic, partition].append(SourceFile(info.key, first, read))
        elif info.key.rsplit("/", 1)[-1] == _GROUPS:
            groups.append(info)
        elif info.key.endswith(".avro"):
            problems.append(Problem(info.key, "its name is none that kafka-data-keep gives: it is not imported"))
        else:
            ignored.append(info.key)
    _refuse_not_one(roots, groups)
    partitions = (SourcePartition(*place, tuple(of)) for place, of in sorted(found.items()))
    commits = Commits(groups[0].key, partial(_commits, files, groups[0])) if groups else None
    return Backup(FORMAT, name, "", tuple(partitions), commits, LOST, tuple(ignored), tuple(problems))


def _refuse_not_one(roots: set[str], groups: list[FileInfo]) -> None:
    if not roots and not groups:
        raise WrongUsage(
            "the source holds no file of kafka-data-keep",
            hint="name the folder above those of the topics, or its parent",
        )
    several = sorted(roots) if len(roots) > 1 else [info.key for info in groups] if len(groups) > 1 else []
    if several:
        told = ", ".join(repr(one) for one in several[:5])
        raise WrongUsage(f"the source holds more than one backup: {told}", hint="import one folder at a time")


def _rows(files: Files, key: str, topic: str, partition: int, first: int) -> Iterator[Row]:
    """The records of one file, each checked against the file's name."""
    expected = first
    with files.open(key) as stream:
        try:
            for block in read_avro(stream, RECORD_SCHEMA):
                rows = [_row(record, topic, partition) for record in block]
                expected = _behind(rows, expected, first)
                yield from rows
        except DamagedArchive as error:
            raise DamagedArchive(f"cannot read {key}: {error.args[0]}") from error
    if expected == first:
        raise DamagedArchive(f"cannot read {key}: it holds no record, its name says that it starts at {first}")


def _behind(rows: Iterable[Row], expected: int, first: int) -> int:
    """The offset behind these records, which rise from the expected one; the file's first is in its name."""
    for row in rows:
        if row[0] < expected or (expected == first and row[0] != first):
            raise DamagedArchive(f"offset {row[0]} is not in its place, {expected} or later is")
        expected = row[0] + 1
    return expected


def _row(record: dict[str, Any], topic: str, partition: int) -> Row:
    if (record["topic"], record["partition"]) != (topic, partition):
        raise DamagedArchive("it holds a record of another partition than its name says")
    headers = sorted((name.encode(), value) for name, value in record["headers"].items())
    return record["offset"], record["timestamp"], record["key"], record["value"], tuple(headers)


def _commits(files: Files, info: FileInfo) -> tuple[int, tuple[Group, ...]]:
    groups: list[Group] = []
    with files.open(info.key) as stream:
        try:
            for block in read_avro(stream, GROUP_SCHEMA):
                groups += map(_group, block)
        except DamagedArchive as error:
            raise DamagedArchive(f"cannot read {info.key}: {error.args[0]}") from error
    return info.modified_ms, tuple(groups)


def _group(record: dict[str, Any]) -> Group:
    topics = (TopicOffsets(topic["topic"], "", tuple(map(_offset, topic["partitions"]))) for topic in record["topics"])
    return Group(record["group_id"], "", "", "", 0, tuple(topics))


def _offset(found: dict[str, Any]) -> PartitionOffset:
    epoch = -1 if found["leader_epoch"] is None else found["leader_epoch"]
    return PartitionOffset(found["partition"], found["offset"], epoch, found["metadata"] or "", -1)
