"""`millpond cut NAME`: how far topics reach and where groups stand, as one named state; `--list` shows all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from millpond.archive.cuts import Cut, CutFailure, cut_names, read_cut
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.cut.run import Taken, take_cut
from millpond.errors import DamagedArchive
from millpond.settings.cut import CutSettings
from millpond.storage.contract import ObjectStore
from millpond.verify.happenings import moment

Settings = CutSettings
_FAILED = 1


def run(settings: CutSettings) -> Outcome:
    store, layout = settings.open_archive()
    if settings.list_cuts:
        found = [_entry(store, layout, name) for name in cut_names(store, layout)]
        return Outcome({"cuts": found}, "\n".join(map(_entry_line, found)) or "no cut")
    name = settings.name()
    taken = take_cut(
        store,
        layout,
        settings.cluster(),
        name,
        selection=settings.selection(),
        now_ms=now_ms,
        dry_run=settings.dry_run,
    )
    groups = taken.groups
    document = _counts(taken.cut) | {
        "key": taken.key or None,
        "dry_run": settings.dry_run,
        "groups": len(groups.groups),
        "offsets": sum(group.partitions for group in groups.groups),
        "failed": [asdict(failure) for failure in taken.cut.failed],
        "failed_groups": [asdict(failure) for failure in groups.failed],
    }
    return Outcome(document, "\n".join(_lines(taken)), 0 if taken.whole else _FAILED)


def _counts(cut: Cut) -> Json:
    return {
        "name": cut.name,
        "at": cut.at,
        "topics": len(cut.topics),
        "partitions": sum(len(topic.partitions) for topic in cut.topics),
        "groups_key": cut.groups or None,
    }


def _lines(taken: Taken) -> Iterator[str]:
    counts, groups = _counts(taken.cut), taken.groups
    offsets = sum(group.partitions for group in groups.groups)
    where = taken.key or "nothing was written"
    yield f"{where}: {counts['topics']} topics, {counts['partitions']} partitions, at {moment(taken.cut.at)}"
    yield f"  {taken.cut.groups or 'groups'}: {len(groups.groups)} groups, {offsets} offsets"
    for failure in taken.cut.failed:
        yield f"  FAILED: {failure.part} of {_place(failure)}: {failure.code}"
    for failed in groups.failed:
        group = f" of {failed.group}" if failed.group else ""
        place = f" {failed.topic}-{failed.partition}" if failed.topic else ""
        yield f"  FAILED: {failed.part}{group}{place}: {failed.code}"


def _place(failure: CutFailure) -> str:
    return failure.topic if failure.partition < 0 else f"{failure.topic}-{failure.partition}"


def _entry(store: ObjectStore, layout: Layout, name: str) -> Json:
    """One that cannot be read is listed all the same."""
    try:
        cut = read_cut(store, layout, name)
    except DamagedArchive:
        nothing = dict.fromkeys(("at", "topics", "partitions", "groups_key", "failed"))
        return {"name": name} | nothing | {"damaged": True}
    return _counts(cut) | {"failed": len(cut.failed), "damaged": False}


def _entry_line(entry: Json) -> str:
    if entry["damaged"]:
        return f"{entry['name']}  DAMAGED"
    failed = f", {entry['failed']} parts FAILED" if entry["failed"] else ""
    counts = f"{entry['topics']} topics, {entry['partitions']} partitions{failed}"
    return f"{entry['name']}  {moment(entry['at'])}  {counts}  {entry['groups_key']}"
