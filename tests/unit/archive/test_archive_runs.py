from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.runs import MOST_UNITS, Run, units_for
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety, WrongUsage
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT

DOCUMENT = {"request": {"topics": ["orders"], "from": 5}, "totals": {"objects": 3}}
LINES = [{"object": f"größe\r\n\u2028 {number}"} for number in range(7)]


@pytest.fixture
def run() -> Run:
    return a_run()


def a_run(store: MemoryStore | None = None, run_id: str = "r-1") -> Run:
    return Run(store or MemoryStore(), LAYOUT, "restore", run_id)


def test_a_plan_reads_back(run: Run) -> None:
    assert run.find_plan() is None
    assert run.write_plan(DOCUMENT, LINES) == DOCUMENT
    assert run.find_plan() == run.plan() == DOCUMENT
    assert list(run.lines()) == list(enumerate(LINES))


def test_a_plan_is_one_object_so_that_it_is_whole_or_absent(run: Run) -> None:
    run.write_plan(DOCUMENT, iter(LINES))
    assert [e.key for e in run.store.list("") if isinstance(e, ObjectInfo)] == [run.key("plan.jsonl")]
    assert len(read(run.store, run.key("plan.jsonl")).decode().split("\n")) == len(LINES) + 2


def test_a_plan_without_lines_is_a_plan(run: Run) -> None:
    run.write_plan(DOCUMENT, [])
    assert list(run.lines()) == []


@given(st.integers(1, 9), st.integers(0, 20))
def test_units_share_all_lines(units: int, count: int) -> None:
    run = a_run()
    run.write_plan(DOCUMENT, [{"n": n} for n in range(count)])
    shares = [list(run.lines(unit=unit, units=units)) for unit in range(units)]
    assert sorted(chain(*shares), key=lambda pair: pair[0]) == [(n, {"n": n}) for n in range(count)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_second_try_reads_the_first_plan(run: Run) -> None:
    run.write_plan(DOCUMENT, LINES)
    again = run.write_plan(DOCUMENT | {"totals": {"objects": 4}}, LINES + LINES)
    assert again == DOCUMENT
    assert len(list(run.lines())) == len(LINES)


def test_a_second_try_does_not_plan_at_all(run: Run) -> None:
    run.write_plan(DOCUMENT, LINES)

    def never() -> Any:
        raise AssertionError("planned twice")
        yield

    assert run.write_plan(DOCUMENT, never()) == DOCUMENT


def test_two_planners_that_race_on_one_run_id_read_one_plan() -> None:
    store, both_looked = MemoryStore(), threading.Barrier(2)

    def plan(totals: int) -> tuple[Any, list[Any]]:
        def lines() -> Any:
            both_looked.wait(5)
            yield {"by": totals}

        run = a_run(store)
        document = run.write_plan(DOCUMENT | {"totals": totals}, lines())
        return document, list(run.lines())

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(plan, (1, 2))
    assert one == other
    assert one[1] == [(0, {"by": one[0]["totals"]})]


def test_two_planners_that_race_with_different_requests_do_not_both_go_on() -> None:
    store, both_looked = MemoryStore(), threading.Barrier(2)

    def plan(topic: str) -> bool:
        def lines() -> Any:
            both_looked.wait(5)
            yield {}

        try:
            a_run(store).write_plan({"request": topic}, lines())
        except RefusedForSafety as error:
            return error.exit_code != 4
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(plan, ("orders", "payments"))) == [False, True]


def test_a_run_id_used_for_another_request_is_refused(run: Run) -> None:
    run.write_plan(DOCUMENT, LINES)
    with pytest.raises(RefusedForSafety, match="r-1") as caught:
        run.write_plan(DOCUMENT | {"request": {"topics": ["payments"]}}, LINES)
    assert caught.value.exit_code == 4
    assert "--run-id" in caught.value.hint
    a_run(run.store, "r-2").write_plan({"request": "another"}, [])  # type: ignore[arg-type]


def test_a_request_with_tuples_is_the_same_request(run: Run) -> None:
    """JSON gives lists back, and the very first try was once refused."""
    document = {"request": {"topics": ("orders", "payments")}}
    assert (
        run.write_plan(document, []) == run.write_plan(document, []) == {"request": {"topics": ["orders", "payments"]}}
    )


def test_a_run_without_a_plan_is_wrong_usage(run: Run) -> None:
    with pytest.raises(WrongUsage, match="no plan") as caught:
        run.plan()
    assert caught.value.exit_code == 2
    with pytest.raises(MillpondError):
        list(run.lines())


@pytest.mark.parametrize("content", [b"", b"\n", b"{", b"[]\n", b"null\n", b"\xff\n"])
def test_a_damaged_plan_is_damage(run: Run, content: bytes) -> None:
    run.store.put_if_absent(run.key("plan.jsonl"), content)
    with pytest.raises(DamagedArchive):
        run.plan()


def test_a_damaged_line_or_result_is_damage(run: Run) -> None:
    run.store.put_if_absent(run.key("plan.jsonl"), b"{}\n{}\n{\n")
    with pytest.raises(DamagedArchive):
        list(run.lines())
    run.store.put_if_absent(run.key("results", "0000001.json"), b"\xff")
    with pytest.raises(DamagedArchive):
        run.result(1)
    with pytest.raises(DamagedArchive):
        list(run.results())


def test_results_are_written_once_and_read_in_order(run: Run) -> None:
    for line in (10, 2, 0):
        run.write_result(line, {"read": line})
    run.write_result(2, {"read": 99})
    assert run.result(2) == {"read": 2}
    assert run.result(1) is None
    assert list(run.results()) == [(0, {"read": 0}), (2, {"read": 2}), (10, {"read": 10})]


def test_failures_keep_every_try(run: Run) -> None:
    run.write_failure(3, 200, "TryAgain")
    run.write_failure(3, 100, "TryAgain")
    run.write_failure(3, 100, "TryAgain")
    run.write_failure(1, 300, "DamagedArchive")
    assert [(line, found["at"], found["reason"]) for line, found in run.failures()] == [
        (1, 300, "DamagedArchive"),
        (3, 100, "TryAgain"),
        (3, 200, "TryAgain"),
    ]
    assert list(run.results()) == []


def test_other_files_among_the_results_are_ignored(run: Run) -> None:
    """They were once taken for numbers."""
    run.write_result(1, {"read": 1})
    for name in ("notes.txt", "0000001.json.bak", "x/0000002.txt", ".keep"):
        run.store.put_if_absent(run.key("results", name), b"?")
    assert list(run.results()) == [(1, {"read": 1})]


def test_a_result_beyond_seven_digits_keeps_its_number(run: Run) -> None:
    run.write_result(12_345_678, {})
    assert list(run.results()) == [(12_345_678, {})]


def test_a_document_is_written_once(run: Run) -> None:
    assert run.find("prepared", "orders.json") is None
    assert run.write_once({"base": 1}, "prepared", "orders.json") == {"base": 1}
    assert run.write_once({"base": 2}, "prepared", "orders.json") == {"base": 1}
    assert run.find("prepared", "orders.json") == {"base": 1}


def test_runs_do_not_see_each_other() -> None:
    store = MemoryStore()
    one, other = a_run(store, "r"), a_run(store, "r-1")
    one.write_result(0, {})
    assert list(other.results()) == []
    assert json.loads(read(store, LAYOUT.run("restore", "r", "results", "0000000.json"))) == {}


def test_work_is_shared_by_as_many_workers_as_its_bytes_are_worth_and_batch_takes() -> None:
    shared = [units_for(lines, lines * 10, bytes_per_unit=10) for lines in (0, 1, 2, 10_000, 10_001, 10**6)]
    assert shared == [0, 1, 2, MOST_UNITS, MOST_UNITS, MOST_UNITS]
    assert [units_for(50, size, bytes_per_unit=100) for size in (0, 1, 100, 101, 10**9)] == [1, 1, 1, 2, 50]
