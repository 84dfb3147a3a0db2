"""How far a restore is, told from what its workers have left behind."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.archive.runs import Run
from millpond.errors import WrongUsage
from millpond.restore.planning import lines
from millpond.restore.planning.plan import KIND
from millpond.restore.repartition.checkpoints import Checkpoint, write_checkpoint
from millpond.restore.reporting.progress import progress_of
from millpond.restore.writing.offset_map import Chunk, runs_of, write_chunk
from tests.unit.builders import LAYOUT
from tests.unit.restore.planned_archive import Archive


def an_archive(partitions: int = 3, windows: int = 2) -> Archive:
    archive = Archive()
    for number in range(partitions):
        for window in range(windows):
            archive.add("orders", number, first=10 * window)
    return archive


def wrote(run: Run, partition: int, offsets: range, part: int = 0, base: int = 0) -> None:
    chunk = Chunk(part, base, len(offsets), runs_of(offsets), "00", "d", "create_time", "t", [])
    write_chunk(run, "orders", partition, chunk)


def by_partition(found: dict[str, Any]) -> dict[int, tuple[str, float, int | None]]:
    return {line["partition"]: (line["state"], line["percent"], line["last_offset"]) for line in found["lines"]}


def test_every_partition_is_as_far_as_its_newest_chunk_says() -> None:
    archive = an_archive()
    archive.plan("orders")
    run = Run(archive, LAYOUT, KIND, "r")
    assert progress_of(run)["percent"] == 0.0
    wrote(run, 0, range(10))
    wrote(run, 1, range(10))
    wrote(run, 1, range(10, 15), part=1, base=10)
    found = progress_of(run)
    assert by_partition(found) == {0: ("begun", 50.0, 9), 1: ("begun", 75.0, 14), 2: ("waiting", 0.0, None)}
    assert (found["percent"], found["offsets"], found["reached"]) == (41.7, 60, 25)


def test_only_what_is_proven_is_a_hundred_percent() -> None:
    archive = an_archive(partitions=1)
    archive.plan("orders")
    run = Run(archive, LAYOUT, KIND, "r")
    wrote(run, 0, range(20))
    assert by_partition(progress_of(run)) == {0: ("begun", 99.9, 19)}
    run.write_result(0, {})
    found = progress_of(run)
    assert by_partition(found) == {0: ("done", 100.0, None)} and found["percent"] == 100.0


def test_a_failure_is_told_with_its_newest_reason_until_the_partition_is_done() -> None:
    archive = an_archive(partitions=2)
    archive.plan("orders")
    run = Run(archive, LAYOUT, KIND, "r")
    for at, reason in ((1, "old"), (2, "new")):
        run.write_failure(1, at, reason)
    found = progress_of(run)
    assert found["lines"][1]["state"] == "failed" and found["lines"][1]["failure"]["reason"] == "new"
    assert (found["failed"], found["topics"][0]["failed"], found["waiting"]) == (1, 1, 1)
    run.write_result(1, {})
    found = progress_of(run)
    assert (found["failed"], found["done"], found["lines"][1]["failure"]) == (0, 1, None)


def test_lines_whose_objects_stand_elsewhere_are_counted_by_their_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "INLINE", 1)
    archive = an_archive(partitions=1, windows=4)
    archive.plan("orders")
    run = Run(archive, LAYOUT, KIND, "r")
    wrote(run, 0, range(30))
    assert by_partition(progress_of(run)) == {0: ("begun", 75.0, 29)}


def test_topics_whose_records_go_to_other_partitions_are_counted_by_parts() -> None:
    archive = an_archive(partitions=2, windows=2)
    archive.plan("orders", repartition={"partitions": 5})
    run = Run(archive, LAYOUT, KIND, "r")
    write_checkpoint(run, "orders", Checkpoint(0, 0, 0, 9, 10, 0, {}))
    found = progress_of(run)
    assert [(line["partition"], line["percent"]) for line in found["lines"]] == [(None, 25.0)]


def test_a_topic_without_records_is_listed_and_asks_for_nothing() -> None:
    archive = an_archive()
    archive.add_snapshot(1, "orders", 3)
    archive.plan("orders", offsets=["orders:0:500-600"])
    found = progress_of(Run(archive, LAYOUT, KIND, "r"))
    assert found["lines"] == [] and [topic["lines"] for topic in found["topics"]] == [0]


def test_a_run_that_nobody_planned_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="no plan"):
        progress_of(Run(an_archive(), LAYOUT, KIND, "other"))
