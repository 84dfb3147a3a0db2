"""Settings of `millpond groups`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.settings.base import VerbSettings
from millpond.settings.parts import ArchiveSettings, ClusterSettings, CommaList, items
from millpond.settings.times import moment_of


class GroupNames(VerbSettings):
    """Which groups."""

    groups: CommaList = Field("", description="regular expressions that match whole group ids; all by default")
    exclude_groups: CommaList = Field("", description="expressions of groups to leave out")

    @property
    def include(self) -> tuple[str, ...]:
        return items(self.groups)

    @property
    def exclude(self) -> tuple[str, ...]:
        return items(self.exclude_groups)


class GroupsSnapshotSettings(ArchiveSettings, ClusterSettings, GroupNames):
    """The committed offsets of all groups to the archive."""

    verb: ClassVar[str] = "groups snapshot"


class _UntilSettings(ArchiveSettings):
    at: str = Field("", description="RFC 3339 or epoch ms: none that was taken after this time; by default the newest")

    @property
    def until_ms(self) -> int | None:
        return moment_of(self.at, "--at") if self.at else None


class GroupsListSettings(_UntilSettings):
    """The snapshots of groups, newest first."""

    verb: ClassVar[str] = "groups list"

    limit: int = Field(20, description="how many snapshots", ge=1, le=10_000)


class GroupsShowSettings(_UntilSettings, GroupNames):
    """One snapshot of groups."""

    verb: ClassVar[str] = "groups show"

    offsets: bool = Field(False, description="a line for each partition")
