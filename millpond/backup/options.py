"""What a backup is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from millpond.archive.codecs import CODECS, Codec
from millpond.kafka.selection import Selection


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """Settings of one backup process.

    Attributes:
        spool: Folder for open windows; one process at a time may use it.
        max_age_s: A window closes this long after its first record, give or take a fifth.
        max_bytes: A window closes when its compressed blocks reach this.
        block_bytes: A block is cut when its encoding reaches this.
        group_id: The consumer group; by default millpond-<archive_id>.
        once: End when everything is stored that was there at the start.
        confirm_after_s: How long after reading a record its topic's id is asked again.
        discover_every_s: How often topics are looked for.
    """

    selection: Selection
    spool: Path
    max_age_s: float = 300
    max_bytes: int = 64 << 20
    block_bytes: int = 256 << 10
    codec: Codec = field(default=CODECS["zstandard"])
    group_id: str = ""
    once: bool = False
    confirm_after_s: float = 5
    discover_every_s: float = 10
