"""Topics that a restore still holds in its safe settings: nobody else may change them."""

from __future__ import annotations

from collections.abc import Iterator

from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import Layout
from millpond.archive.runs import SETTINGS, Run
from millpond.storage.contract import ObjectInfo, ObjectStore, read

_KIND = "restore"


def unfinished_topics(store: ObjectStore, layout: Layout, cluster_id: str) -> dict[tuple[str, str], str]:
    """The run of each topic of this cluster, by name and id, that a run has prepared and not given its final settings.

    The id is "" where a run set out to make the topic and has not come further.

    Raises:
        DamagedArchive: What a run prepared cannot be read.
    """
    root = layout.run(_KIND, "")
    runs = (entry for entry in store.list(root, delimiter="/") if isinstance(entry, str))
    found: dict[tuple[str, str], str] = {}
    for run_id in (folder.removeprefix(root).removesuffix("/") for folder in runs):
        run = Run(store, layout, _KIND, run_id)
        if store.head(run.key(SETTINGS)) is None:
            found |= dict.fromkeys(_held(run, cluster_id), run_id)
    return found


def _held(run: Run, cluster_id: str) -> Iterator[tuple[str, str]]:
    prepared = list(_documents(run, "prepared"))
    known = {found.get("topic") for found in prepared}
    making = [found for found in _documents(run, "making") if found.get("topic") not in known]
    for found in prepared + making:
        if found.get("cluster_id") == cluster_id:
            yield str(found.get("topic")), str(found.get("topic_id", ""))


def _documents(run: Run, folder: str) -> Iterator[Json]:
    for entry in run.store.list(run.key(folder, "")):
        if isinstance(entry, ObjectInfo):
            yield parse_object(read(run.store, entry.key), entry.key)
