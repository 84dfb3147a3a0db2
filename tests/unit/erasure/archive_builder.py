"""Small archives with redact runs in them: windows as the backup writes them, and the steps of a run in a row."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millpond.archive.codecs import CODECS, Codec
from millpond.archive.digest import new_salt
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction, WindowFacts
from millpond.archive.identity import open_or_create
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.archive.schema import TimestampType
from millpond.archive.window import WindowBlock, WindowSpool, open_window
from millpond.erasure.plan import plan_redaction
from millpond.erasure.request import RedactRequest, parse_request
from millpond.erasure.run import reconcile_redaction, redact_unit
from millpond.erasure.secret import ErasureSecret
from millpond.erasure.versions import versions_of
from millpond.records import Row
from millpond.storage.contract import ObjectInfo, ObjectStore

LAYOUT = Layout("pond")
SECRET = ErasureSecret({"k1": "0123456789abcdef" * 4})
TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAA"
REQUEST_ID = "7f0c4c52-2b8e-4d2a-9a53-0f1d3a4e5b60"
NOW = 1_767_225_600_000
RUN = "run-1"

KEY_PLACE = {"type": "customer_id", "at": "key", "format": "utf8"}
VALUE_PLACE = {"type": "customer_id", "at": "value", "format": "json", "path": "customer.id", "required": False}


def partition(topic: str = "orders", number: int = 0) -> PartitionId:
    return PartitionId(Incarnation(topic, TOPIC_ID), number)


def row(offset: int, key: bytes | None, value: bytes | None = b"{}", *, stamp: int = 1000) -> Row:
    return (offset, stamp, key, value, ((b"trace", b"%d" % offset), (b"empty", None)))


def searched(*places: Mapping[str, Any]) -> dict[str, Any]:
    return {"places": list(places or (KEY_PLACE,)), "action": "drop"}


def request(
    *subjects: str, topics: Mapping[str, Any] | None = None, patterns: Sequence[str] = (), **more: Any
) -> RedactRequest:
    """topics: the policy; patterns: which of them."""
    document = {
        "request_id": REQUEST_ID,
        "subjects": [{"type": "customer_id", "value": value} for value in subjects],
        "policy": {"topics": topics or {"orders": searched()}},
        "received_at": "2025-12-15T08:00:00Z",
        "reference": "case-7",
        "topics": list(patterns),
        **more,
    }
    return parse_request(json.dumps(document))


@contextmanager
def window(
    rows: Sequence[Row],
    *,
    of: PartitionId,
    first: int,
    last: int,
    archive_id: str,
    codec: str | Codec = "zstandard",
    block: int = 4,
    redactions: tuple[Redaction, ...] = (),
) -> Iterator[tuple[WindowFacts, Any]]:
    """Facts and content of a window; `block` is in records."""
    with tempfile.TemporaryDirectory() as folder:
        kind = TimestampType.CREATE_TIME
        packed = CODECS[codec] if isinstance(codec, str) else codec
        spool = WindowSpool(Path(folder) / "w", codec=packed, salt=new_salt(), timestamp_type=kind)
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            spool.add(len(part), encode_rows(part))
        facts = WindowFacts(archive_id, of, first, last, 0, 0, 5, kind, 1000, 9000, "", "", NOW, redactions)
        yield spool.finish(facts)
        spool.discard()


class Pond:
    """An archive in a store, and what is needed to redact it."""

    def __init__(self, store: ObjectStore, *, layout: Layout = LAYOUT, secret: ErasureSecret = SECRET) -> None:
        self.store, self.layout, self.secret = store, layout, secret
        self.archive_id = open_or_create(store, layout, cluster_id="source", now_ms=NOW).archive_id

    def write(self, rows: Sequence[Row], *, of: PartitionId | None = None, **more: Any) -> str:
        """Puts a window that covers its records, over whatever is there, and returns its key."""
        of = of or partition()
        more = {"first": rows[0][0], "last": rows[-1][0], "archive_id": self.archive_id, **more}
        with window(rows, of=of, **more) as (facts, body):
            key = self.layout.object(of, facts.name)
            found = self.store.head(key)
            if found is None:
                self.store.put_if_absent(key, body, facts.to_object_metadata())
            else:
                self.store.put_if_match(key, body, found.etag, facts.to_object_metadata())
        return key

    def plan(self, asked: RedactRequest, *, run_id: str = RUN, **more: Any) -> dict[str, Any]:
        return plan_redaction(self.store, self.layout, self.secret, asked, run_id=run_id, now_ms=NOW, **more)

    def redact(self, *, run_id: str = RUN, unit: int = 0, units: int = 1, now: int = NOW) -> int:
        with tempfile.TemporaryDirectory() as folder:
            return redact_unit(
                self.store,
                self.layout,
                self.secret,
                run_id=run_id,
                unit=unit,
                units=units,
                spool=Path(folder),
                now_ms=lambda: now,
            )

    def reconcile(self, *, run_id: str = RUN, now: int = NOW) -> dict[str, Any]:
        return reconcile_redaction(self.store, self.layout, run_id=run_id, now_ms=now)

    def run(self, asked: RedactRequest, *, run_id: str = RUN, **more: Any) -> dict[str, Any]:
        self.plan(asked, run_id=run_id, **more)
        assert self.redact(run_id=run_id) == 0
        return self.reconcile(run_id=run_id)

    def versions(self, key: str) -> list[ObjectInfo]:
        return [version.info for version in versions_of(self.store, key) if not version.marker]

    def read(self, key: str, version: str = "") -> tuple[WindowFacts, list[WindowBlock]]:
        with self.store.open(key, version=version) as stream:
            found = open_window(stream)
            return found.facts, list(found.blocks())

    def rows(self, key: str, version: str = "") -> list[Row]:
        return [found for block in self.read(key, version)[1] for found in block.rows()]

    def all_content(self) -> Iterator[tuple[str, bytes]]:
        """Every version of every object that is stored, windows too."""
        for version in self.store.list_versions(""):
            if not version.marker:
                with self.store.open(version.info.key, version=version.info.version) as stream:
                    yield version.info.key, stream.read()


def without(rows: Sequence[Row], keys: Collection[bytes]) -> list[Row]:
    return [found for found in rows if found[2] not in keys]
