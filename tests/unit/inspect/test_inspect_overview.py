"""Snapshots, receipts and runs, as `info` tells them."""

from __future__ import annotations

import json

import pytest

from millpond.archive.runs import Run
from millpond.inspect.overview import overview_of
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT

REQUEST = {"request_id": "5f0c8a52-3d3e-4c0b-9a57-6f2b8f0e1d11"}


class Clock:
    """Every write is a second later."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        self.now += 1_000
        return self.now


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock_ms=Clock())


def planned(store: MemoryStore, kind: str, run_id: str, lines: int = 2, **more: object) -> Run:
    run = Run(store, LAYOUT, kind, run_id)
    document = {"kind": kind, "lines": lines, "request": more or {"topics": ["a"]}}
    run.write_plan(document, [{"n": number} for number in range(lines)])
    return run


def test_an_archive_without_any_says_so(store: MemoryStore) -> None:
    assert overview_of(store, LAYOUT) == {
        "cluster_snapshots": {"count": 0, "newest_ms": None},
        "group_snapshots": {"count": 0, "newest_ms": None},
        "redaction_receipts": 0,
        "runs": {},
    }


def test_snapshots_are_counted_and_the_newest_is_dated(store: MemoryStore) -> None:
    for at in (1767225660000, 1767312060000):
        store.put_if_absent(LAYOUT.cluster(at), b"{}")
    store.put_if_absent(LAYOUT.under("cluster/2026/01/03/notes.txt"), b"")
    store.put_if_absent(LAYOUT.under("groups/2026/01/01/1767225660123.avro"), b"")
    found = overview_of(store, LAYOUT)
    assert found["cluster_snapshots"] == {"count": 2, "newest_ms": 1767312060000}
    assert found["group_snapshots"] == {"count": 1, "newest_ms": 1767225660123}


def test_receipts_are_counted(store: MemoryStore) -> None:
    for request in "ab":
        store.put_if_absent(LAYOUT.receipt(request), b"{}")
    assert overview_of(store, LAYOUT)["redaction_receipts"] == 2


def test_the_newest_run_of_a_kind_is_the_one_that_was_planned_last(store: MemoryStore) -> None:
    planned(store, "restore", "z-first")
    last = planned(store, "restore", "a-last")
    last.write_result(0, {})
    last.write_failure(1, 5, "no")
    found = overview_of(store, LAYOUT)["runs"]["restore"]
    assert (found["run_id"], found["count"], found["state"]) == ("a-last", 2, "unfinished")
    assert (found["lines"], found["done"], found["failed_tries"]) == (2, 1, 1)
    assert found["started_ms"] == 1_002_000


def test_a_run_with_a_report_is_finished(store: MemoryStore) -> None:
    planned(store, "restore", "r").write_once({}, "report.json")
    assert overview_of(store, LAYOUT)["runs"]["restore"]["state"] == "finished"


def test_a_run_without_a_plan_is_known_by_its_report(store: MemoryStore) -> None:
    Run(store, LAYOUT, "coverage", "0001767225660000").write_once({}, "report.json")
    found = overview_of(store, LAYOUT)["runs"]["coverage"]
    assert (found["state"], found["lines"]) == ("finished", None)


def test_a_redaction_is_finished_by_the_receipt_of_its_request(store: MemoryStore) -> None:
    planned(store, "redact", "r", **REQUEST)
    assert overview_of(store, LAYOUT)["runs"]["redact"]["state"] == "unfinished"
    store.put_if_absent(LAYOUT.receipt(REQUEST["request_id"]), json.dumps({}).encode())
    assert overview_of(store, LAYOUT)["runs"]["redact"]["state"] == "finished"


def test_a_plan_that_cannot_be_read_is_told_as_damaged(store: MemoryStore) -> None:
    store.put_if_absent(LAYOUT.run("restore", "r", "plan.jsonl"), b"nonsense")
    assert overview_of(store, LAYOUT)["runs"]["restore"]["state"] == "damaged"


def test_folders_that_are_no_runs_are_passed_over(store: MemoryStore) -> None:
    store.put_if_absent(LAYOUT.run("check", "probe", "probe.json"), b"{}")
    assert overview_of(store, LAYOUT)["runs"] == {}
