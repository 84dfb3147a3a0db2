"""Events of an incarnation: things that happened to it which no window or gap can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping

from millpond.archive.keys import Incarnation, Layout
from millpond.storage.contract import AlreadyThere, ObjectStore, read


def write_event(
    store: ObjectStore, layout: Layout, incarnation: Incarnation, kind: str, at_ms: int, facts: Mapping[str, object]
) -> str:
    """Writes one event (codes, ids and numbers only) and returns its key.

    Two workers may find something in the same millisecond: an event whose key is taken is written a millisecond later.
    """
    while True:
        key = layout.event(incarnation, at_ms, kind)
        body = json.dumps({"kind": kind, "at": at_ms, **facts}, indent=1).encode()
        try:
            store.put_if_absent(key, body)
        except AlreadyThere:
            if read(store, key) != body:
                at_ms += 1
                continue
        return key
