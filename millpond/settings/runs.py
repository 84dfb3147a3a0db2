"""Settings of `millpond runs`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from millpond.settings.parts import ArchiveSettings


class _KindSettings(ArchiveSettings):
    kind: str = Field("", description="restore, redact, coverage, ...; all by default", pattern="^[a-z-]{0,40}$")


class RunsListSettings(_KindSettings):
    """The runs of an archive, newest first."""

    verb: ClassVar[str] = "runs list"

    limit: int = Field(20, description="how many runs of each kind", ge=1, le=10_000)


class RunsShowSettings(_KindSettings):
    """One run: how far it is, and what failed."""

    verb: ClassVar[str] = "runs show"

    run_name: CliPositionalArg[str] = Field(description="id of the run", pattern="^[A-Za-z0-9._-]{1,80}$")
    partitions: bool = Field(False, description="a line for each partition, not only for those that are not done")
