"""`millpond ls`: the objects of the archive, and what each counts for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

from millpond.cli.outcome import Outcome, progress
from millpond.cli.output import write_out
from millpond.inspect.heads import Heads
from millpond.inspect.objects import EVENT, FOREIGN, MARKER, Entry, list_objects, with_facts
from millpond.settings.ls import LsSettings
from millpond.verify.happenings import moment

Settings = LsSettings


def run(settings: LsSettings) -> Outcome:
    store, layout = settings.open_archive()
    choice = settings.choice()
    with ExitStack() as stack:
        entries: Iterable[Entry] = list_objects(store, layout, choice)
        if settings.long:
            entries = with_facts(entries, stack.enter_context(Heads(store)))
        if settings.json_output:
            told = stack.enter_context(progress("objects listed"))
            return Outcome({"objects": [entry.document() for entry in _counting(entries, told)]}, "")
        write_out(f"{_line(entry, long=settings.long)}\n".encode() for entry in entries)
    return Outcome({}, "", written=True)


def _counting(entries: Iterable[Entry], told: Callable[[int, int], None]) -> Iterator[Entry]:
    for number, entry in enumerate(entries, 1):
        told(number, 0)
        yield entry


def _line(entry: Entry, *, long: bool) -> str:
    key = entry.key if entry.key.isprintable() else json.dumps(entry.key)
    if entry.kind == FOREIGN:
        return f"foreign     {key}"
    if entry.kind == EVENT:
        return f"event       {key}  {entry.note} at {moment(entry.oldest_ms)}"
    if entry.kind == MARKER:
        return f"{_word(entry, 'marker')} {key}  {_range(entry)} {entry.note}"
    times = f"{moment(entry.oldest_ms)} to {moment(entry.newest_ms)}"
    cut = f" counts up to {entry.live.last}" if entry.live else ""
    facts = f"  {_facts(entry)}" if long else ""
    return (
        f"{_word(entry, entry.kind)} {key}  {_range(entry)}{cut} epoch {entry.epoch}  {times}  {entry.size_bytes} bytes"
        + facts
    )


def _word(entry: Entry, kind: str) -> str:
    return f"{entry.state if entry.state == 'superseded' or kind == 'window' else kind:<11}"


def _range(entry: Entry) -> str:
    return f"{entry.first}-{entry.last}"


def _facts(entry: Entry) -> str:
    said = entry.said
    if said is None or said.facts is None:
        return "its metadata say nothing"
    redacted = f", redacted {said.redactions} times, last by {said.last_sweep}" if said.redactions else ""
    return f"{said.facts.count} records, digest {said.facts.digest}{redacted}"
