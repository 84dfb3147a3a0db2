"""Settings of `millpond backup` and of the backup consumer's container."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from millpond.archive.codecs import codec_named
from millpond.backup.options import BackupOptions
from millpond.kafka.selection import Selection
from millpond.settings.parts import ArchiveSettings, ClusterSettings, CommaList, items


class BackupSettings(ArchiveSettings, ClusterSettings):
    """Topics to the archive."""

    verb: ClassVar[str] = "backup"

    topics: CommaList = Field(
        description="regular expressions that match whole topic names, comma separated", min_length=1
    )
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    group_id: str = Field("", description="consumer group; by default millpond-<archive_id>")
    max_age: float = Field(300, description="seconds until what was read is in the archive, give or take a fifth", gt=0)
    max_bytes: int = Field(64 << 20, description="compressed bytes at which a window closes", ge=1 << 10)
    codec: str = Field("zstandard", description="zstandard, deflate or null")
    spool: Path | None = Field(None, description="folder for open windows; by default a temporary one")
    once: bool = Field(False, description="end when all is in the archive that was there at the start")

    def options(self, spool: Path) -> BackupOptions:
        return BackupOptions(
            selection=Selection.of(items(self.topics), items(self.exclude_topics)),
            spool=spool,
            max_age_s=self.max_age,
            max_bytes=self.max_bytes,
            codec=codec_named(self.codec),
            group_id=self.group_id,
            once=self.once,
        )
