"""How far a restore is, seen by `millpond runs` while it runs, when it has failed, and at its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millpond.cli.main import main
from millpond.errors import MillpondError
from millpond.restore.reporting.progress import progress_of
from millpond.restore.run import run_restore
from millpond.restore.writing import target
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster


@pytest.fixture
def restore(kafka: KafkaCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Restore:
    monkeypatch.setattr(target, "_STILL_S", 0.1)
    return Restore(kafka.bootstrap(), FolderStore(tmp_path))


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[], Any]:
    def said() -> Any:
        capsys.readouterr()
        assert main(["runs", "show", "r", "--archive", f"{tmp_path.as_uri()}/kafka", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return said


def test_percents_rise_object_by_object_while_it_runs(restore: Restore, unique_name: Callable[[str], str]) -> None:
    topic = unique_name("rising")
    for start in range(0, 50, 10):
        restore.add(topic, make_rows(start, 10))
    restore.plan(topic)
    restore.prepare()
    seen = []
    assert restore.work(progress=lambda _: seen.append(progress_of(restore.run)["percent"])) == []
    assert seen == [0.0, 20.0, 40.0, 60.0, 80.0]
    assert progress_of(restore.run)["percent"] == 100.0


def test_a_failed_run_shows_where_it_stands_and_why_and_then_that_it_is_done(
    restore: Restore, unique_name: Callable[[str], str], show: Callable[[], Any], tmp_path: Path
) -> None:
    topic = unique_name("stuck")
    for number in range(2):
        restore.add(topic, make_rows(0, 10), number)
    restore.add(topic, make_rows(10, 10), 0)
    lost = restore.add(topic, make_rows(10, 10), 1)
    restore.plan(topic)
    (file,) = tmp_path.rglob(lost.rpartition("/")[2])
    away = file.rename(tmp_path / "away")

    def run() -> dict[str, Any]:
        return run_restore(restore.store, restore.layout, restore.cluster, run_id="r", work=restore.work)

    with pytest.raises(MillpondError):
        run()
    found = show()
    assert [(line["state"], line["percent"]) for line in found["progress"]["lines"]] == [
        ("done", 100.0),
        ("failed", 50.0),
    ]
    assert found["progress"]["lines"][1]["failure"]["object"] == lost
    assert (found["state"], found["progress"]["percent"]) == ("unfinished", 75.0)
    assert topic in found["last_failure"]["reasons"][0]
    away.rename(file)
    assert run()["written"] == 40
    found = show()
    assert (found["state"], found["outcome"], found["progress"]["percent"]) == ("finished", "done", 100.0)
    assert found["last_failure"] is None
