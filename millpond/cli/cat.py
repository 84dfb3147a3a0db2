"""`millpond cat`: records of an object or of a range of offsets. It shows what records hold: that is what it is for."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from millpond.archive.keys import Layout
from millpond.cli.outcome import Outcome
from millpond.cli.output import write_out
from millpond.inspect.choice import partition_named
from millpond.inspect.formats import as_avro, as_json_lines, as_values, document_of, limited
from millpond.inspect.records import Batch, Range, range_of, read_object, read_range
from millpond.settings.cat import CatSettings
from millpond.storage.contract import ObjectStore

Settings = CatSettings
_FOUND_A_PROBLEM = 3


def run(settings: CatSettings) -> Outcome:
    store, layout = settings.open_archive()
    found = None if settings.object else _range(store, layout, settings)
    batches = read_range(store, layout, found) if found else read_object(store, layout, settings.object)
    batches = limited(batches, settings.limit)
    code = _tell_missing(found) if found else 0
    if settings.json_output:
        documents = [document_of(batch, row) for batch in batches for row in batch.rows]
        return Outcome({"records": documents, "missing": _missing(found)}, "", code)
    write_out(_encoded(settings, batches))
    return Outcome({}, "", code, written=True)


def _range(store: ObjectStore, layout: Layout, settings: CatSettings) -> Range:
    partition = partition_named(store, layout, settings.topic, settings.partition or 0, settings.incarnation)
    return range_of(store, layout, partition, settings.span())


def _encoded(settings: CatSettings, batches: Iterable[Batch]) -> Iterable[bytes]:
    match settings.format:
        case "avro":
            return as_avro(batches)
        case "raw":
            return as_values(batches, settings.delimiter_bytes())
        case _:
            return as_json_lines(batches)


def _tell_missing(found: Range) -> int:
    """Says on standard error which of the offsets asked for are missing without a reason; the exit code."""
    for hole in found.unexplained:
        sys.stderr.write(
            f"millpond cat: offsets {hole.first} to {hole.last} of {found.listing.partition} are missing without a"
            " reason\n"
        )
    return _FOUND_A_PROBLEM if found.unexplained else 0


def _missing(found: Range | None) -> list[dict[str, int]]:
    return [{"first": hole.first, "last": hole.last} for hole in found.unexplained] if found else []
