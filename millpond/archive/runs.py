"""A run's folder: what planners hand to workers and workers to reconcilers, as objects.

A plan is one object of JSON lines, so that it is there whole or not at all: first the document that says what the run
is for, then a line for each piece of work. Each line gets a result when it is done, and any number of failures before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from millpond.archive.documents import Json, parse, parse_object
from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectInfo, ObjectStore, read

_PLAN = "plan.jsonl"
_CHUNK = 1 << 20
_NUMBERED = re.compile(r"(?P<line>[0-9]{7,})(-[0-9]+)?\.json")

RECONCILED, COMPARED, GROUPS, SETTINGS = "reconciled.json", "compared.json", "groups.json", "settings.json"
"""What the steps of a restore write, each once and when it is done; behind the last, its topics are as they stay."""
REPORT = "report.json"

MOST_UNITS = 10_000
"""AWS Batch takes arrays of 2 to 10,000; one unit is a job of its own."""


@dataclass(frozen=True, slots=True)
class Run:
    """The folder `runs/<kind>/<run_id>/`."""

    store: ObjectStore
    layout: Layout
    kind: str
    run_id: str

    def key(self, *parts: str) -> str:
        return self.layout.run(self.kind, self.run_id, *parts)

    def write_plan(self, document: Json, lines: Iterable[Json]) -> Json:
        """Writes the plan, or finds the one of an earlier try, and returns what counts.

        Args:
            document: What the plan is for and its totals; `request` in it must not change under one run id.
            lines: In order; line n is the n-th.

        Raises:
            RefusedForSafety: The run id was used for another request.
        """
        if (found := self.find_plan()) is None:
            body = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in chain([document], lines))
            with suppress(AlreadyThere):
                self.store.put_if_absent(self.key(_PLAN), body.encode())
            found = self.plan()
        if found.get("request") != json.loads(json.dumps(document.get("request"))):  # a tuple comes back as a list
            raise RefusedForSafety(
                f"{self.kind} run {self.run_id} was planned for another request", hint="use a new --run-id"
            )
        return found

    def find_plan(self) -> Json | None:
        """The plan's document, or None before there is one."""
        try:
            with self._open_plan() as stream:
                return self._parsed(stream.readline(), stream)
        except NoSuchObject:
            return None

    def plan(self) -> Json:
        found = self.find_plan()
        if found is None:
            raise WrongUsage(f"{self.kind} run {self.run_id} has no plan", hint="check the run id")
        return found

    def lines(self, *, unit: int = 0, units: int = 1, whole: bool = True) -> Iterator[tuple[int, Json]]:
        """Number and content of the lines of one of `units` workers, in order; not `whole`, as they stand in the plan
        (see `whole_line`)."""
        with self._open_plan() as stream:
            stream.readline()
            for number, text in enumerate(stream):
                if number % units == unit:
                    line = self._parsed(text, stream)
                    yield number, self.whole_line(line) if whole else line

    def whole_line(self, line: Json) -> Json:
        """The line with its `objects`, also where it only names the document that lists them, `objects_in`."""
        if "objects_in" not in line:
            return line
        key = self.key(line["objects_in"])
        return line | {"objects": parse(read(self.store, key), key)}

    def _open_plan(self) -> BinaryIO:
        return self.store.open(self.key(_PLAN))

    def _parsed(self, text: bytes, rest: BinaryIO) -> Json:
        """A line of the plan. One that is none may have been damaged on its way, which the store tells at the end."""
        try:
            return parse_object(text, self.key(_PLAN))
        except DamagedArchive:
            while rest.read(_CHUNK):
                pass
            raise

    def write_result(self, line: int, content: Json) -> None:
        """The line is done. A result that is there already stays."""
        with suppress(AlreadyThere):
            self.store.put_if_absent(self.key("results", f"{line:07d}.json"), json.dumps(content).encode())

    def write_failure(self, line: int, at_ms: int, reason: str, *, object_key: str = "") -> None:
        """A try of the line failed, perhaps by an object that is not whole; neither text holds a record's content."""
        named = {"object": object_key} if object_key else {}
        body = json.dumps({"line": line, "at": at_ms, "reason": reason, **named}).encode()
        with suppress(AlreadyThere):
            self.store.put_if_absent(self.key("failures", f"{line:07d}-{at_ms:013d}.json"), body)

    def result(self, line: int) -> Json | None:
        try:
            return self._read_json("results", f"{line:07d}.json")
        except NoSuchObject:
            return None

    def results(self) -> Iterator[tuple[int, Json]]:
        """Number and result of every line that is done, in order."""
        return self._numbered("results")

    def failures(self) -> Iterator[tuple[int, Json]]:
        """Number and reason of every try that failed, in order of line and time."""
        return self._numbered("failures")

    def write_once(self, content: Mapping[str, Any], *parts: str) -> Json:
        """Writes a document, or finds the one that is there, and returns what counts."""
        with suppress(AlreadyThere):
            self.store.put_if_absent(self.key(*parts), json.dumps(content, indent=1).encode())
        return self._read_json(*parts)

    def find(self, *parts: str) -> Json | None:
        """A document of the run, or None."""
        try:
            return self._read_json(*parts)
        except NoSuchObject:
            return None

    def _numbered(self, folder: str) -> Iterator[tuple[int, Json]]:
        for info in self.store.list(self.key(folder, "")):
            if isinstance(info, ObjectInfo) and (match := _NUMBERED.fullmatch(info.key.rsplit("/", 1)[-1])):
                yield int(match["line"]), parse_object(read(self.store, info.key), info.key)

    def _read_json(self, *parts: str) -> Json:
        return parse_object(read(self.store, self.key(*parts)), self.key(*parts))


def units_for(lines: int, size_bytes: int, *, bytes_per_unit: int) -> int:
    """How many workers share that many lines: starting one takes tens of seconds, so none gets only a little."""
    return min(lines, MOST_UNITS, max(1, -(-size_bytes // bytes_per_unit)))
