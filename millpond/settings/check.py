"""Settings of `millpond check`: those of the backup that is going to be run, and what is asked of its surroundings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.settings.backup import BackupSettings


class CheckSettings(BackupSettings):
    """Whether a backup with these settings would work."""

    verb: ClassVar[str] = "check"

    longest_stop_hours: float = Field(24, description="hours that the backup may stand still without losing", gt=0)
    erasure_days: int = Field(30, description="days within which Kafka must have let go of a record; 0: no term", ge=0)
