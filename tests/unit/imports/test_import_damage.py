"""A flipped bit or a lost end of a foreign file is found, or changes no record that is imported."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millpond.errors import MillpondError
from millpond.imports import kafka_data_keep, oso
from millpond.imports.backup import Item
from millpond.imports.files import StoreFiles
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.imports.foreign import DATA, Import, commit, keep_file, keep_key, oso_store, row

KEEP_FILES = [
    "bucket-multi/kafka-topics-backup/g.multi/0/g.multi-0-0000000000000000015.avro",
    "bucket/kafka-topics-backup/g.txn/0/g.txn-0-0000000000000000000.avro",
]
SEGMENTS = [
    "golden-001/topics/g.txn/partition=0/segment-00000000000000000000.bin.zst",
    "golden-002-headers-lz4/topics/g.txn/partition=0/segment-00000000000000000000.bin.lz4",
    "golden-003-none/topics/g.txn/partition=0/segment-00000000000000000000.bin",
]
Reading = Callable[[bytes], list[Item]]


def flips(content: bytes) -> list[bytes]:
    """The content with each of its bits flipped."""
    return [
        content[:at] + bytes((content[at] ^ 1 << bit,)) + content[at + 1 :]
        for at in range(len(content))
        for bit in range(8)
    ]


def keep_reading(key: str) -> Reading:
    def reading(content: bytes) -> list[Item]:
        store = MemoryStore()
        store.put_if_absent(key, content)
        (partition,) = kafka_data_keep.open_backup(StoreFiles(store, ""), "name").partitions
        return list(partition.files[0].read())

    return reading


def segment_reading(key: str, folder: Path) -> Reading:
    backup, _, _ = key.partition("/")
    manifest = (DATA / "oso" / "bucket" / "oso" / backup / "manifest.json").read_bytes()

    def reading(content: bytes) -> list[Item]:
        store = MemoryStore()
        store.put_if_absent(f"{backup}/manifest.json", manifest)
        store.put_if_absent(key, content)
        partitions = oso.open_backup(StoreFiles(store, ""), folder).partitions
        (file,) = (file for partition in partitions for file in partition.files if file.key == key)
        return list(file.read())

    return reading


def outcome(reading: Reading, content: bytes) -> list[Item] | None:
    """What is read, None where it is refused by name. Any other error than ours fails the test."""
    try:
        return reading(content)
    except MillpondError as error:
        return None if "cannot read" in str(error) else []


@pytest.mark.parametrize("name", KEEP_FILES)
def test_no_bit_of_a_kafka_data_keep_file_changes_a_record(name: str) -> None:
    content = (DATA / "kafka-data-keep" / name).read_bytes()
    reading = keep_reading(name)
    whole = reading(content)
    found = [outcome(reading, damaged) for damaged in flips(content)]
    assert {None, *map(str, filter(None, found))} <= {None, str(whole)}
    assert sum(one is None for one in found) > 0.9 * len(found)


@pytest.mark.parametrize("name", SEGMENTS)
def test_every_flipped_bit_of_a_segment_is_found(name: str, tmp_path: Path) -> None:
    content = (DATA / "oso" / "bucket" / "oso" / name).read_bytes()
    reading = segment_reading(name, tmp_path)
    assert len(reading(content)) == 18
    assert [outcome(reading, damaged) for damaged in flips(content)] == [None] * 8 * len(content)


@pytest.mark.parametrize("name", SEGMENTS)
def test_a_segment_that_was_cut_is_found(name: str, tmp_path: Path) -> None:
    content = (DATA / "oso" / "bucket" / "oso" / name).read_bytes()
    reading = segment_reading(name, tmp_path)
    assert [outcome(reading, content[:end]) for end in range(len(content))] == [None] * len(content)


def test_a_kafka_data_keep_file_that_was_cut_gives_its_first_records_or_none() -> None:
    """Between two blocks nothing shows that something is missing; the format has no end mark."""
    rows = [row(offset, b"%d" % offset * 20) for offset in range(30)]
    content, reading = keep_file(rows), keep_reading(keep_key(0))
    found = [outcome(reading, content[:end]) for end in range(len(content))]
    assert all(one is None or one == rows[: len(one)] for one in found)
    assert 1 < sum(one is not None for one in found) < 20


@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_blocks_without_a_checksum_are_at_least_held_to_their_structure(codec: str) -> None:
    """The tool writes zstandard alone; other codecs have no checksum, and no crash either."""
    content, reading = keep_file([row(0), row(1)], codec=codec), keep_reading(keep_key(0))
    assert reading(content) == [row(0), row(1)]
    for damaged in flips(content):
        outcome(reading, damaged)


def test_a_damaged_manifest_never_gives_a_wrong_record() -> None:
    rows = [row(offset, b"%d" % offset) for offset in range(8)]
    source = oso_store([*rows[:4], commit(4)], [row(5), row(6)])
    right = {("orders", 0): [*rows[:4], row(5), row(6)]}
    manifest = read(source, "b1/manifest.json")
    refused = 0
    for damaged in flips(manifest):
        source.delete("b1/manifest.json")
        source.put_if_absent("b1/manifest.json", damaged)
        into = Import()
        try:
            into(source, "kafka-backup")
        except MillpondError:
            refused += 1
            continue
        assert all(found in right[place] for place, of in into.rows().items() for found in of)
    assert refused > len(manifest)


def test_an_import_of_files_with_random_damage_holds_only_right_records() -> None:
    chance = random.Random(7)
    for _ in range(40):
        parts = [[row(offset, b"%d" % offset) for offset in range(first, first + 8)] for first in range(0, 40, 6)]
        source = MemoryStore()
        for rows in parts:
            content = bytearray(keep_file(rows))
            if chance.random() < 0.3:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            source.put_if_absent(keep_key(rows[0][0]), bytes(content))
        into = Import(window_bytes=100)
        into(source, "kafka-data-keep")
        right = {found[0]: found for rows in parts for found in rows}
        assert all(found == right[found[0]] for found in into.rows().get(("orders", 0), []))


@pytest.mark.parametrize(
    ("key", "name", "content"),
    [
        ("groups/consumers.avro", "kafka-data-keep", b"Obj\x01"),
        ("b1/consumer-groups-snapshot.json", "kafka-backup", b"[]"),
        ("b1/consumer-groups-snapshot.json", "kafka-backup", b'{"snapshot_time": -1, "groups": []}'),
        ("b1/consumer-groups-snapshot.json", "kafka-backup", json.dumps({"snapshot_time": 1, "groups": [1]}).encode()),
    ],
)
def test_damaged_groups_are_named_and_records_come_all_the_same(key: str, name: str, content: bytes) -> None:
    source: Any = oso_store([row(0)]) if name == "kafka-backup" else MemoryStore()
    if name == "kafka-data-keep":
        source.put_if_absent(keep_key(0), keep_file([row(0)]))
    source.put_if_absent(key, content)
    into = Import()
    (problem,) = into(source, name)["problems"]
    assert key in problem["problem"]
    assert into.rows() == {("orders", 0): [row(0)]}
    assert not [stored for stored in into.stored() if "/groups/" in stored]
