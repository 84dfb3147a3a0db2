"""What a backup is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from millpond.archive.codecs import CODECS, Codec
from millpond.kafka.selection import Selection


@dataclass(frozen=True, slots=True)
class Rotation:
    """When an open window is closed.

    Attributes:
        max_age_s: So long after its first record, give or take a fifth.
        max_bytes: When its compressed blocks reach this.
        max_records: When it holds so many records; 0 is no limit.
    """

    max_age_s: float = 300
    max_bytes: int = 64 << 20
    max_records: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """How windows are written as several objects, and what must not stand in their names; see `partitioner_of`."""

    expression: str
    key_schema: str = ""
    erasure_policy: str = ""
    erasure_secret: str = ""


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """Settings of one backup process.

    Attributes:
        spool: Folder for open windows; one process at a time may use it.
        spool_bytes: What may lie there; 0 is four fifths of what is free at the start.
        block_bytes: A block is cut when its encoding reaches this.
        open_bytes: Encoded bytes of all open blocks together; beyond it the largest are cut early.
        parts: Windows as one object for each value of something in the records; None is one object for each window.
        group_id: The consumer group; by default millpond-<archive_id>.
        once: End when everything is stored that was there at the start.
        skip_unreadable: Leave out records that the client cannot give, each with a marker; else the partition stops.
        settle_s: How long the group must have been quiet before partitions are read.
        confirm_after_s: How long after reading a record its topic's id is asked again.
        discover_every_s: How often topics are looked for.
        brokers_lost_s: Brokers that say nothing for so long are taken for lost: all that was read is stored.
        retry_stopped_s: How long after it was stopped a partition is tried again.
        snapshot_every_s: How often groups and cluster metadata are kept; 0 is never.
    """

    selection: Selection
    spool: Path
    rotation: Rotation = field(default_factory=Rotation)
    spool_bytes: int = 0
    block_bytes: int = 256 << 10
    open_bytes: int = 96 << 20
    codec: Codec = field(default=CODECS["zstandard"])
    parts: Parts | None = None
    group_id: str = ""
    once: bool = False
    skip_unreadable: bool = False
    settle_s: float = 0
    confirm_after_s: float = 5
    discover_every_s: float = 10
    brokers_lost_s: float = 30
    retry_stopped_s: float = 300
    snapshot_every_s: float = 0
