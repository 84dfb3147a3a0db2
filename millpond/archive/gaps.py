"""Gap markers: why a range of offsets has no records here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from millpond.archive.keys import Layout, PartitionId
from millpond.archive.names import GapName
from millpond.storage.contract import AlreadyThere, ObjectStore


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap and what it was told from.

    Attributes:
        detected_at: Epoch ms.
        evidence: Codes and numbers only, such as {"log_start": 2000}.
    """

    partition: PartitionId
    name: GapName
    detected_at: int
    evidence: Mapping[str, int | str]

    def body(self) -> bytes:
        content = {
            "reason": self.name.reason.value,
            "first": self.name.first,
            "last": self.name.last,
            "detected_at": self.detected_at,
            "evidence": dict(self.evidence),
        }
        return json.dumps(content, indent=1).encode()


def write_gap(store: ObjectStore, layout: Layout, gap: Gap) -> str:
    """Writes the marker and returns its key. One that is there already says the same by its name."""
    key = layout.object(gap.partition, gap.name)
    with suppress(AlreadyThere):
        store.put_if_absent(key, gap.body())
    return key
