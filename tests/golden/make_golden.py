"""Makes `format-1/`, the archive that every later release must read, and `format-1.json`, what it must read there.

Run once for each number of the format, with the release that brings it: `python -m tests.golden.make_golden`. An
archive that is there already is never made again; a new number gets a new folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from millpond.archive.catalog import PartitionListing, read_archive
from millpond.archive.events import write_event
from millpond.archive.facts import Redaction
from millpond.archive.identity import Identity
from millpond.archive.keys import Layout
from millpond.archive.names import GapReason
from millpond.archive.schema import TimestampType
from millpond.records import Row
from millpond.storage.contract import ObjectInfo, ObjectStore, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import (
    ARCHIVE_ID,
    OTHER_TOPIC_ID,
    TOPIC_ID,
    BuiltWindow,
    a_partition,
    make_rows,
    make_window,
    put_gap,
    put_window,
    read_window,
)

FOLDER = Path(__file__).parent / "format-1"
EXPECTED = FOLDER.with_suffix(".json")
ROOT = Layout("")
ORDERS = a_partition("orders", 0)

ODD_ROWS: list[Row] = [
    (0, -1, None, None, ()),
    (1, 0, b"", b"", ((b"", b""), (b"", None))),
    (8191, -(2**63), b"\x00\xff", b"x" * 63, (("größe".encode(), b"\xf0\x9f\x90\x9f"), (b"a", b"1"), (b"a", b"1"))),
    (8192, 2**63 - 1, b"k" * 64, b"y" * 8192, tuple((b"h%d" % n, b"") for n in range(70))),
    (2**63 - 1, 1767225600000, b"last", None, ()),
]


def build(store: ObjectStore) -> None:
    """One of everything that the first release writes, and of what a reader must tell apart."""
    identity = Identity(1, ARCHIVE_ID, "Lh3mTqR9SbC0kYdWvXw2Pg", 1767225540000)
    content = {name: getattr(identity, name) for name in Identity.__slots__}
    store.put_if_absent(ROOT.identity, json.dumps(content, indent=1).encode())
    put_gap(store, 0, 99, partition=ORDERS, layout=ROOT)
    put(store, make_rows(100, 25), epoch=5, codec="zstandard")
    put(store, make_rows(125, 15), epoch=5, codec="deflate", last=144)
    put(store, make_rows(145, 15), epoch=5, codec="null")  # cut at 150
    put(store, make_rows(160, 5), epoch=5)  # dead
    put(store, make_rows(150, 5), epoch=6)
    put_gap(store, 155, 156, GapReason.EMPTY, partition=ORDERS, layout=ROOT)
    put(store, make_rows(100, 25)[::2], epoch=5, twin=True)  # read again after compaction
    sweep = Redaction("5f0c8a52-3d3e-4c0b-9a57-6f2b8f0e1d11", 2, 0, 1, 1767312000000)
    put(store, make_rows(160, 10)[2:], epoch=6, first=157, last=170, redactions=(sweep,))
    write_event(store, ROOT, ORDERS.incarnation, "recreated", 1767225700000, {"new_topic_id": OTHER_TOPIC_ID})
    put(store, make_rows(0, 3), partition=a_partition("orders", 0, OTHER_TOPIC_ID), epoch=-1)
    appended = TimestampType.LOG_APPEND_TIME
    odd = a_partition("-1.orders_0-", 10, TOPIC_ID)
    put(store, ODD_ROWS, partition=odd, first=0, last=2**63 - 1, timestamp_type=appended, block_records=2)
    store.put_if_absent(ROOT.folder(ORDERS) + "notes.txt", b"Anything may lie here.\n")


def put(store: ObjectStore, rows: list[Row], *, twin: bool = False, **more: Any) -> None:
    put_window(store, fixed_window(rows, **more), layout=ROOT, twin=twin)


def fixed_window(rows: list[Row], **more: Any) -> BuiltWindow:
    """Salt and sync marker are random elsewhere."""
    options: dict[str, Any] = {"partition": ORDERS, "salt": bytes(range(16)), "sync": bytes(range(0xF0, 0x100))}
    return make_window(rows, **(options | more))


def expected(store: ObjectStore) -> dict[str, Any]:
    """Every window's records and every partition's coverage, as JSON."""
    keys = [entry.key for entry in store.list(ROOT.topics) if isinstance(entry, ObjectInfo)]
    listings = [item for item in read_archive(store, ROOT) if isinstance(item, PartitionListing)]
    return {
        "windows": {
            key: [as_json(row) for row in read_window(read(store, key))[1]] for key in keys if key.endswith(".avro")
        },
        "partitions": {ROOT.folder(listing.partition): coverage(listing) for listing in listings},
    }


def coverage(listing: PartitionListing) -> dict[str, Any]:
    return {
        "live": [[live.span.first, live.span.last] for live in listing.live()],
        "covered": [[span.first, span.last] for span in listing.covered()],
        "position": listing.position(log_start=0),
    }


def as_json(row: Row) -> list[Any]:
    offset, timestamp, key, value, headers = row
    return [offset, timestamp, _hex(key), _hex(value), [[_hex(name), _hex(content)] for name, content in headers]]


def _hex(content: bytes | None) -> str | None:
    return None if content is None else content.hex()


def main() -> None:
    if FOLDER.exists():
        sys.exit(f"{FOLDER} is there: it is what a release wrote, and must never change")
    store = MemoryStore()
    build(store)
    for entry in store.list(""):
        assert isinstance(entry, ObjectInfo)
        path = FOLDER / entry.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read(store, entry.key))
    EXPECTED.write_text(json.dumps(expected(store), indent=1) + "\n")


if __name__ == "__main__":
    main()
