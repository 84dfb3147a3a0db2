"""Settings of `millpond cluster`, and of the function that takes both snapshots on a schedule."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.cluster.apply import Asked
from millpond.kafka.selection import Selection
from millpond.settings.groups import GroupsSnapshotSettings
from millpond.settings.parts import ArchiveSettings, ClusterSettings, CommaList, items
from millpond.settings.restore import TargetSettings
from millpond.settings.times import moment_of

_PREFIX = "^[a-zA-Z0-9._-]{0,100}$"


class ClusterSnapshotSettings(ArchiveSettings, ClusterSettings):
    """What the cluster tells of itself to the archive."""

    verb: ClassVar[str] = "cluster snapshot"

    topics: CommaList = Field("", description="expressions of the backup, to mark the topics that it does not cover")
    exclude_topics: CommaList = Field("", description="expressions of topics that the backup leaves out")

    def selection(self) -> Selection | None:
        """None where nobody said what is backed up."""
        include = items(self.topics)
        return Selection.of(include, items(self.exclude_topics)) if include else None


class _OfATime(ArchiveSettings):
    at: str = Field("", description="RFC 3339 or epoch ms: the last snapshot up to this time; by default the newest")
    prefix: str = Field("", description="in front of the names of archived topics on the cluster", pattern=_PREFIX)

    @property
    def until_ms(self) -> int | None:
        return moment_of(self.at, "--at") if self.at else None


class ClusterDiffSettings(ClusterSnapshotSettings, _OfATime):
    """How a cluster differs from the archive's snapshot."""

    verb: ClassVar[str] = "cluster diff"


class ClusterApplySettings(TargetSettings, _OfATime):
    """What the archive's snapshot has and a cluster lacks, to the cluster."""

    verb: ClassVar[str] = "cluster apply"

    topics: CommaList = Field("", description="expressions of archived topics; all by default")
    exclude_topics: CommaList = Field("", description="expressions of topics to leave out")
    configs: bool = Field(False, description="set settings that differ on topics that are there")
    apply_retention: bool = Field(False, description="with --configs: retention and cleanup too, which delete records")
    add_partitions: bool = Field(False, description="give topics the partitions that they lack")
    acls: bool = Field(False, description="add the archived access control")
    confirm: bool = Field(False, description="do it; without this it is only shown what would be done")

    def asked(self) -> Asked:
        return Asked(self.configs, self.apply_retention, self.add_partitions)

    def selection(self) -> Selection | None:
        """None for all topics."""
        include, exclude = items(self.topics), items(self.exclude_topics)
        return Selection.of(include or (".*",), exclude) if include or exclude else None


class SnapshotSettings(ClusterSnapshotSettings, GroupsSnapshotSettings):
    """Both snapshots."""

    verb: ClassVar[str] = "snapshot"
