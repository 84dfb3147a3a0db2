"""A closed window into the store, written once whatever happens in between."""

from __future__ import annotations

from dataclasses import replace

from millpond.archive.digest import digest_of
from millpond.archive.facts import WindowFacts, has_redactions
from millpond.archive.keys import Layout
from millpond.archive.names import WindowName
from millpond.archive.window import WindowSpool
from millpond.storage.contract import AlreadyThere, ObjectInfo, ObjectStore


def store_window(store: ObjectStore, layout: Layout, spool: WindowSpool, facts: WindowFacts) -> str:
    """Stores the window and returns its key.

    Where the name is taken: the same records under the other's salt are success, and so is a window of the same
    coverage that a redaction has been through (ours may hold what was erased). Other records go beside it, as a twin.
    """
    done, body = spool.finish(facts)
    key = layout.object(done.partition, done.name)
    try:
        store.put_if_absent(key, body, done.to_object_metadata())
    except AlreadyThere:
        there = store.head(key)
        if there is not None and _serves(there, spool, done):
            return key
        return _store_twin(store, layout, spool, done)
    return key


def _store_twin(store: ObjectStore, layout: Layout, spool: WindowSpool, facts: WindowFacts) -> str:
    """Beside the window that has the name, unless a twin of it holds the same records already."""
    name: WindowName = replace(facts.name, twin=facts.digest[:8])
    key = layout.object(facts.partition, name)
    for twin in store.list(key.removesuffix(f"{name.twin}.avro")):
        there = store.head(twin.key) if isinstance(twin, ObjectInfo) else None
        if there is not None and _serves(there, spool, facts):
            return there.key
    done, body = spool.finish(facts)
    try:
        store.put_if_absent(key, body, done.to_object_metadata())
    except AlreadyThere:
        there = store.head(key)
        if there is None or not _serves(there, spool, done):
            raise
    return key


def _serves(there: ObjectInfo, spool: WindowSpool, ours: WindowFacts) -> bool:
    """Whether the object that is there makes ours superfluous. Equal names are equal coverage."""
    theirs = WindowFacts.from_object_metadata(there.metadata)
    if has_redactions(there.metadata):
        return True
    if theirs.count != ours.count:
        return False
    salt = bytes.fromhex(theirs.salt)
    return digest_of(spool.encoded(), salt=salt, timestamp_type=ours.timestamp_type) == theirs.digest
