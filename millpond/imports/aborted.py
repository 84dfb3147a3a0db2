"""Records that look aborted, left out where the operator asked for it.

A backup that holds ends of transactions does not say which records belonged to them. What lies between the end before
and an abort was aborted if one transaction at a time wrote to the partition and nothing else did. The backup is read
twice, since an abort comes behind its records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress

from millpond.archive.coverage import Span
from millpond.errors import DamagedArchive
from millpond.imports.backup import ABORT, ABORTED, NoRecord, SourcePartition
from millpond.imports.merge import Missing, Step, steps_of
from millpond.storage.contract import NoSuchObject


def without_aborted(partition: SourcePartition) -> Iterator[Step]:
    """What `steps_of` gives; it raises the same. Records behind the last end of a transaction are kept."""
    spans = deque(_aborted(partition))
    for step in steps_of(partition):
        if isinstance(step, Missing | NoRecord):
            yield step
            continue
        while spans and spans[0].last < step[0]:
            spans.popleft()
        yield NoRecord(step[0], ABORTED) if spans and spans[0].first <= step[0] else step


def _aborted(partition: SourcePartition) -> Iterator[Span]:
    """The second reading meets, and tells, what is wrong with a file."""
    first = 0
    with suppress(DamagedArchive, NoSuchObject):
        for step in steps_of(partition):
            if isinstance(step, NoRecord):
                if step.what == ABORT and first < step.offset:
                    yield Span(first, step.offset - 1)
                first = step.offset + 1
