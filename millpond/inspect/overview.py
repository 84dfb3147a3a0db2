"""What an archive holds beside records: snapshots, receipts, runs. From names, and one small read a kind of run."""

from __future__ import annotations

import re
from collections.abc import Iterator

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.inspect.runs import kinds_of_runs, newest_first, runs_of, state_of
from millpond.storage.contract import ObjectInfo, ObjectStore

_MOMENT = re.compile(r"[0-9]{13}")
_LOOKED_AT = 100
"""Runs of a kind whose plans are asked for their age, the last by name; run ids usually begin with a time."""


def overview_of(store: ObjectStore, layout: Layout) -> Json:
    """Snapshots, redactions and the newest run of each kind."""
    kinds = kinds_of_runs(store, layout)
    return {
        "cluster_snapshots": _snapshots(store, layout.under("cluster/"), "json"),
        "group_snapshots": _snapshots(store, layout.under("groups/"), "avro"),
        "redaction_receipts": sum(1 for _ in _objects(store, layout.under("erasures/receipts/"))),
        "runs": {kind: newest for kind in kinds if (newest := _newest_run(store, layout, kind))},
    }


def _objects(store: ObjectStore, prefix: str) -> Iterator[ObjectInfo]:
    return (entry for entry in store.list(prefix) if isinstance(entry, ObjectInfo))


def _snapshots(store: ObjectStore, prefix: str, ending: str) -> Json:
    """How many there are, and when the newest was taken, by their names."""
    count, newest = 0, None
    for info in _objects(store, prefix):
        name, _, found = info.key.rsplit("/", 1)[-1].partition(".")
        if found == ending and _MOMENT.fullmatch(name):
            count, newest = count + 1, max(newest or 0, int(name))
    return {"count": count, "newest_ms": newest}


def _newest_run(store: ObjectStore, layout: Layout, kind: str) -> Json | None:
    """The run whose plan, or report where runs have no plan, was written last; None where no run has either."""
    runs = runs_of(store, layout, kind)
    for at, run in newest_first(runs[-_LOOKED_AT:]):
        return {"count": len(runs), "run_id": run.run_id, "started_ms": at, **state_of(run)}
    return None
