"""The probes that hold for every store: put, get, and a put that must be refused."""

from __future__ import annotations

import json

from millpond.archive.documents import parse_object
from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive, MillpondError
from millpond.findings import Finding, failed, failed_by, passed
from millpond.storage.contract import AlreadyThere, ObjectStore, read

KIND = "check"
_RUN = "probe"
_BODY = {"kind": KIND, "what": "written by `millpond check` to see whether this store keeps an object; it may stay"}


def store_findings(store: ObjectStore, layout: Layout) -> list[Finding]:
    """At most one object is ever written, always under the same name: a backup may not delete."""
    key = layout.run(KIND, _RUN, "probe.json")
    body = json.dumps(_BODY, indent=1).encode()
    try:
        first = _put(store, key, body)
    except MillpondError as error:
        return [failed_by("store put", error)]
    put = passed("store put", f"{key} was written" if first else f"{key} is there from an earlier check")
    return [put, _get(store, key), _conditional(store, key, body)]


def _put(store: ObjectStore, key: str, body: bytes) -> bool:
    try:
        store.put_if_absent(key, body)
    except AlreadyThere:
        return False
    return True


def _get(store: ObjectStore, key: str) -> Finding:
    try:
        content = parse_object(read(store, key), key)
    except DamagedArchive as error:
        return failed_by("store get", error)
    except MillpondError as error:
        return failed_by("store get", error)
    if content.get("kind") != KIND:
        return failed("store get", f"{key} is not what was put there", "nothing else may write below runs/check/")
    return passed("store get", "what was put came back")


def _conditional(store: ObjectStore, key: str, body: bytes) -> Finding:
    try:
        overwritten = _put(store, key, body)
    except MillpondError as error:
        return failed_by("store conditional put", error)
    if overwritten:
        return failed(
            "store conditional put",
            "the store took a second put with If-None-Match: *, so that two backups could overwrite each other",
            "use a store with conditional writes",
        )
    return passed("store conditional put", "a second put of the same name is refused")
