"""Kafka messages and open windows without Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from millpond.archive.codecs import CODECS
from millpond.archive.keys import PartitionId
from millpond.archive.schema import TimestampType
from millpond.backup.partition import Closed, PartitionBackup
from millpond.backup.positions import Start
from millpond.backup.window import BlockWriter, OpenBlocks, OpenWindow
from tests.unit.builders import ORDERS_3

CREATE, APPEND = 1, 2
OpenAt = Callable[[int, int, TimestampType, float], OpenWindow]


def message(offset: int, *, epoch: int | None = 7, at: int = 1767225600000, kind: int = CREATE, **more: Any) -> Message:
    told = {"key": b"k%d" % offset, "value": b"v%d" % offset, "headers": []} | more
    place = {"topic": ORDERS_3.topic, "partition": ORDERS_3.partition}
    known = {} if epoch is None else {"leader_epoch": epoch}
    return Message(offset=offset, timestamp=(kind, at), **known, **place, **told)


def messages(offsets: Sequence[int], **more: Any) -> list[Message]:
    return [message(offset, **more) for offset in offsets]


def opener(folder: Path, writer: BlockWriter, block_bytes: int = 200, blocks: OpenBlocks | None = None) -> OpenAt:
    """As `BackupConsumer` opens windows."""
    names: Iterator[int] = iter(range(10**6))
    together = blocks or OpenBlocks()

    def open_window(first: int, epoch: int, kind: TimestampType, now: float) -> OpenWindow:
        path = folder / f"{next(names)}.blocks"
        told: dict[str, Any] = {"first": first, "epoch": epoch, "timestamp_type": kind, "opened_at": now}
        return OpenWindow(path, writer, together, codec=CODECS["zstandard"], block_bytes=block_bytes, **told)

    return open_window


def a_backup(
    open_window: OpenAt, position: int = 0, epoch: int = -1, *, partition: PartitionId = ORDERS_3
) -> PartitionBackup:
    return PartitionBackup(Start(partition, position, epoch), open_window)


def told(closed: Closed) -> tuple[int, int, int, int]:
    """First, last, epoch (-1 for no window), records."""
    window = closed.window
    return closed.first, closed.last, window.epoch if window else -1, window.count if window else 0
