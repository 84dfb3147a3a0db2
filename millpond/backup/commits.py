"""What the backup writes beside an offset that it commits, and reads from it later. A hint, never a position."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


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
