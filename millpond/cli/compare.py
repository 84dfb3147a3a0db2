"""`millpond compare`: the archive against live topics, or a restored topic against what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from millpond.archive.documents import Json
from millpond.cli.outcome import Outcome, progress
from millpond.restore.comparing.run import compare_run, open_comparison
from millpond.restore.comparing.sample import Sample
from millpond.restore.comparing.tally import Kind
from millpond.settings.compare import CompareSettings
from millpond.verify.compare_live import compare_live

Settings = CompareSettings
Told = Callable[[int, int], None]
_FOUND_A_PROBLEM = 3
_LIVE = {
    Kind.DIFFERS: "differ",
    Kind.NOT_IN_TOPIC: "missing in Kafka",
    Kind.ONLY_IN_TOPIC: "missing in the archive",
    Kind.DAMAGED: "damaged in the archive",
}
_RUN = _LIVE | {Kind.NOT_IN_TOPIC: "missing in the target", Kind.ONLY_IN_TOPIC: "only in the target"}
_EXPLAINED = {
    "below_log_start": "deleted from Kafka since, by age, size or a request",
    "compacted": "replaced in Kafka since, by compaction",
    "redacted": "redacted in the archive",
    "left_out": "left out of the archive on purpose, as its markers say",
    "timestamp_zero_became_now": "timestamp 0 became the time of writing",
    "headers_unreadable": "headers that the client cannot read",
    "after_the_restore": "offsets behind the restored records, in use since",
}


def run(settings: CompareSettings) -> Outcome:
    sample = settings.choice()
    with progress("ranges compared") as told:
        if settings.run_id:
            what, found = _run(settings, sample, told)
        else:
            what, found = _live(settings, sample, told)
    document = {"what": what, "mode": "whole" if sample.is_whole else "sample", "seed": sample.seed or None} | found
    names = _LIVE if what == "archive-live" else _RUN
    return Outcome(document, "\n".join(_lines(document, names)), _FOUND_A_PROBLEM if found["differences"] else 0)


def _run(settings: CompareSettings, sample: Sample, told: Told) -> tuple[str, Json]:
    store, layout = settings.open_archive()
    source, target = settings.source(), settings.target()
    comparison = open_comparison(store, layout, settings.run_id, target, source)
    found = compare_run(comparison, target, source, sample=sample, workers=settings.workers, told=told)
    return "archive-target" if source is None else "source-target", found


def _live(settings: CompareSettings, sample: Sample, told: Told) -> tuple[str, Json]:
    store, layout = settings.open_archive()
    cluster = settings.source()
    assert cluster is not None  # the settings were refused without brokers
    return "archive-live", compare_live(
        store,
        layout,
        cluster,
        selection=settings.selection(),
        sample=sample,
        partitions=settings.numbers(),
        workers=settings.workers,
        told=told,
    )


def _lines(document: Json, names: dict[Kind, str]) -> Iterator[str]:
    yield _row("partition", "ranges", "by digest", "equal", "different", "explained", "behind")
    for found in document["partitions"]:
        ranges = f"{found['compared']}/{found['ranges']}"
        explained = sum(found["explained"].values())
        behind = found.get("behind", "-")
        yield _row(_name(found), ranges, found["by_digest"], found["equal"], found["differences"], explained, behind)
    for found in document["partitions"]:
        yield from _differences(found, names)
    for reason, count in document["explained"].items():
        yield f"{count} {_EXPLAINED[reason]}"
    for topic in document["not_compared"]:
        yield f"not compared: {topic}{_why(document)}"
    yield _summary(document, names)


def _row(name: object, *columns: object) -> str:
    return f"{name!s:<40}" + "".join(f"{column!s:>12}" for column in columns)


def _name(found: Json) -> str:
    return f"{found.get('target', found['topic'])}-{found['partition']}"


def _differences(found: Json, names: dict[Kind, str]) -> Iterator[str]:
    for one in found["first"]:
        fields = f": {', '.join(one['fields'])}" if "fields" in one else ""
        target = f" (in the target {one['target_offset']})" if "target_offset" in one else ""
        yield f"{_name(found)} offset {one['offset']}{target} {one.get('text') or names[Kind(one['kind'])]}{fields}"
    more = found["differences"] - len(found["first"])
    if more > 0:
        yield f"{_name(found)} and {more} more"


def _why(document: Json) -> str:
    return ", which is not on the cluster" if document["what"] == "archive-live" else ": its partitions are others"


def _summary(document: Json, names: dict[Kind, str]) -> str:
    counts = ", ".join(f"{document[kind.value]} {name}" for kind, name in names.items() if document[kind.value])
    how = "" if document["seed"] is None else f"; --seed {document['seed']} chooses the same windows again"
    behind = f"; {document['behind']} offsets are not backed up yet" if document.get("behind") else ""
    verdict = f"DIFFERENT: {counts}" if counts else "no differences"
    return f"{document['equal']} records are equal, {verdict}{behind}{how}"
