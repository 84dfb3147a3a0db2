"""Settings of `millpond ls`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from millpond.inspect.choice import Choice
from millpond.kafka.selection import Selection
from millpond.settings.looks import offsets_of, partitions_of
from millpond.settings.parts import ArchiveSettings, CommaList, items


class LsSettings(ArchiveSettings):
    """The objects of an archive."""

    verb: ClassVar[str] = "ls"

    topics: CommaList = Field("", description="expressions of topics to list; all by default")
    incarnation: str = Field("", description="topic id of the one life to list")
    partitions: CommaList = Field("", description="numbers and ranges, as in 0,3,8-11; all by default")
    offsets: str = Field("", description="first-last: objects that speak for any of these offsets")
    long: bool = Field(False, description="what each window says of itself: one HEAD for each")

    def choice(self) -> Choice:
        return Choice(
            topics=Selection.of(items(self.topics)) if items(self.topics) else None,
            incarnation=self.incarnation,
            partitions=partitions_of(self.partitions),
            offsets=offsets_of(self.offsets),
        )
