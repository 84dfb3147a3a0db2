"""`millpond runs list` and `millpond runs show`, on an archive in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.cli.main import main
from millpond.storage.folder import FolderStore
from tests.unit.restore.reported_run import ReportedRun

HERE = Layout("")


class Line:
    """The command line, and what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys, self._archive = capsys, folder.as_uri()

    def __call__(self, *words: str) -> str:
        self.code = main([*words, "--archive", self._archive])
        self.out, self.err = self._capsys.readouterr()
        return self.out

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Line:
    return Line(capsys, tmp_path)


def a_restore(folder: Path, run_id: str, *counts: int) -> ReportedRun:
    run = Run(FolderStore(folder), HERE, "restore", run_id)
    return ReportedRun({"orders": list(counts)}, run=run)


def test_an_archive_without_runs_says_so(line: Line) -> None:
    assert line("runs", "list") == "no run\n" and line.code == 0


def test_runs_of_all_kinds_are_listed_with_what_is_done(line: Line, tmp_path: Path) -> None:
    a_restore(tmp_path, "half", 5, 6).plan().work(but=[1])
    a_restore(tmp_path, "whole", 5).whole().report()
    Run(FolderStore(tmp_path), HERE, "coverage", "0001767225660000").write_once({}, "report.json")
    found = {(entry["kind"], entry["run_id"]): entry for entry in line.json("runs", "list")["runs"]}
    assert {name: (entry["state"], entry["percent"]) for name, entry in found.items()} == {
        ("restore", "half"): ("unfinished", 50.0),
        ("restore", "whole"): ("finished", 100.0),
        ("coverage", "0001767225660000"): ("finished", None),
    }
    assert "restore  half  unfinished, 1 of 2 lines done" in line("runs", "list", "--kind", "restore")
    assert "coverage" not in line.out


def test_a_finished_restore_is_shown_with_its_outcome(line: Line, tmp_path: Path) -> None:
    run = a_restore(tmp_path, "r", 5).plan().prepare().work(stamp_zero=1).reconcile().compare().groups().finish()
    run.report()
    said = line("runs", "show", "r")
    assert said.startswith("restore run r: finished: done-with-exceptions, 1 of 1 lines done")
    assert "exception: 1 records with timestamp 0" in said and "100.0 %  orders -> restored.orders: 1 done" in said


def test_a_failed_restore_is_shown_with_reasons_and_percents(line: Line, tmp_path: Path) -> None:
    run = a_restore(tmp_path, "r", 5, 6, 7).plan().work(but=[1, 2])
    run.run.write_failure(1, 1, "a digest is wrong")
    run.report(reasons=["2 partitions are not restored"])
    said = line("runs", "show", "r")
    assert "restored.orders-1 failed: a digest is wrong" in said
    assert "the last try failed at 2026-01-01T00:00:52Z: 2 partitions are not restored; not done:" in said
    assert "1 done, 1 failed, 1 waiting" in said and "restored.orders-0" not in said
    assert "restored.orders-0 done" in line("runs", "show", "r", "--partitions")
    document = line.json("runs", "show", "r")
    assert [entry["state"] for entry in document["progress"]["lines"]] == ["done", "failed", "waiting"]
    assert document["outcome"] is None and document["last_failure"]["reasons"][0] == "2 partitions are not restored"


def test_another_kind_of_run_is_shown_by_its_lines(line: Line, tmp_path: Path) -> None:
    run = Run(FolderStore(tmp_path), HERE, "redact", "sweep")
    run.write_plan({"kind": "redact", "lines": 2, "request": {}}, [{}, {}])
    run.write_result(0, {})
    run.write_failure(1, 1_000, "an object changed")
    said = line("runs", "show", "sweep")
    assert said.startswith("redact run sweep: unfinished, 1 of 2 lines done")
    assert "line 1 FAILED at 1970-01-01T00:00:01Z: an object changed" in said


def test_names_that_mean_no_run_or_several_are_refused(line: Line, tmp_path: Path) -> None:
    a_restore(tmp_path, "r", 5).plan()
    line("runs", "show", "other")
    assert line.code == 2 and "no run other" in line.err
    Run(FolderStore(tmp_path), HERE, "redact", "r").write_plan({"kind": "redact", "lines": 0}, [])
    line("runs", "show", "r")
    assert line.code == 2 and "redact, restore" in line.err
    assert line("runs", "show", "r", "--kind", "redact").startswith("redact run r: unfinished")


def test_a_plan_that_cannot_be_read_is_damaged_and_still_shown(line: Line, tmp_path: Path) -> None:
    FolderStore(tmp_path).put_if_absent(HERE.run("restore", "r", "plan.jsonl"), b"nonsense")
    assert line("runs", "show", "r").startswith("restore run r: damaged") and line.code == 0
    assert "damaged" in line("runs", "list")
