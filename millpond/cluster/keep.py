"""The history of whole cluster snapshots: a new one is written when something changed, and once a day."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cluster.kept import snapshots, whole_snapshots
from millpond.cluster.whole import WholeSnapshot
from millpond.storage.contract import AlreadyThere, ObjectStore, read

_LOG = logging.getLogger(__name__)
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a snapshot.

    Attributes:
        key: Where it lies, or an equal one of the last day.
        written: Whether this one was written.
        refused: Why it was not kept, or "".
    """

    snapshot: WholeSnapshot
    key: str = ""
    written: bool = False
    refused: str = ""


def keep(store: ObjectStore, layout: Layout, snapshot: WholeSnapshot) -> Kept:
    """Adds the snapshot to the history unless nothing has changed, or it has no topics where an earlier one has."""
    if not snapshot.topics and (known := _topics_before(store, layout)):
        refused = f"no topic was read, the snapshot before holds {known}"
        _LOG.warning("the snapshot of the cluster is not kept: %s", refused)
        return Kept(snapshot, refused=refused)
    document = snapshot.document()
    for at, key, earlier in whole_snapshots(store, layout):
        if snapshot.at - at < _DAY_MS and _content(earlier) == _content(document):
            return Kept(snapshot, key)
        break
    return Kept(snapshot, _write(store, layout, document), written=True)


def _write(store: ObjectStore, layout: Layout, document: Json) -> str:
    """Under its time, or a millisecond later where another snapshot has that key."""
    while True:
        content, key = json.dumps(document, indent=1).encode(), layout.cluster(document["at"])
        try:
            store.put_if_absent(key, content)
        except AlreadyThere:
            if read(store, key) != content:
                document = document | {"at": document["at"] + 1}
                continue
        return key


def _topics_before(store: ObjectStore, layout: Layout) -> int:
    """How many topics the newest snapshot holds."""
    for _, _, document in snapshots(store, layout):
        topics = document.get("topics")
        return len(topics) if isinstance(topics, list) else 0
    return 0


def _content(document: Json) -> Json:
    return {name: content for name, content in document.items() if name != "at"}
