"""Runs that put topics into a safe state and have not given them their final settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import SETTINGS, Run
from millpond.restore.planning.plan import KIND
from millpond.storage.contract import ObjectInfo, ObjectStore


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """Attributes: topics: Target topics in safe state, sorted."""

    run_id: str
    topics: tuple[str, ...]


def unfinished_runs(store: ObjectStore, layout: Layout) -> list[UnfinishedRun]:
    """All of them, running ones too, by run id. Lists names and reads nothing."""
    runs = [Run(store, layout, KIND, run_id) for run_id in _run_ids(store, layout)]
    found = [UnfinishedRun(run.run_id, tuple(sorted(_documents(run, "prepared")))) for run in runs if _is_open(run)]
    return [one for one in found if one.topics]


def earlier_state(run: Run, topic: str, topic_id: str, cluster_id: str) -> Json | None:
    """What runs that are not finished, this one first, wrote down of a topic before they changed or made it.

    Returns:
        The `prepared` document of the topic with this id; or one that says only `made`, where a run meant to make the
        topic and wrote nothing more; or None.
    """
    others = (Run(run.store, run.layout, KIND, run_id) for run_id in _run_ids(run.store, run.layout))
    for one in (run, *(other for other in others if other.run_id != run.run_id and _is_open(other))):
        prepared = one.find("prepared", f"{topic}.json")
        if prepared is not None and (prepared["topic_id"], prepared["cluster_id"]) == (topic_id, cluster_id):
            return prepared
        making = one.find("making", f"{topic}.json")
        if prepared is None and making is not None and making["cluster_id"] == cluster_id:
            return {"made": True, "prior": {}}
    return None


def _run_ids(store: ObjectStore, layout: Layout) -> Iterator[str]:
    folder = layout.under("runs", KIND, "")
    for entry in store.list(folder, delimiter="/"):
        if not isinstance(entry, ObjectInfo):
            yield entry.removeprefix(folder).rstrip("/")


def _is_open(run: Run) -> bool:
    return run.store.head(run.key(SETTINGS)) is None


def _documents(run: Run, folder: str) -> Iterator[str]:
    prefix = run.key(folder, "")
    for entry in run.store.list(prefix):
        if isinstance(entry, ObjectInfo) and entry.key.endswith(".json"):
            yield entry.key.removeprefix(prefix).removesuffix(".json")
