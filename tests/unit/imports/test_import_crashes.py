"""An import that dies behind any call of the store, and is started again, ends as if nothing had happened."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from millpond.imports import kafka_data_keep
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.fault_stores import Counting, Crash
from tests.unit.imports.foreign import DATA, Import, commit, keep_key, oso_store, row

WINDOW_BYTES = 400


def two_topics() -> MemoryStore:
    """Windows, both kinds of marker, an event for each topic, and groups."""
    segments = [[row(offset, b"%d" % offset * 9) for offset in range(3, 30)], [commit(30)], [row(40), commit(41)]]
    source = oso_store(*segments, gaps=[{"start_offset": 31, "end_offset": 36, "reason": "offset_out_of_range"}])
    groups = b'{"snapshot_time": 1790000000000, "groups": [{"group_id": "g", "offsets": {"orders": {"0": 7}}}]}'
    source.put_if_absent("b1/consumer-groups-snapshot.json", groups)
    return source


def whole(into: Import) -> Any:
    return into(two_topics(), "kafka-backup")


def state(into: Import) -> Any:
    """Events carry the time of the import in their names, and are counted."""
    stored = into.stored()
    events = [key for key in stored if "/events/" in key]
    return into.rows(), into.markers(), [key for key in stored if key not in events], len(events)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_import_that_dies_at_any_call_and_is_repeated_ends_in_the_same_state(after: bool) -> None:
    undisturbed = Import(window_bytes=WINDOW_BYTES)
    whole(undisturbed)
    wanted = state(undisturbed)
    assert len([key for key in wanted[2] if key.endswith(".avro") and "/topics/" in key]) > 3
    assert {reason for _, _, reason in wanted[1]} == {"skipped", "retention"}
    counting = Counting(MemoryStore())
    whole(Import(counting, window_bytes=WINDOW_BYTES))
    for call in range(1, counting.calls + 1):
        store = MemoryStore()
        with pytest.raises(Crash):
            whole(Import(Counting(store, die_at=call, after=after), window_bytes=WINDOW_BYTES))
        into = Import(store, window_bytes=WINDOW_BYTES)
        whole(into)
        assert state(into) == wanted, f"died at call {call}"
        before = into.stored()
        whole(into)
        assert into.stored() == before, f"died at call {call}"


def test_an_import_that_dies_at_every_call_in_turn_comes_to_its_end() -> None:
    undisturbed, store = Import(window_bytes=WINDOW_BYTES), MemoryStore()
    whole(undisturbed)
    for call in range(1, 400):
        try:
            whole(Import(Counting(store, die_at=call), window_bytes=WINDOW_BYTES))
        except Crash:
            continue
        break
    assert state(Import(store)) == state(undisturbed)


def test_importing_real_backups_again_leaves_every_object_as_it_was() -> None:
    for folder, name in (
        (DATA / "kafka-data-keep" / "bucket", "kafka-data-keep"),
        (DATA / "oso" / "bucket" / "oso" / "golden-001", "kafka-backup"),
    ):
        into = Import(window_bytes=1000)
        into(folder, name)
        before = list(into.store.list_versions(""))
        assert into(folder, name)["records"] == 0
        assert list(into.store.list_versions("")) == before


def big_keep(folder: Path, size_bytes: int) -> str:
    key = folder / keep_key(0)
    key.parent.mkdir(parents=True)
    records = (
        {
            "key": b"k",
            "value": bytes(2000),
            "headers": {},
            "topic": "orders",
            "partition": 0,
            "timestamp": 1,
            "offset": offset,
        }
        for offset in range(size_bytes // 2000)
    )
    with key.open("wb") as file:
        schema = fastavro.parse_schema(kafka_data_keep.RECORD_SCHEMA)
        fastavro.writer(file, schema, records, codec="zstandard", sync_interval=64 << 10)
    return "kafka-data-keep"


def big_segment(folder: Path, size_bytes: int) -> str:
    source = oso_store([row(offset, bytes(2000)) for offset in range(size_bytes // 2000)])
    for info in source.list(""):
        path = folder / info.key  # type: ignore[union-attr]
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open(info.key) as stream:  # type: ignore[union-attr]
            path.write_bytes(io.BytesIO(stream.read()).getbuffer())
    return "kafka-backup"


@pytest.mark.parametrize("make", [big_keep, big_segment])
def test_memory_does_not_grow_with_the_files(make: Callable[[Path, int], str], tmp_path: Path) -> None:
    size_bytes = 40 << 20
    name = make(tmp_path / "source", size_bytes)
    (tmp_path / "archive").mkdir()
    into = Import(FolderStore(tmp_path / "archive"))
    tracemalloc.start()
    try:
        report = into(tmp_path / "source", name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (report["records"], report["windows"]) == (size_bytes // 2000, 1)
    assert peak < 12 << 20
