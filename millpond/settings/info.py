"""Settings of `millpond info`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.kafka.selection import Selection
from millpond.settings.parts import ArchiveSettings, CommaList, items


class InfoSettings(ArchiveSettings):
    """What is in the archive."""

    verb: ClassVar[str] = "info"

    topics: CommaList = Field("", description="expressions of topics to look at; all by default")
    partitions: bool = Field(False, description="a line for each partition")
    count: bool = Field(False, description="count records and redacted objects: one HEAD for each live object")

    def selection(self) -> Selection | None:
        return Selection.of(items(self.topics)) if items(self.topics) else None
