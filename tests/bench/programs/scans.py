"""Looking for subjects who are not there, in an archive of Millpond's: WHO PLACE BUCKET PREFIX.

WHO is `fastavro` (its reader and a look into a set) or `millpond` (the erasure's own scan, which also checks digests).
PLACE is `key` or `value`; a value is read as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from fastavro import reader

from millpond.archive.identity import read_identity
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName
from millpond.erasure.match import Matcher
from millpond.erasure.policy import Place
from millpond.erasure.rewrite import Expected, scan
from millpond.erasure.secret import keyed_hash
from millpond.storage.contract import ObjectInfo
from millpond.storage.s3 import S3Store
from tests.bench.programs.clients import keys, s3, tell

SUBJECTS = [b"customer-%08d" % (10**7 + number) for number in range(100)]
PLACES = {
    "key": Place(type="customer", at="key", format="utf8"),
    "value": Place(type="customer", at="value", format="json", path="customer"),
}


def by_fastavro(place: str, bucket: str, prefix: str) -> tuple[int, int]:
    """Records and hits."""
    client, wanted, count, hits = s3(), set(SUBJECTS), 0, 0
    texts = {subject.decode() for subject in SUBJECTS}
    for key in keys(client, bucket, f"{prefix}/topics/"):
        for record in reader(io.BytesIO(client.get_object(Bucket=bucket, Key=key)["Body"].read())):
            count += 1
            if place == "key":
                hits += record["key"] in wanted
            else:
                hits += json.loads(record["value"])["customer"] in texts
    return count, hits


def by_millpond(place: str, bucket: str, prefix: str) -> tuple[int, int]:
    store, layout, key = S3Store(bucket), Layout(prefix), bytes(32)
    archive_id = read_identity(store, layout).archive_id
    matcher = Matcher([PLACES[place]], {"customer": [keyed_hash(key, s) for s in SUBJECTS]}, {"customer": key})
    tallies = [
        scan(store, info, expected, matcher)[1] for info, expected in windows(store, layout, archive_id, layout.topics)
    ]
    return sum(tally.records for tally in tallies), sum(tally.dropped for tally in tallies)


def windows(store: S3Store, layout: Layout, archive_id: str, prefix: str) -> Iterator[tuple[ObjectInfo, Expected]]:
    for info in store.list(prefix):
        what: Any = layout.parse(info.key) if isinstance(info, ObjectInfo) else None
        if isinstance(info, ObjectInfo) and isinstance(what, PartitionObject) and isinstance(what.name, WindowName):
            yield info, Expected(archive_id, what.partition, what.name)


SCANS: dict[str, Callable[[str, str, str], tuple[int, int]]] = {"fastavro": by_fastavro, "millpond": by_millpond}

if __name__ == "__main__":
    found, hit = SCANS[sys.argv[1]](*sys.argv[2:])
    if hit:
        raise RuntimeError(f"{hit} records match subjects who do not exist")
    tell(records=found)
