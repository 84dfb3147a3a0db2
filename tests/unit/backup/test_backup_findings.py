"""Markers and events: each told once."""

from __future__ import annotations

import json

import pytest

from millpond.archive.coverage import Span
from millpond.backup.findings import Findings
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, ORDERS_3

FOLDER = f"{LAYOUT.incarnation(ORDERS_3.incarnation)}events/"
NOW = 1767225600000


def events(store: MemoryStore) -> list[dict[str, object]]:
    keys = [entry.key for entry in store.list(FOLDER) if isinstance(entry, ObjectInfo)]
    return [json.loads(read(store, key)) for key in keys]


def test_a_hole_is_told_once_however_far_the_commit_moves_on() -> None:
    store = MemoryStore()
    for committed in (100, 100, 200):
        Findings(store, LAYOUT).missing(ORDERS_3, [Span(3, 5)], committed, NOW + committed)
    (event,) = events(store)
    assert (event["missing"], event["committed"]) == ([[3, 5]], 100)


def test_another_hole_is_told_beside_the_first() -> None:
    store = MemoryStore()
    findings = Findings(store, LAYOUT)
    findings.missing(ORDERS_3, [Span(3, 5)], 100, NOW)
    findings.missing(ORDERS_3, [Span(3, 5), Span(8, 9)], 100, NOW + 1)
    assert [event["missing"] for event in events(store)] == [[[3, 5]], [[3, 5], [8, 9]]]
    assert findings.events["missing"] == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'"missing"'], ids=repr)
def test_what_is_no_event_is_left_out_with_a_warning_and_keeps_nothing_from_being_told(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.put_if_absent(f"{FOLDER}{NOW}-missing.json", content)
    Findings(store, LAYOUT).missing(ORDERS_3, [Span(3, 5)], 100, NOW + 1)
    found = [entry.key for entry in store.list(FOLDER) if isinstance(entry, ObjectInfo)]
    assert len(found) == 2 and json.loads(read(store, found[1]))["missing"] == [[3, 5]]
    assert "left out an event" in caplog.text
