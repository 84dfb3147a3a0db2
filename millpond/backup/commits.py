"""What the backup writes beside an offset that it commits, and reads from it later. A hint, never a position."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from millpond.archive.keys import PartitionId
from millpond.kafka.admin import Commit
from millpond.kafka.places import Place


@dataclass(frozen=True, slots=True)
class CommitNote:
    """The metadata text of a commit; all empty where somebody else wrote it.

    Attributes:
        key: The newest object of the partition.
    """

    archive_id: str = ""
    topic_id: str = ""
    key: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> CommitNote:
        try:
            found = json.loads(text)
        except ValueError:
            return cls()
        return cls(*(str(found.get(name, "")) for name in cls.__slots__)) if isinstance(found, dict) else cls()


def archived_before(commits: Mapping[Place, Commit], archive_id: str, partition: PartitionId) -> int:
    """The offset up to which this archive once had the partition, by the group's commit; 0 where none says so."""
    commit = commits.get((partition.topic, partition.partition))
    note = CommitNote.parse(commit.metadata) if commit else CommitNote()
    ours = (note.archive_id, note.topic_id) == (archive_id, partition.incarnation.topic_id)
    return commit.offset if commit and ours else 0
