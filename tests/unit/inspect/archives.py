"""Archives in memory to look into."""

from __future__ import annotations

import json

from millpond.archive.keys import Layout
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT

NOW = 1767225700000


def an_archive(store: MemoryStore | None = None, layout: Layout = LAYOUT) -> MemoryStore:
    """An empty one."""
    store = store or MemoryStore(clock_ms=lambda: NOW - 40_000)
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1}
    store.put_if_absent(layout.identity, json.dumps(identity).encode())
    return store
