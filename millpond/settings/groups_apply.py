"""Settings of `millpond groups apply`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.errors import WrongUsage
from millpond.kafka.selection import Selection
from millpond.settings.groups import GroupNames
from millpond.settings.parts import CommaList, items
from millpond.settings.restore import TargetSettings
from millpond.settings.times import moment_of


class GroupsApplySettings(TargetSettings, GroupNames):
    """Where the groups stood, to the topics that a restore wrote."""

    verb: ClassVar[str] = "groups apply"

    run_id: str = Field(
        "", description="the restore whose topics the groups are to read", pattern="^[A-Za-z0-9._-]{0,80}$"
    )
    same_offsets: bool = Field(False, description="no restore: the topics are those of the snapshot, unchanged")
    at: str = Field("", description="RFC 3339 or epoch ms: the last snapshot up to this time; by default the newest")
    at_cut: str = Field("", description="name of a cut whose snapshot counts")
    exclude_topics: CommaList = Field("", description="expressions of archived topics to leave out")
    prefix: str = Field("", description="put in front of the groups' names", max_length=200)
    overwrite: bool = Field(
        False, description="replace other offsets that groups have on the target, and renew equal ones"
    )
    wait: float = Field(0, description="seconds to go on until nothing waits for the restore", ge=0)
    dry_run: bool = Field(False, description="print what would be done, write nothing")

    @property
    def until_ms(self) -> int | None:
        return moment_of(self.at, "--at") if self.at else None

    def left_out(self) -> Selection:
        """The topics to leave out."""
        return Selection.of(items(self.exclude_topics))

    def check(self) -> None:
        """`WrongUsage` where settings contradict each other."""
        if bool(self.run_id) == self.same_offsets:
            raise WrongUsage(
                "name the restore whose offsets count, or say that none do, but not both",
                hint="--run-id RUN after a restore; --same-offsets on the cluster that the snapshot was taken of",
            )
        if self.at and self.at_cut:
            raise WrongUsage("--at and --at-cut both name a snapshot", hint="leave one out")
