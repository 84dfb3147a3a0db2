"""Settings of `millpond backup` and of the backup consumer's container."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from millpond.archive.codecs import codec_named
from millpond.backup.budget import spool_limit
from millpond.backup.options import BackupOptions, Parts, Rotation
from millpond.errors import WrongUsage
from millpond.kafka.selection import Selection
from millpond.settings.parts import ArchiveSettings, ClusterSettings, CommaList, items
from millpond.settings.telemetry import TelemetrySettings


class BackupSettings(TelemetrySettings, ArchiveSettings, ClusterSettings):
    """Topics to the archive."""

    verb: ClassVar[str] = "backup"

    topics: CommaList = Field("", description="regular expressions that match whole topic names, comma separated")
    topic_names: CommaList = Field("", description="names of topics as they are, beside or instead of --topics")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    group_id: str = Field("", description="consumer group; by default millpond-<archive_id>")
    max_age: float = Field(300, description="seconds until what was read is in the archive, give or take a fifth", gt=0)
    max_bytes: int = Field(64 << 20, description="compressed bytes at which a window closes", ge=1 << 10)
    max_records: int = Field(0, description="records at which a window closes; 0 is no limit", ge=0)
    codec: str = Field("zstandard", description="zstandard, deflate or null")
    workers: int = Field(1, description="processes that share the work", ge=1, le=256)
    spool: Path | None = Field(None, description="folder for open windows; by default a temporary one")
    spool_bytes: int = Field(0, description="what may lie there; 0 is four fifths of what is free", ge=0)
    settle: float = Field(0, description="seconds that the group must be quiet before partitions are read", ge=0)
    skip_unreadable: bool = Field(
        False, description="leave out records that the client cannot give, each with a marker; else the partition stops"
    )
    partition_by: CommaList = Field(
        "", description="write windows as one object for each value, such as key.country,timestamp.date"
    )
    key_schema: str = Field("", description="file with the Avro schema of keys, or its JSON, for --partition-by")
    erasure_policy: str = Field("", description="file with a policy whose places must not stand in names, or its JSON")
    erasure_secret: str = Field(
        "", description="file, secretsmanager:NAME or ARN of the erasure secret, for --partition-by"
    )
    snapshot_every: float = Field(60, description="seconds between snapshots of groups and cluster; 0 is never", ge=0)
    once: bool = Field(False, description="end when all is in the archive that was there at the start")

    def options(self, spool: Path, *, share: int = 1) -> BackupOptions:
        """For one process of `share` that have the same disk."""
        return BackupOptions(
            selection=self.selection(),
            spool=spool,
            rotation=Rotation(self.max_age, self.max_bytes, self.max_records),
            spool_bytes=self._spool_bytes(spool) // share,
            codec=codec_named(self.codec),
            parts=self._parts(),
            group_id=self.group_id,
            once=self.once,
            skip_unreadable=self.skip_unreadable,
            settle_s=self.settle,
            snapshot_every_s=self.snapshot_every,
        )

    def selection(self) -> Selection:
        """`WrongUsage` where nothing is chosen, or an expression is none."""
        topics, names = items(self.topics), items(self.topic_names)
        if not topics and not names:
            raise WrongUsage("no topic is chosen", hint="set --topics or --topic-names")
        return Selection.of(topics, items(self.exclude_topics), names=names)

    def _spool_bytes(self, spool: Path) -> int:
        return spool_limit(next(folder for folder in (spool, *spool.parents) if folder.exists()), self.spool_bytes)

    def _parts(self) -> Parts | None:
        if not self.partition_by:
            return None
        return Parts(self.partition_by, self.key_schema, self.erasure_policy, self.erasure_secret)
