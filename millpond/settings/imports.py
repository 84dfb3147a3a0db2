"""Settings of `millpond import`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from millpond.errors import WrongUsage
from millpond.imports import kafka_data_keep, oso
from millpond.imports.backup import Backup
from millpond.imports.files import open_files
from millpond.imports.run import ImportRequest
from millpond.kafka.selection import Selection
from millpond.settings.parts import ArchiveSettings, CommaList, items

_FORMATS = f"{kafka_data_keep.FORMAT}|{oso.FORMAT}"


class ImportSettings(ArchiveSettings):
    """A backup that another tool made, to an archive."""

    verb: ClassVar[str] = "import"

    source_format: CliPositionalArg[str] = Field(
        description=f"what made the backup: {_FORMATS.replace('|', ' or ')}", pattern=f"^({_FORMATS})$"
    )
    source: CliPositionalArg[str] = Field(description="s3://bucket/prefix, file:///folder or a folder")
    source_endpoint: str = Field("", description="URL of the source's S3 API, where it is not that of the archive")
    source_id: str = Field(
        "",
        description="name of the backup that topic ids are made from; by default its URL, or its backup_id",
        pattern=r"^[!-~]{0,300}$",
    )
    cluster_id: str = Field(
        "", description="id of the cluster that was backed up, where the backup does not say", pattern=r"^[!-~]{0,64}$"
    )
    topics: CommaList = Field("", description="regular expressions that match whole topic names; all by default")
    drop_aborted: bool = Field(
        False,
        description="leave out what lies between the end of a transaction and the abort of the next; wrong where"
        " transactions of several producers, or other records, share a partition",
    )
    window_bytes: int = Field(64 << 20, description="encoded bytes at which a window closes", ge=1 << 10, le=1 << 30)
    spool: Path | None = Field(None, description="folder for files under way; a temporary one by default")
    dry_run: bool = Field(False, description="read and check everything, write nothing")

    def backup(self, spool: Path) -> Backup:
        """The backup, listed; see the formats for what is raised."""
        if self.drop_aborted and self.source_format != oso.FORMAT:
            raise WrongUsage(
                f"--drop-aborted goes with {oso.FORMAT} only", hint="other backups do not tell where transactions end"
            )
        files, name = open_files(self.source, endpoint_url=self.source_endpoint or self.s3_endpoint or None)
        if self.source_format == oso.FORMAT:
            return oso.open_backup(files, spool)
        return kafka_data_keep.open_backup(files, name)

    def request(self) -> ImportRequest:
        chosen = items(self.topics)
        topics = Selection.of(chosen) if chosen else None
        return ImportRequest(self.source_id, self.cluster_id, topics, self.drop_aborted)
