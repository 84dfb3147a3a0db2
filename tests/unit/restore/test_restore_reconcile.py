"""What is proven of the records of a run: nothing is missing, and nothing contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.archive.runs import Run
from millpond.errors import DamagedArchive, MillpondError, WrongUsage
from millpond.restore.planning.plan import KIND
from millpond.restore.reporting.reconcile import reconcile_restore
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT


def a_run(lines: int) -> Run:
    run = Run(MemoryStore(), LAYOUT, KIND, "r")
    document = {
        "run_id": "r",
        "planned_at": 1,
        "request": {},
        "lines": lines,
        "topics": [{"topic": "orders", "target": "orders"}],
        "warnings": ["careful"],
    }
    run.write_plan(document, ({"target": "orders", "partition": number} for number in range(lines)))
    return run


def a_result(number: int, **more: Any) -> dict[str, Any]:
    result = {"topic": "orders", "target": "orders", "partition": number, "base": 5, "end": 8}
    counts = {"read": 3, "suppressed": 0, "written": 3, "objects": 1, "stamp_zero": 0}
    return result | counts | {"digest_archive": "d", "digest_target": "d"} | more


def reconcile(run: Run, now_ms: int = 9) -> dict[str, Any]:
    return reconcile_restore(run.store, run.layout, run_id=run.run_id, now_ms=now_ms)


def test_missing_lines_are_named_with_the_newest_reason() -> None:
    run = a_run(4)
    run.write_result(1, a_result(1))
    run.write_failure(0, 1000, "old reason")
    run.write_failure(0, 2000, "new reason")
    run.write_failure(1, 5000, "forgotten since")
    with pytest.raises(MillpondError, match="3 of 4 partitions are not restored") as caught:
        reconcile(run)
    text = str(caught.value)
    assert "orders-0: new reason" in text and "orders-2: never tried" in text
    assert "old reason" not in text and "forgotten" not in text and "orders-1" not in text
    assert run.find("reconciled.json") is None


def test_the_damaged_object_of_a_failure_is_named_once() -> None:
    run = a_run(2)
    run.write_failure(0, 1, "a digest is wrong", object_key="topics/orders/one.avro")
    run.write_failure(1, 1, "topics/orders/two.avro ends too early", object_key="topics/orders/two.avro")
    with pytest.raises(MillpondError) as caught:
        reconcile(run)
    assert "orders-0: a digest is wrong (object topics/orders/one.avro)" in str(caught.value)
    assert str(caught.value).count("two.avro") == 1


def test_of_many_missing_lines_only_some_are_named() -> None:
    with pytest.raises(MillpondError, match="100 of 100") as caught:
        reconcile(a_run(100))
    assert str(caught.value).count("never tried") == 5


@pytest.mark.parametrize(
    "wrong", [{"digest_target": "e"}, {"written": 2}, {"written": 4}, {"end": 9}, {"base": 6}, {"digest_archive": ""}]
)
def test_a_result_that_contradicts_itself_is_damage_and_named(wrong: dict[str, Any]) -> None:
    run = a_run(2)
    run.write_result(0, a_result(0))
    run.write_result(1, a_result(1, **wrong))
    with pytest.raises(DamagedArchive, match=r"line 1 \(orders-1\)"):
        reconcile(run)
    assert run.find("reconciled.json") is None


def a_topic_result(**more: Any) -> dict[str, Any]:
    """Of a line whose records went to two other partitions."""
    parts = [a_result(0, base=0, end=2, read=2, written=2), a_result(1, base=7, end=8, read=1, written=1)]
    return {**a_result(0), "partitions": parts} | more


def test_a_topic_that_went_to_other_partitions_is_told_by_those() -> None:
    run = a_run(1)
    run.write_result(0, a_topic_result())
    found = reconcile(run)
    assert [(part["partition"], part["base"], part["end"]) for part in found["partitions"]] == [(0, 0, 2), (1, 7, 8)]
    assert (found["read"], found["written"], found["objects"]) == (3, 3, 1)


@pytest.mark.parametrize("wrong", [{"written": 4}, {"digest_target": "e"}, {"partitions": [a_result(0, written=2)]}])
def test_a_result_of_several_partitions_that_contradicts_itself_is_damage(wrong: dict[str, Any]) -> None:
    run = a_run(1)
    run.write_result(0, a_topic_result(**wrong))
    with pytest.raises(DamagedArchive, match="line 0"):
        reconcile(run)


def test_counts_and_times_are_told_apart() -> None:
    run = a_run(2)
    run.write_result(0, a_result(0, filtered=4, suppressed=1, seconds=1.5, started_at=100, finished_at=160))
    run.write_result(1, a_result(1, filtered=5, seconds=0.5, started_at=90, finished_at=150))
    found = reconcile(run)
    assert (found["read"], found["filtered"], found["suppressed"], found["written"]) == (6, 9, 1, 6)
    assert (found["started_at"], found["work_finished_at"], found["worker_seconds"]) == (90, 160, 2.0)
    assert found["reconciled_at"] == 9


def test_the_document_adds_up_and_names_known_deviations() -> None:
    run = a_run(3)
    for number in (2, 0, 1):
        run.write_result(number, a_result(number, stamp_zero=number))
    report = reconcile(run)
    assert (report["status"], report["read"], report["written"]) == ("done", 9, 9)
    assert report["known_deviations"] == {"timestamp_zero_became_now": 3}
    assert report["warnings"] == ["careful"]
    assert [part["partition"] for part in report["partitions"]] == [0, 1, 2]


def test_it_is_written_once() -> None:
    run = a_run(1)
    run.write_result(0, a_result(0))
    assert reconcile(run, 1) == reconcile(run, 2)


def test_a_run_without_a_plan_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="no plan"):
        reconcile_restore(MemoryStore(), LAYOUT, run_id="r", now_ms=1)
