"""The archive that the first release wrote must read for ever."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest

from millpond.archive.catalog import Foreign, PartitionListing, read_archive
from millpond.archive.container import open_container
from millpond.archive.identity import read_identity
from millpond.archive.keys import EventKey, PartitionObject
from millpond.archive.names import WindowName
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.golden.make_golden import EXPECTED, FOLDER, ROOT, as_json, build, coverage, expected
from tests.unit.archive.strategies import as_row
from tests.unit.builders import ARCHIVE_ID, read_window


@pytest.fixture(scope="module")
def golden() -> MemoryStore:
    store = MemoryStore()
    for path in FOLDER.rglob("*"):
        if path.is_file():
            store.put_if_absent(path.relative_to(FOLDER).as_posix(), path.read_bytes())
    return store


@pytest.fixture(scope="module")
def told() -> Any:
    return json.loads(EXPECTED.read_text())


def test_every_record_of_the_golden_archive_is_read(golden: MemoryStore, told: Any) -> None:
    assert expected(golden)["windows"] == told["windows"]
    assert sum(map(len, told["windows"].values())) == 94


def test_its_coverage_is_what_it_was(golden: MemoryStore, told: Any) -> None:
    listings = [item for item in read_archive(golden, ROOT) if isinstance(item, PartitionListing)]
    assert {ROOT.folder(listing.partition): coverage(listing) for listing in listings} == told["partitions"]


def test_its_windows_lie_where_their_headers_say(golden: MemoryStore, told: Any) -> None:
    assert read_identity(golden, ROOT).archive_id == ARCHIVE_ID
    for key in told["windows"]:
        what = ROOT.parse(key)
        assert isinstance(what, PartitionObject) and isinstance(what.name, WindowName)
        facts, _ = read_window(read(golden, key))
        facts.confirm(archive_id=ARCHIVE_ID, partition=what.partition, name=what.name)


def test_any_avro_reader_reads_it(golden: MemoryStore, told: Any) -> None:
    for key, rows in told["windows"].items():
        found = [as_json(as_row(record)) for record in fastavro.reader(io.BytesIO(read(golden, key)))]
        assert found == rows


def test_it_holds_one_of_everything(golden: MemoryStore, told: Any) -> None:
    found = list(read_archive(golden, ROOT))
    assert [item.kind for item in found if isinstance(item, EventKey)] == ["recreated"]
    assert [item.key.rsplit("/", 1)[1] for item in found if isinstance(item, Foreign)] == ["notes.txt"]
    codecs = {open_container(io.BytesIO(read(golden, key))).codec.name for key in told["windows"]}
    assert codecs == {"zstandard", "deflate", "null"}


def test_this_release_writes_the_same_archive(golden: MemoryStore) -> None:
    """Compressed bytes may differ with the libraries; nothing else may."""
    ours = MemoryStore()
    build(ours)
    keys = [entry.key for entry in golden.list("")]  # type: ignore[union-attr]
    assert [entry.key for entry in ours.list("")] == keys  # type: ignore[union-attr]
    for key in keys:
        one, other = read(ours, key), read(golden, key)
        if key.endswith(".avro"):
            assert read_window(one) == read_window(other)
            metadata = [dict(open_container(io.BytesIO(data)).metadata) for data in (one, other)]
            assert metadata[0] == metadata[1]
        else:
            assert one == other
