"""Cuts in the store: given once, found by name, damage named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.cuts import Cut, CutEnd, CutFailure, CutTopic, cut_names, read_cut, refuse_taken, write_cut
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, TOPIC_ID, a_partition

CUT = Cut(
    "before-migration",
    1767225660000,
    ARCHIVE_ID,
    "Lh3mTqR9SbC0kYdWvXw2Pg",
    "groups/2026/01/01/1767225659000.avro",
    (CutTopic("orders", TOPIC_ID, (CutEnd(0, 2**53 + 1, 7), CutEnd(3, 0, -1))),),
    (
        CutFailure("end", "LEADER_NOT_AVAILABLE", "orders", 1),
        CutFailure("topic", "TOPIC_AUTHORIZATION_FAILED", "audit"),
    ),
)
KEY = f"{LAYOUT.prefix}/cuts/before-migration.json"


def test_a_cut_comes_back_as_it_was_written() -> None:
    store = MemoryStore()
    assert write_cut(store, LAYOUT, CUT) == KEY
    assert read_cut(store, LAYOUT, CUT.name) == CUT
    assert CUT.ends() == {a_partition(partition=0): CutEnd(0, 2**53 + 1, 7), a_partition(): CutEnd(3, 0, -1)}


def test_its_object_is_that_of_the_format_page() -> None:
    store = MemoryStore()
    write_cut(store, LAYOUT, CUT)
    document = json.loads(read(store, KEY))
    assert document["topics"][0] == {
        "topic": "orders",
        "topic_id": TOPIC_ID,
        "partitions": [
            {"partition": 0, "offset": 2**53 + 1, "leader_epoch": 7},
            {"partition": 3, "offset": 0, "leader_epoch": -1},
        ],
    }
    assert document["failed"][1] == {
        "part": "topic",
        "code": "TOPIC_AUTHORIZATION_FAILED",
        "topic": "audit",
        "partition": -1,
    }
    assert document.keys() == {"name", "at", "archive_id", "cluster_id", "groups", "topics", "failed"}


def test_another_cut_never_gets_the_name() -> None:
    store = MemoryStore()
    refuse_taken(store, LAYOUT, CUT.name)
    write_cut(store, LAYOUT, CUT)
    with pytest.raises(RefusedForSafety, match="there is a cut before-migration already"):
        write_cut(store, LAYOUT, replace(CUT, at=CUT.at + 1))
    with pytest.raises(RefusedForSafety):
        refuse_taken(store, LAYOUT, CUT.name)
    assert read_cut(store, LAYOUT, CUT.name) == CUT


def test_a_put_whose_answer_was_lost_is_no_refusal() -> None:
    store = MemoryStore()
    write_cut(store, LAYOUT, CUT)
    assert write_cut(store, LAYOUT, CUT) == KEY


def test_names_are_listed_and_foreign_keys_are_not() -> None:
    store = MemoryStore()
    for name in ("b", "a", "B.1"):
        write_cut(store, LAYOUT, replace(CUT, name=name))
    for key in ("cuts/x.txt", "cuts/.y.json", "cuts/sub/z.json", "cuts.json"):
        store.put_if_absent(LAYOUT.under(key), b"{}")
    assert list(cut_names(store, LAYOUT)) == ["B.1", "a", "b"]


def test_a_cut_that_is_not_there_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="there is no cut nobody"):
        read_cut(MemoryStore(), LAYOUT, "nobody")


@pytest.mark.parametrize("name", ["", ".x", "../x", "a/b", "a b", "ä", "x" * 81])
def test_names_that_are_no_part_of_a_key_are_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match="cannot be the name of a cut"):
        read_cut(MemoryStore(), LAYOUT, name)


def without(name: str) -> Callable[[Any], Any]:
    return lambda document: {key: told for key, told in document.items() if key != name}


@pytest.mark.parametrize(
    "damage",
    [
        *map(without, ("name", "at", "archive_id", "cluster_id", "groups", "topics", "failed")),
        lambda document: document | {"at": "1"},
        lambda document: document | {"at": True},
        lambda document: document | {"topics": [{"topic": "orders"}]},
        lambda document: document | {"topics": 3},
        lambda document: document | {"topics": ["orders"]},
        lambda document: document | {"failed": [{"part": "end"}]},
        lambda document: document | {"name": "other"},
        lambda document: [document],
    ],
)
def test_an_object_that_is_no_cut_is_damage(damage: Callable[[Any], Any]) -> None:
    store = MemoryStore()
    write_cut(store, LAYOUT, CUT)
    body = json.dumps(damage(json.loads(read(store, KEY)))).encode()
    damaged = MemoryStore()
    damaged.put_if_absent(KEY, body)
    with pytest.raises(DamagedArchive, match=r"cuts/before-migration\.json"):
        read_cut(damaged, LAYOUT, CUT.name)


def test_names_that_a_later_version_adds_are_ignored() -> None:
    store = MemoryStore()
    write_cut(store, LAYOUT, CUT)
    body = json.dumps(json.loads(read(store, KEY)) | {"later": 1}).encode()
    newer = MemoryStore()
    newer.put_if_absent(KEY, body)
    assert read_cut(newer, LAYOUT, CUT.name) == CUT
