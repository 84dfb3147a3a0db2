"""The history of group snapshots: kept for ever, found by time, and never emptied by an empty answer."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from millpond.archive.keys import Layout
from millpond.groups.keep import keep, moments, newest
from millpond.groups.take import GroupChoice
from millpond.groups.values import Failure, GroupSnapshot
from millpond.storage.contract import ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.groups.golden_snapshot import SNAPSHOT

LAYOUT = Layout("kafka")
DAY_MS = 86_400_000
EMPTY = replace(SNAPSHOT, at=SNAPSHOT.at + 60_000, groups=())


def at(ms: int) -> GroupSnapshot:
    return replace(SNAPSHOT, at=ms)


def keys(store: MemoryStore) -> list[str]:
    return [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]


def test_a_snapshot_lies_in_the_folder_of_its_day() -> None:
    store = MemoryStore()
    kept = keep(store, LAYOUT, SNAPSHOT)
    assert kept.key == "kafka/groups/2026/01/01/1767225660000.avro" and keys(store) == [kept.key]
    assert newest(store, LAYOUT) == SNAPSHOT


def test_the_last_snapshot_before_a_time_is_found() -> None:
    store = MemoryStore()
    times = [SNAPSHOT.at + days * DAY_MS + minute * 60_000 for days in (-400, -31, -1, 0, 1) for minute in (0, 1)]
    for ms in times:
        keep(store, LAYOUT, at(ms))
    assert [ms for ms, _ in moments(store, LAYOUT)] == times[::-1]
    for ms in times:
        for until, expected in ((ms, ms), (ms + 1, ms), (ms - 1, max((t for t in times if t < ms), default=None))):
            found = newest(store, LAYOUT, until_ms=until)
            assert (found.at if found else None) == expected


def test_the_newest_is_found_without_listing_older_days() -> None:
    listed: list[str] = []

    class Listened(MemoryStore):
        def list(self, prefix: str, **more: str):  # type: ignore[no-untyped-def,override]
            listed.append(prefix)
            return super().list(prefix, **more)

    store = Listened()
    for days in range(40):
        keep(store, LAYOUT, at(SNAPSHOT.at + days * DAY_MS))
    listed.clear()
    assert newest(store, LAYOUT, until_ms=SNAPSHOT.at + 35 * DAY_MS) == at(SNAPSHOT.at + 35 * DAY_MS)
    assert len(listed) == 4


def test_an_empty_answer_never_replaces_a_good_snapshot(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    keep(store, LAYOUT, SNAPSHOT)
    with caplog.at_level(logging.WARNING):
        kept = keep(store, LAYOUT, EMPTY)
    assert not kept.key and "holds 2" in kept.refused and "not kept" in caplog.text
    assert newest(store, LAYOUT) == SNAPSHOT and len(keys(store)) == 1


def test_an_answer_in_which_every_group_failed_does_not_either() -> None:
    store = MemoryStore()
    keep(store, LAYOUT, SNAPSHOT)
    assert keep(store, LAYOUT, replace(EMPTY, failed=(Failure("offsets", "X", "billing"),))).refused


def test_a_cluster_that_never_had_groups_has_empty_snapshots() -> None:
    store = MemoryStore()
    assert keep(store, LAYOUT, EMPTY).key and keep(store, LAYOUT, replace(EMPTY, at=EMPTY.at + 1)).key
    assert len(keys(store)) == 2


def test_two_snapshots_of_one_millisecond_are_both_kept() -> None:
    store = MemoryStore()
    first, second = keep(store, LAYOUT, SNAPSHOT), keep(store, LAYOUT, replace(SNAPSHOT, groups=SNAPSHOT.groups[:1]))
    assert second.snapshot.at == SNAPSHOT.at + 1 and [first.key, second.key] == keys(store)
    assert newest(store, LAYOUT) == second.snapshot


def test_a_damaged_snapshot_is_passed_over_and_named(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    keep(store, LAYOUT, SNAPSHOT)
    store.put_if_absent(LAYOUT.groups(SNAPSHOT.at + 1), b"Obj\x01 and then nothing")
    with caplog.at_level(logging.WARNING):
        assert newest(store, LAYOUT) == SNAPSHOT
    assert LAYOUT.groups(SNAPSHOT.at + 1) in caplog.text


def test_foreign_objects_are_no_snapshots() -> None:
    store = MemoryStore()
    for name in ("groups/2026/01/01/x.avro", "groups/2026/01/1767225660000.avro", "groups/20xx/01/01/1.avro"):
        store.put_if_absent(LAYOUT.under(name), b"x")
    assert list(moments(store, LAYOUT)) == []


def test_the_archives_own_group_is_left_out_and_names_match_whole() -> None:
    groups = ["millpond-abc", "millpond-other", "orders", "orders-dlq", "x"]
    assert GroupChoice.of("abc").match(groups) == ["millpond-other", "orders", "orders-dlq", "x"]
    assert GroupChoice.of("abc", ["orders", "x.*"], ["x"]).match(groups) == ["orders"]
