"""Stores windows in parts as the backup does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from millpond.archive.catalog import PartitionListing, read_partition
from millpond.archive.codecs import codec_named
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import WindowFacts
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.parts import PartsDocument, read_document, windows_in_parts
from millpond.archive.window import WindowSpool
from millpond.backup.partitioner import Partitioner
from millpond.backup.store_parts import store_parts
from millpond.records import Row
from millpond.storage.contract import ObjectInfo
from tests.unit.builders import LAYOUT, ORDERS_3, make_window

KEY = Partitioner.of("key")


def store_in_parts(
    store: Any,
    rows: Sequence[Row],
    partitioner: Partitioner = KEY,
    *,
    layout: Layout = LAYOUT,
    codec: str = "zstandard",
    block_records: int = 7,
    facts: WindowFacts | None = None,
    folder: Path | None = None,
    **more: Any,
) -> str:
    """Spools the records and stores them; `more` as for `make_window`, or `facts` that are complete but for counts."""
    done = facts or make_window(rows, codec=codec, **more).facts
    empty = replace(done, count=0, size_bytes=0, salt="", digest="")
    with tempfile.TemporaryDirectory() as temporary:
        path = (folder or Path(temporary)) / "window.blocks"
        spool = WindowSpool(path, codec=codec_named(codec), salt=new_salt(), timestamp_type=done.timestamp_type)
        try:
            for start in range(0, len(rows), block_records):
                block = rows[start : start + block_records]
                spool.add(len(block), encode_rows(block))
            return store_parts(store, layout, spool, empty, partitioner)
        finally:
            spool.discard()


def documents(store: Any, partition: PartitionId = ORDERS_3, *, layout: Layout = LAYOUT) -> list[PartsDocument]:
    """The lists of parts of all windows of the partition."""
    listing = read_partition(store, layout, partition)
    return [read_document(store, layout, partition, window.name, window.info) for window in windows_in_parts(listing)]


def listing_of(store: Any, partition: PartitionId = ORDERS_3, *, layout: Layout = LAYOUT) -> PartitionListing:
    return read_partition(store, layout, partition)


def keys_of(store: Any, ending: str = "") -> list[str]:
    return [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo) and entry.key.endswith(ending)]
