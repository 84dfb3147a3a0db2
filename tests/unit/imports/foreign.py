"""Backups of other tools, made by hand, and imports of them into an archive in memory."""

from __future__ import annotations

import io
import itertools
import json
import struct
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import fastavro

from millpond.archive.catalog import PartitionListing, read_archive
from millpond.archive.keys import Layout
from millpond.archive.window import open_window
from millpond.backup.spool import SpoolFolder
from millpond.imports import kafka_data_keep, oso
from millpond.imports.backup import Backup
from millpond.imports.files import FolderFiles, StoreFiles
from millpond.imports.run import ImportRequest, import_backup
from millpond.imports.write import Target
from millpond.records import Row
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore

DATA = Path(__file__).parents[2] / "data"
LAYOUT = Layout("pond")
_clock = itertools.count(1_790_000_000_000)

Rows = dict[tuple[str, int], list[Row]]


def row(offset: int, value: bytes | None = b"v", key: bytes | None = b"k", **headers: bytes) -> Row:
    return offset, 1_700_000_000_000 + offset, key, value, tuple((name.encode(), v) for name, v in headers.items())


def keep_file(rows: Sequence[Row], topic: str = "orders", partition: int = 0, *, codec: str = "zstandard") -> bytes:
    """A file of kafka-data-keep."""
    records = [
        {
            "key": key,
            "value": value,
            "headers": {name.decode(): found for name, found in headers},
            "topic": topic,
            "partition": partition,
            "timestamp": stamp,
            "offset": offset,
        }
        for offset, stamp, key, value, headers in rows
    ]
    out = io.BytesIO()
    fastavro.writer(out, fastavro.parse_schema(kafka_data_keep.RECORD_SCHEMA), records, codec=codec, sync_interval=200)
    return out.getvalue()


def keep_key(first: int, topic: str = "orders", partition: int = 0) -> str:
    return f"backup/{topic}/{partition}/{topic}-{partition}-{first:019d}.avro"


def keep_store(*files: Sequence[Row], topic: str = "orders", partition: int = 0) -> MemoryStore:
    """A backup of one partition."""
    store = MemoryStore()
    for rows in files:
        store.put_if_absent(keep_key(rows[0][0], topic, partition), keep_file(rows, topic, partition))
    return store


def entry(row: Row) -> bytes:
    """One entry of a segment."""
    offset, stamp, key, value, headers = row
    parts = [struct.pack("<qq", stamp, offset), _sized(key), _sized(value), struct.pack("<H", len(headers))]
    parts += [struct.pack("<H", len(name)) + name + _sized(found) for name, found in headers]
    body = b"".join(parts)
    return struct.pack("<I", len(body)) + body


def _sized(content: bytes | None) -> bytes:
    return struct.pack("<i", -1) if content is None else struct.pack("<i", len(content)) + content


def segment(rows: Sequence[Row], *, body: bytes | None = None, compression: int = 0) -> bytes:
    """A segment of OSO kafka-backup."""
    head = struct.pack("<4sBB2sQqq", b"KBAK", 1, compression, b"\0\0", len(rows), rows[0][0], rows[-1][0])
    whole = head + (b"".join(map(entry, rows)) if body is None else body)
    return whole + struct.pack("<I4s", zlib.crc32(whole), b"BKAE")


def commit(offset: int, *, abort: bool = False) -> Row:
    """The end of a transaction as the tool keeps it."""
    return offset, 1_700_000_000_000, b"\0\0\0" + (b"\0" if abort else b"\1"), b"\0\0\0\0\0\2", ()


def oso_store(*segments: Sequence[Row], gaps: Iterable[dict[str, Any]] = (), topic: str = "orders") -> MemoryStore:
    """A backup `b1` of partition 0 of one topic."""
    store, listed = MemoryStore(), []
    for rows in segments:
        key = f"b1/topics/{topic}/partition=0/segment-{rows[0][0]:020d}.bin"
        store.put_if_absent(key, segment(rows))
        listed.append(
            {"key": key, "start_offset": rows[0][0], "end_offset": rows[-1][0], "record_count": len(rows)},
        )
    partition = {"partition_id": 0, "segments": listed, "gaps": list(gaps)}
    manifest = {"backup_id": "b1", "source_cluster_id": None, "topics": [{"name": topic, "partitions": [partition]}]}
    store.put_if_absent("b1/manifest.json", json.dumps(manifest).encode())
    return store


class Import:
    """Imports into one archive, as often as asked for."""

    def __init__(self, store: Any = None, *, window_bytes: int = 64 << 20) -> None:
        self.store = MemoryStore() if store is None else store
        self.window_bytes = window_bytes

    def __call__(self, source: Any, backup_format: str, *, dry_run: bool = False, **request: Any) -> dict[str, Any]:
        files = FolderFiles(source) if isinstance(source, Path) else StoreFiles(source, "")
        with tempfile.TemporaryDirectory() as folder:
            spool = SpoolFolder(Path(folder))
            try:
                backup = self._opened(files, backup_format, Path(folder))
                target = Target(
                    self.store, LAYOUT, "", spool.new_path, lambda: next(_clock), self.window_bytes, dry_run=dry_run
                )
                return import_backup(backup, target, ImportRequest(**request))
            finally:
                spool.close()
                assert [path.name for path in Path(folder).iterdir()] == ["lock"]  # nothing is left of any window

    @staticmethod
    def _opened(files: Any, backup_format: str, folder: Path) -> Backup:
        if backup_format == oso.FORMAT:
            return oso.open_backup(files, folder)
        return kafka_data_keep.open_backup(files, "s3://source/keep")

    def stored(self) -> list[str]:
        return [info.key for info in self.store.list("") if isinstance(info, ObjectInfo)]

    def listings(self) -> dict[tuple[str, int], PartitionListing]:
        found = [item for item in read_archive(self.store, LAYOUT) if isinstance(item, PartitionListing)]
        return {(item.partition.topic, item.partition.partition): item for item in found}

    def rows(self) -> Rows:
        """All records, read back with every check of a window; offsets may not come twice."""
        found: Rows = {}
        for place, listing in self.listings().items():
            rows = [row for live in listing.live() for row in self._window(listing, live.window.info.key)]
            assert [row[0] for row in rows] == sorted({row[0] for row in rows})
            found[place] = rows
        return found

    def _window(self, listing: PartitionListing, key: str) -> list[Row]:
        with self.store.open(key) as stream:
            window = open_window(stream)
            assert window.facts.partition == listing.partition
            return [row for block in window.blocks() for row in block.rows()]

    def markers(self, topic: str = "orders", partition: int = 0) -> list[tuple[int, int, str]]:
        listing = self.listings()[topic, partition]
        return [(gap.first, gap.last, gap.reason.value) for gap in listing.gaps]
