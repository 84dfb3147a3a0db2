"""A closed window into the store, written once whatever happens in between."""

from __future__ import annotations

from dataclasses import replace

from millpond.archive.digest import digest_of
from millpond.archive.facts import WindowFacts, has_redactions
from millpond.archive.keys import Layout
from millpond.archive.names import WindowName
from millpond.archive.window import WindowSpool, open_window
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
        if there is not None and _serves(store, there, spool, done):
            return key
        return _store_twin(store, layout, spool, done)
    return key


def _store_twin(store: ObjectStore, layout: Layout, spool: WindowSpool, facts: WindowFacts) -> str:
    """Beside the window that has the name, unless a twin of it holds the same records already."""
    name: WindowName = replace(facts.name, twin=facts.digest[:8])
    key = layout.object(facts.partition, name)
    for twin in store.list(key.removesuffix(f"{name.twin}.avro")):
        there = store.head(twin.key) if isinstance(twin, ObjectInfo) else None
        if there is not None and _serves(store, there, spool, facts):
            return there.key
    done, body = spool.finish(facts)
    try:
        store.put_if_absent(key, body, done.to_object_metadata())
    except AlreadyThere:
        there = store.head(key)
        if there is None or not _serves(store, there, spool, done):
            raise
    return key


def _serves(store: ObjectStore, there: ObjectInfo, spool: WindowSpool, ours: WindowFacts) -> bool:
    """Whether the object that is there makes ours superfluous. Equal names are equal coverage."""
    theirs, redacted = _facts_of(store, there)
    if redacted:
        return True
    if theirs.count != ours.count:
        return False
    salt = bytes.fromhex(theirs.salt)
    return digest_of(spool.encoded(), salt=salt, timestamp_type=ours.timestamp_type) == theirs.digest


def _facts_of(store: ObjectStore, there: ObjectInfo) -> tuple[WindowFacts, bool]:
    """What the object says of itself, and whether it was redacted. Copies made by other tools often lose metadata."""
    if "millpond-format" in there.metadata:
        return WindowFacts.from_object_metadata(there.metadata), has_redactions(there.metadata)
    with store.open(there.key) as stream:
        facts = open_window(stream).facts
    return facts, bool(facts.redactions)
