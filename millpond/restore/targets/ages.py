"""How old the records are that a run restores, as names of objects and plans tell. No record is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from millpond.archive.documents import Json
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName


@dataclass(slots=True)
class Ages:
    """How old the records are that a run restores to one topic, as names of objects tell.

    Attributes:
        limit_ms: Objects whose newest record is stamped before this are `older`; None where there is no limit.
    """

    limit_ms: int | None = None
    objects: int = 0
    older: int = 0

    def add(self, newest_ms: int, count: int = 1) -> None:
        """Objects whose newest record has this stamp; -1 where none has one."""
        self.objects += count
        if self.limit_ms is not None and 0 <= newest_ms < self.limit_ms:
            self.older += count


def count_objects(layout: Layout, lines: Iterable[Json], ages: Mapping[str, Ages]) -> None:
    """Adds the objects of lines to the ages of their target topics."""
    for line in lines:
        found = ages[line["target"]]
        for item in chain(line.get("objects", ()), *(source["objects"] for source in line.get("sources", ()))):
            what = layout.parse(item["key"])
            name = what.name if isinstance(what, PartitionObject) else None
            found.add(name.newest_ms if isinstance(name, WindowName) else -1)


def count_topics(plan: Json, ages: Mapping[str, Ages]) -> None:
    """Likewise from the plan's document alone: objects are as old as the newest of their topic."""
    for topic in plan["topics"]:
        ages[topic["target"]].add(topic["newest_ms"], topic["objects"])
