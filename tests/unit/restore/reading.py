"""What the workers of a restore would read for a line of its plan."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from millpond.records import Row
from millpond.restore.planning.moments import Moments
from millpond.restore.writing.source import Source
from millpond.storage.contract import ObjectStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT


def rows_of_line(store: ObjectStore, line: dict[str, Any]) -> list[Row]:
    """The records, in order."""
    source, found = Source(store, LAYOUT, ARCHIVE_ID), []
    for part in source.parts_of(line):
        with ExitStack() as stack:
            found += [row for rows in source.open(part, stack, Moments.of(line)).batches() for row in rows]
    return found
