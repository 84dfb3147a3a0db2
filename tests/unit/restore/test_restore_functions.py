"""The controllers of a restore, called as Lambda calls them, on an archive in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.compare_restore.handler import handler as compare_restore
from functions.finish_restore.handler import handler as finish_restore
from functions.plan_restore.handler import handler as plan_restore
from functions.preflight_restore.handler import handler as preflight_restore
from functions.prepare_restore.handler import handler as prepare_restore
from functions.reconcile_restore.handler import handler as reconcile_restore
from functions.restore_groups.handler import handler as restore_groups
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety, WrongUsage
from millpond.storage.folder import FolderStore
from tests.unit.builders import ARCHIVE_ID, a_partition, make_rows, put_rows

HERE = Layout("")
NEAR_TARGET = [preflight_restore, prepare_restore, compare_restore, restore_groups, finish_restore]
CONTEXT: Any = SimpleNamespace(
    aws_request_id="request-1", function_name="f", memory_limit_in_mb=1, invoked_function_arn=""
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    monkeypatch.setenv("MILLPOND_ARCHIVE", tmp_path.as_uri())
    store = FolderStore(tmp_path)
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1}
    store.put_if_absent(HERE.identity, json.dumps(identity).encode())
    for number in range(2):
        put_rows(store, make_rows(0, 10), partition=a_partition("Orders", number), layout=HERE)
    return store


def a_result(number: int, **more: Any) -> dict[str, Any]:
    counts = {"base": 0, "end": 10, "read": 10, "suppressed": 0, "written": 10, "stamp_zero": 0}
    return {"target": "Orders", "partition": number, "digest_archive": "d", "digest_target": "d"} | counts | more


def test_the_planner_says_how_much_work_there_is_and_says_the_same_again(store: FolderStore) -> None:
    event = {"run_id": "r", "request": {"topics": ["Orders"], "prefix": "p."}}
    planned = plan_restore(event, CONTEXT)
    assert (planned["run_id"], planned["lines"]) == ("r", 2)
    assert 1 <= planned["units"] <= 2
    assert (planned["groups"], planned["compare"]) == (False, "sampled")
    assert plan_restore(event, CONTEXT) == planned
    assert [line["target"] for _, line in Run(store, HERE, "restore", "r").lines()] == ["p.Orders"] * 2


def test_the_planner_of_a_run_to_go_on_with_says_what_was_planned(store: FolderStore) -> None:
    asked = {"topics": ["Orders"], "compare": "none"}
    planned = plan_restore({"run_id": "r", "request": asked}, CONTEXT)
    assert plan_restore({"run_id": "r", "request": {"resume": "r"}}, CONTEXT) == planned
    assert planned["compare"] == "none"
    with pytest.raises(WrongUsage, match="restore run other has no plan"):
        plan_restore({"run_id": "other", "request": {"resume": "other"}}, CONTEXT)


def test_points_in_time_of_a_typed_request_reach_the_plan(store: FolderStore) -> None:
    asked = {"topics": ["Orders"], "partitions": [1], "until": "2026-01-01T00:00:00.001Z", "as_of": 9 * 10**12}
    assert plan_restore({"run_id": "r", "request": asked}, CONTEXT)["lines"] == 1
    run = Run(store, HERE, "restore", "r")
    assert [(line["partition"], line["until"]) for _, line in run.lines()] == [(1, 1767225600001)]
    assert any("kept no versions" in warning for warning in run.plan()["warnings"])


def test_the_planner_refuses_another_request_under_the_run(store: FolderStore) -> None:
    plan_restore({"run_id": "r", "request": {"all": True}}, CONTEXT)
    with pytest.raises(RefusedForSafety):
        plan_restore({"run_id": "r", "request": {"topics": ["Orders"]}}, CONTEXT)


@pytest.mark.parametrize(
    "event",
    [{"run_id": "r"}, {"run_id": "r", "request": []}, {"run_id": "a/b", "request": {}}, {"request": {}}, {}, None],
)
def test_an_event_that_is_none_ends_with_an_error_and_writes_nothing(store: FolderStore, event: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)validation|input|event|model"):
        plan_restore(event, CONTEXT)
    assert Run(store, HERE, "restore", "r").find_plan() is None


@pytest.mark.parametrize("request_", [{}, {"topics": ["none"]}, {"topics": ["a["]}, {"all": True, "x": 1}])
def test_a_request_that_cannot_be_planned_is_wrong_usage(store: FolderStore, request_: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage):
        plan_restore({"run_id": "r", "request": request_}, CONTEXT)
    assert Run(store, HERE, "restore", "r").find_plan() is None


def test_errors_are_logged_once_with_the_request_id(store: FolderStore, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(WrongUsage):
        plan_restore({"run_id": "r", "request": {"topics": ["none"]}}, CONTEXT)
    errors = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert [(error["request_id"], error["exit_code"]) for error in errors] == [("request-1", 2)]


def test_the_reconciler_says_what_is_missing_then_what_is_proven_then_the_same(store: FolderStore) -> None:
    plan_restore({"run_id": "r", "request": {"all": True}}, CONTEXT)
    run = Run(store, HERE, "restore", "r")
    run.write_result(0, a_result(0))
    run.write_failure(1, 1, "the reason")
    with pytest.raises(MillpondError, match="Orders-1: the reason"):
        reconcile_restore({"run_id": "r"}, CONTEXT)
    run.write_result(1, a_result(1))
    done = reconcile_restore({"run_id": "r"}, CONTEXT)
    assert done == {"run_id": "r", "status": "done", "written": 20}
    assert reconcile_restore({"run_id": "r"}, CONTEXT) == done


def test_the_reconciler_refuses_unequal_digests(store: FolderStore) -> None:
    plan_restore({"run_id": "r", "request": {"all": True}}, CONTEXT)
    for number in range(2):
        Run(store, HERE, "restore", "r").write_result(number, a_result(number, digest_target="e"))
    with pytest.raises(DamagedArchive):
        reconcile_restore({"run_id": "r"}, CONTEXT)


@pytest.mark.parametrize("step", NEAR_TARGET)
def test_a_step_near_the_target_without_brokers_is_wrong_usage(store: FolderStore, step: Any) -> None:
    with pytest.raises(WrongUsage, match="--to-brokers: is missing"):
        step({"run_id": "r"}, CONTEXT)


@pytest.mark.parametrize("step", [prepare_restore, finish_restore, compare_restore, restore_groups])
def test_a_step_of_an_unplanned_run_is_wrong_usage(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, step: Any
) -> None:
    monkeypatch.setenv("MILLPOND_TO_BROKERS", "127.0.0.1:1")
    with pytest.raises(WrongUsage, match="no plan"):
        step({"run_id": "r"}, CONTEXT)


def test_without_an_archive_every_controller_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLPOND_ARCHIVE", raising=False)
    for handler, event in ((plan_restore, {"run_id": "r", "request": {}}), (reconcile_restore, {"run_id": "r"})):
        with pytest.raises(WrongUsage, match="--archive: is missing"):
            handler(event, CONTEXT)
