"""How far a restore has come: names of results, the newest chunks of the offset map and failures beside the plan.

Nothing is asked of Kafka, so it can be told from anywhere, while workers run or when nobody does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from millpond.archive.documents import Json
from millpond.archive.runs import Run
from millpond.restore.writing.offset_map import runs_in
from millpond.storage.contract import ObjectInfo

_PARTS = "sources"
"""The folder of the offset map of a topic whose records go to other partitions: a document for each archived part."""


@dataclass(frozen=True, slots=True)
class LineProgress:
    """One line of the plan.

    Attributes:
        offsets: Source offsets that are planned.
        reached: How many of them are behind the worker.
        last: The source offset that was reached; None where that is not known, or no partition's own.
        failure: Of the newest try, if that failed and the line is not done since.
    """

    line: Json
    offsets: int
    reached: int
    last: int | None
    done: bool
    failure: Json | None

    def document(self) -> Json:
        return {
            "topic": self.line["topic"],
            "target": self.line["target"],
            "partition": self.line.get("partition"),
            "state": self.state,
            "percent": _percent(self.reached, self.offsets, done=self.done),
            "offsets": self.offsets,
            "reached": self.reached,
            "last_offset": self.last,
            "failure": self.failure,
        }

    @property
    def state(self) -> str:
        if self.done:
            return "done"
        return "failed" if self.failure else "begun" if self.reached else "waiting"


def progress_of(run: Run) -> Json:
    """Of the whole run, of each topic and of each line of its plan. Percent are of source offsets.

    Raises:
        WrongUsage: The run has no plan.
    """
    plan, left = run.plan(), _LeftBehind.of(run)
    lines = [left.of_line(run, number, line) for number, line in run.lines(whole=False)]
    topics: dict[str, list[LineProgress]] = {topic["target"]: [] for topic in plan["topics"]}
    for line in lines:
        topics[line.line["target"]].append(line)
    named = ((topic["topic"], topic["target"]) for topic in plan["topics"])
    return {
        **_sum(lines),
        "topics": [{"topic": topic, "target": target, **_sum(topics[target])} for topic, target in named],
        "lines": [line.document() for line in lines],
    }


def _sum(lines: list[LineProgress]) -> Json:
    offsets, reached = sum(line.offsets for line in lines), sum(line.reached for line in lines)
    states = [line.state for line in lines]
    return {
        "percent": _percent(reached, offsets, done=all(line.done for line in lines)),
        "offsets": offsets,
        "reached": reached,
        "lines": len(lines),
        **{state: states.count(state) for state in ("done", "failed", "begun", "waiting")},
    }


def _percent(reached: int, offsets: int, *, done: bool) -> float:
    """100 only for what is proven, too."""
    if done:
        return 100.0
    return min(99.9, round(100 * reached / offsets, 1)) if offsets else 0.0


@dataclass(slots=True)
class _LeftBehind:
    """What names below the run's folder tell.

    Attributes:
        results: Lines that are done.
        chunks: By folder of the offset map how many documents it has, and the name of the newest.
        failures: Name of the newest by line.
    """

    results: set[int] = field(default_factory=set)
    chunks: dict[str, tuple[int, str]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> _LeftBehind:
        found = cls({int(name[:7]) for name in _names(run, "results")})
        for name in _names(run, "offset-map"):
            folder = name.rpartition("/")[0]
            found.chunks[folder] = (found.chunks.get(folder, (0, ""))[0] + 1, name)
        found.failures = {int(name.partition("-")[0]): name for name in _names(run, "failures")}
        return found

    def of_line(self, run: Run, number: int, line: Json) -> LineProgress:
        sources = line.get("sources", [line])
        offsets = sum(map(_offsets, sources))
        if number in self.results:
            return LineProgress(line, offsets, offsets, None, done=True, failure=None)
        reached, last = self._of_topic(line, offsets) if "sources" in line else self._of_partition(run, line)
        failure = run.find("failures", self.failures[number]) if number in self.failures else None
        return LineProgress(line, offsets, reached, last, done=False, failure=failure)

    def _of_topic(self, line: Json, offsets: int) -> tuple[int, None]:
        """By parts: a topic's parts are written one after the other."""
        parts = sum(source.get("count", len(source.get("objects", ()))) for source in line["sources"])
        written, _ = self.chunks.get(f"{line['target']}/{_PARTS}", (0, ""))
        return offsets * min(written, parts) // max(1, parts), None

    def _of_partition(self, run: Run, line: Json) -> tuple[int, int | None]:
        _, name = self.chunks.get(f"{line['target']}/{line['partition']}", (0, ""))
        chunk = run.find("offset-map", name) if name else None
        if chunk is None or not chunk["source"]:
            return 0, None
        first, count = runs_in(chunk["source"])[-1]
        last = first + count - 1
        return _up_to(line, last), last


def _names(run: Run, folder: str) -> Iterator[str]:
    prefix = run.key(folder, "")
    for entry in run.store.list(prefix):
        if isinstance(entry, ObjectInfo):
            yield entry.key.removeprefix(prefix)


def _offsets(source: Json) -> int:
    return int(source["offsets"]) if "offsets" in source else sum(_sizes(source["objects"]))


def _up_to(source: Json, last: int) -> int:
    """How many of the planned offsets are not behind this one."""
    if "objects" in source:
        return sum(_sizes(source["objects"], last))
    return min(int(source["offsets"]), max(0, last - int(source["first"]) + 1))


def _sizes(objects: Iterable[Json], last: int | None = None) -> Iterator[int]:
    for item in objects:
        end = item["last"] if last is None else min(item["last"], last)
        yield max(0, end - item["first"] + 1)
