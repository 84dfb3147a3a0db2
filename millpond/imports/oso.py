"""OSO kafka-backup: a folder with a manifest, the segments it lists, and a snapshot of groups."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from millpond.archive.documents import Json, parse_object
from millpond.errors import DamagedArchive, WrongUsage
from millpond.groups.values import Group, PartitionOffset, TopicOffsets
from millpond.imports.backup import Backup, Commits, Item, KnownGap, Problem, SourceFile, SourcePartition
from millpond.imports.files import Files
from millpond.imports.oso_segment import SegmentFacts, read_segment

FORMAT = "kafka-backup"
_MANIFEST, _GROUPS = "manifest.json", "consumer-groups-snapshot.json"
_TOPIC = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_SEGMENT = re.compile(r"segment-(?P<first>[0-9]{20})\.bin(\.zst|\.lz4)?")
_CODE = re.compile(r"[a-z][a-z_]{0,59}")
_RETENTION = "offset_out_of_range"
LOST = {
    "duplicate_headers": "of several headers with one key only the last is there",
    "null_header_values": "header values that were null are empty",
    "aborted_records": "records of aborted transactions are there as if committed, and cannot be told from others",
    "control_records": "ends of transactions are not marked as such; entries of exactly their shape are left out",
    "timestamp_type": "who stamped a record is not told; create_time is assumed",
    "leader_epochs": "leader epochs are not told",
    "group_facts": "leader epochs and texts of commits, type, state and members of groups are not told",
}


def open_backup(files: Files, spool: Path) -> Backup:
    """What the manifest lists.

    Raises:
        WrongUsage: There is no manifest, or more than one.
        DamagedArchive: The manifest is not one.
    """
    keys = sorted(info.key for info in files.list())
    root = _root(keys)
    with files.open(root + _MANIFEST) as stream:
        manifest = parse_object(stream.read(), root + _MANIFEST)
    try:
        name, cluster = _text(manifest["backup_id"]), manifest.get("source_cluster_id")
        partitions = tuple(_partitions(files, spool, root, name, manifest["topics"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedArchive(f"{root + _MANIFEST} is not a manifest of kafka-backup: {error}") from error
    _refuse_twice(partitions, root)
    commits = Commits(root + _GROUPS, partial(_commits, files, root + _GROUPS)) if root + _GROUPS in keys else None
    known = {file.key for partition in partitions for file in partition.files}
    left = [key for key in keys if key not in known and key not in (root + _MANIFEST, root + _GROUPS)]
    unlisted = tuple(Problem(key, "the manifest does not list it: it is not imported") for key in left if _is_ours(key))
    ignored = tuple(key for key in left if not _is_ours(key))
    return Backup(FORMAT, name, _text(cluster or ""), partitions, commits, LOST, ignored, unlisted)


def _root(keys: Iterable[str]) -> str:
    """The folder of the one manifest, with its slash."""
    found = [key.removesuffix(_MANIFEST) for key in keys if key == _MANIFEST or key.endswith(f"/{_MANIFEST}")]
    if not found:
        raise WrongUsage("the source holds no manifest.json of kafka-backup", hint="name the folder of one backup")
    if len(found) > 1:
        told = ", ".join(repr(folder) for folder in found[:5])
        raise WrongUsage(f"the source holds {len(found)} backups: {told}", hint="import one folder at a time")
    return found[0]


def _is_ours(key: str) -> bool:
    return _SEGMENT.fullmatch(key.rsplit("/", 1)[-1]) is not None


def _partitions(files: Files, spool: Path, root: str, name: str, topics: list[Json]) -> Iterator[SourcePartition]:
    for topic in topics:
        if not _TOPIC.fullmatch(topic["name"]):
            raise ValueError("a topic has a name that Kafka does not allow")
        for partition in topic["partitions"]:
            number = _number(partition["partition_id"], 2**31)
            folder = f"topics/{topic['name']}/partition={number}/"
            found = (_segment(files, spool, root, f"{name}/", folder, entry) for entry in partition["segments"])
            gaps = tuple(gap for entry in partition.get("gaps", ()) if (gap := _gap(entry)))
            yield SourcePartition(topic["name"], number, tuple(found), gaps)


def _segment(files: Files, spool: Path, root: str, name: str, folder: str, entry: Json) -> SourceFile:
    """A segment, whose key must say the same topic, partition and first offset as the entry."""
    key = _text(entry["key"])
    first, last = _number(entry["start_offset"]), _number(entry["end_offset"])
    match = _SEGMENT.fullmatch(key.removeprefix(name + folder))
    if not key.startswith(name + folder) or match is None or int(match["first"]) != first or last < first:
        raise ValueError(f"the segment {key[:300]!r} is not where its entry belongs")
    place = root + key.removeprefix(name)
    return SourceFile(
        place, first, partial(_items, files, place, SegmentFacts(first, last, entry["record_count"]), spool)
    )


def _items(files: Files, key: str, expected: SegmentFacts, spool: Path) -> Iterator[Item]:
    with files.open(key) as stream:
        try:
            yield from read_segment(stream, expected, spool)
        except DamagedArchive as error:
            raise DamagedArchive(f"cannot read {key}: {error.args[0]}") from error


def _gap(entry: Json) -> KnownGap | None:
    """The manifest names the offset behind a gap, at which reading went on."""
    first, end, code = _number(entry["start_offset"]), _number(entry["end_offset"]), _text(entry["reason"])
    told = code if _CODE.fullmatch(code) else "other"
    return KnownGap(first, end - 1, told, told == _RETENTION) if end > first else None


def _refuse_twice(partitions: tuple[SourcePartition, ...], root: str) -> None:
    places = [(one.topic, one.partition) for one in partitions]
    if len(set(places)) < len(places):
        raise DamagedArchive(f"{root + _MANIFEST} lists a partition twice")


def _commits(files: Files, key: str) -> tuple[int, tuple[Group, ...]]:
    with files.open(key) as stream:
        document = parse_object(stream.read(), key)
    try:
        at = _number(document["snapshot_time"], 253_402_300_800_000)
        groups = [Group(_text(g["group_id"]), "", "", "", 0, tuple(_topics(g["offsets"]))) for g in document["groups"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedArchive(f"{key} is not a snapshot of groups: {type(error).__name__}") from error
    return at, tuple(groups)


def _topics(offsets: Mapping[str, Mapping[str, Any]]) -> Iterator[TopicOffsets]:
    for topic, found in offsets.items():
        partitions = (PartitionOffset(int(number), _number(offset), -1, "", -1) for number, offset in found.items())
        yield TopicOffsets(topic, "", tuple(partitions))


def _number(found: Any, end: int = 2**63) -> int:
    if type(found) is not int or not 0 <= found < end:
        raise ValueError("a number is missing or out of range")
    return found


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError("a text is missing")
    return found
