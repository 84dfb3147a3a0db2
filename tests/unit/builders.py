"""Makes rows, windows and whole archives for tests, stored as the backup stores them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from millpond.archive.codecs import codec_named
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.archive.names import GapName, GapReason, WindowName
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowSpool, open_window
from millpond.records import Row
from millpond.storage.contract import ObjectStore

ARCHIVE_ID = "9f3c51d07ab2e846"
TOPIC_ID = "Qm3vXk1ZTb6R0nKXv0cV7w"
OTHER_TOPIC_ID = "5tq0mB2pQkC8hG4cJrWnZA"
WRITTEN_MS = 1767225660000
LAYOUT = Layout("backups/kafka")


def a_partition(topic: str = "orders", partition: int = 3, topic_id: str = TOPIC_ID) -> PartitionId:
    return PartitionId(Incarnation(topic, topic_id), partition)


ORDERS_3 = a_partition()


def make_rows(first: int, count: int, *, stamp: int = 1767225600000, size: int = 20) -> list[Row]:
    """Consecutive records with keys, values, tombstones and headers that differ from record to record."""
    return [
        (
            first + i,
            stamp + i * 7 % 5,
            None if i % 5 == 4 else b"key-%d" % (first + i),
            None if i % 7 == 6 else b"%d:" % (first + i) + b"v" * size,
            ((b"trace", b"%d" % i), (b"trace", None), ("größe".encode(), b""))[: i % 4],
        )
        for i in range(count)
    ]


@dataclass(frozen=True)
class BuiltWindow:
    """A window as it goes to the store."""

    facts: WindowFacts
    data: bytes

    @property
    def name(self) -> WindowName:
        return self.facts.name


def make_window(
    rows: Sequence[Row],
    *,
    partition: PartitionId = ORDERS_3,
    first: int | None = None,
    last: int | None = None,
    epoch: int = 7,
    codec: str = "zstandard",
    timestamp_type: TimestampType = TimestampType.CREATE_TIME,
    block_records: int = 10,
    salt: bytes | None = None,
    sync: bytes | None = None,
    archive_id: str = ARCHIVE_ID,
    written: int = WRITTEN_MS,
    redactions: tuple[Redaction, ...] = (),
) -> BuiltWindow:
    """A window of these records; its coverage is theirs unless `first` or `last` say otherwise."""
    stamps = [row[1] for row in rows] or [-1]
    facts = WindowFacts(
        archive_id=archive_id,
        partition=partition,
        first=rows[0][0] if first is None else first,
        last=rows[-1][0] if last is None else last,
        count=0,
        size_bytes=0,
        leader_epoch=epoch,
        timestamp_type=timestamp_type,
        min_timestamp=min(stamps),
        max_timestamp=max(stamps),
        salt="",
        digest="",
        written=written,
        redactions=redactions,
    )
    with tempfile.TemporaryDirectory() as folder:
        spool = WindowSpool(
            Path(folder) / "spool",
            codec=codec_named(codec),
            salt=salt or new_salt(),
            timestamp_type=timestamp_type,
            sync=sync,
        )
        for start in range(0, len(rows), block_records):
            block = rows[start : start + block_records]
            spool.add(len(block), encode_rows(block))
        done, body = spool.finish(facts)
        data = body.read()
        spool.discard()
    return BuiltWindow(done, data)


def put_window(
    store: ObjectStore, window: BuiltWindow, *, layout: Layout = LAYOUT, twin: bool = False, key: str = ""
) -> str:
    """Puts the window where the backup would, or under `key`, and returns its key."""
    name = replace(window.name, twin=window.facts.digest[:8] if twin else "")
    key = key or layout.object(window.facts.partition, name)
    store.put_if_absent(key, window.data, window.facts.to_object_metadata())
    return key


def put_rows(store: ObjectStore, rows: Sequence[Row], *, layout: Layout = LAYOUT, **more: object) -> str:
    """`make_window` and `put_window` at once."""
    return put_window(store, make_window(rows, **more), layout=layout)  # type: ignore[arg-type]


def put_gap(
    store: ObjectStore,
    first: int,
    last: int,
    reason: GapReason = GapReason.RETENTION,
    *,
    partition: PartitionId = ORDERS_3,
    layout: Layout = LAYOUT,
) -> str:
    return write_gap(store, layout, Gap(partition, GapName(first, last, reason), WRITTEN_MS, {"log_start": last + 1}))


def read_window(data: bytes) -> tuple[WindowFacts, list[Row]]:
    """Facts and all records; raises what reading raises."""
    window = open_window(io.BytesIO(data))
    return window.facts, [row for block in window.blocks() for row in block.rows()]


def offsets(rows: Iterable[Row]) -> list[int]:
    return [row[0] for row in rows]
