"""Plans of odd sizes on real parts, and controllers that are killed while they plan or prepare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.processes import wait_until
from millpond.archive.names import GapReason, WindowName
from millpond.archive.runs import MOST_UNITS
from millpond.records import Row
from millpond.restore.planning.lines import INLINE
from millpond.restore.planning.plan import plan_restore
from millpond.restore.request import parse_request
from millpond.restore.targets.safety import SAFE_CONFIG
from millpond.restore.writing import target
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.faults.restore_process import Process
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import a_partition, make_rows, put_gap

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


@pytest.fixture
def in_folder(kafka: KafkaCluster, tmp_path: Path) -> Restore:
    """For processes of their own."""
    return Restore(kafka.bootstrap(), FolderStore(tmp_path))


# -- sizes


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_a_run_of_few_partitions_is_whole(restore: Restore, unique_name: Name, lines: int) -> None:
    """The first partition is there and empty, so that a plan may have no line and still makes a topic."""
    topic = unique_name("few")
    put_gap(restore.store, 0, 9, GapReason.EMPTY, partition=a_partition(topic, 0), layout=LAYOUT)
    sent: dict[int, list[Row]] = {0: []} | {number: make_rows(0, 20) for number in range(1, lines + 1)}
    for number, rows in sent.items():
        if rows:
            restore.add(topic, rows, number)
    plan = restore.plan(topic)
    assert (plan["lines"], plan["units"]) == (lines, min(lines, 1))
    restore.prepare()
    assert restore.work(units=max(1, plan["units"])) == []
    assert restore.reconcile()["written"] == 20 * lines
    oracle.assert_restored(sent, restore.store, LAYOUT, oracle.Restored(restore.bootstrap, topic, topic))


def test_a_plan_of_more_partitions_than_an_array_has_places_leaves_out_none_and_each_unit_does_its_share(
    restore: Restore, unique_name: Name
) -> None:
    """The share of one unit is restored for real: its partitions are those of small topics at both ends of the plan."""
    small, wide, large = unique_name("a"), unique_name("b"), unique_name("c")
    rows = make_rows(0, 3)
    restore.add(small, rows)
    restore.add(large, rows)
    for number in range(MOST_UNITS - 1):  # a plan reads names alone
        restore.store.put_if_absent(LAYOUT.object(a_partition(wide, number), WindowName(0, 9, 7, 1, 1)), bytes(500))
    request = parse_request({"topics": [small, wide, large]})
    plan = plan_restore(restore.store, LAYOUT, request, run_id="r", now_ms=1, bytes_per_unit=1)
    assert (plan["lines"], plan["units"]) == (MOST_UNITS + 1, MOST_UNITS)
    shares = [
        [number for number, _ in restore.run.lines(unit=unit, units=MOST_UNITS)] for unit in (0, 1, MOST_UNITS - 1)
    ]
    assert shares == [[0, MOST_UNITS], [1], [MOST_UNITS - 1]]
    lines = [(line["target"], line["partition"]) for _, line in restore.run.lines()]
    assert lines == [(small, 0), *((wide, number) for number in range(MOST_UNITS - 1)), (large, 0)]
    make_by_hand(restore, small, large)
    assert restore.work(unit=0, units=MOST_UNITS) == []
    for topic in (small, large):
        where = oracle.Restored(restore.bootstrap, topic, topic)
        oracle.assert_restored({0: rows}, restore.store, LAYOUT, where)
    assert sorted(number for number, _ in restore.run.results()) == [0, MOST_UNITS]


def make_by_hand(restore: Restore, *topics: str) -> None:
    """Prepared by a run of these topics alone: a broker on one machine takes long for thousands of partitions."""
    other = Restore(restore.bootstrap, restore.store, run_id="small")
    other.plan(*topics)
    for prepared in other.prepare():
        restore.run.write_once(prepared, "prepared", f"{prepared['topic']}.json")


# -- a controller that is killed


def test_a_planner_killed_after_any_of_its_writes_leaves_no_part_of_a_plan_and_the_next_writes_the_same(
    in_folder: Restore, unique_name: Name
) -> None:
    """Lines of many objects are documents of their own, written before the plan that names them."""
    topic, rows = unique_name("many"), make_rows(0, INLINE + 1)
    for number in range(3):
        for row in rows:
            in_folder.add(topic, [row], number)
    whole = in_folder.plan(topic)
    lines = list(in_folder.run.lines())
    writes = 0
    for after in range(1, 10):
        in_folder.run_id = f"k{after}"
        if not Process(in_folder, (topic,), steps=("plan",)).died(after):
            break
        writes += 1
        found = in_folder.run.find_plan()
        assert (found is None) == (after <= 3), "the plan is the last of four writes"
        again = in_folder.plan(topic)
        assert again == whole | {"run_id": in_folder.run_id}
        assert list(in_folder.run.lines()) == lines
    assert writes == 4


def test_a_preparation_killed_between_any_two_of_its_steps_is_finished_by_the_same_run(
    in_folder: Restore, unique_name: Name
) -> None:
    """One topic is there and empty with settings of its own, the other has to be made."""
    rows, steps, base = make_rows(0, 30), 0, unique_name("t")
    for name in ("made", "there"):
        in_folder.add(f"{base}.{name}", rows)
    for after in range(1, 20):
        in_folder.run_id, prefix = f"k{after}", f"k{after}."
        targets = {name: f"{prefix}{base}.{name}" for name in ("made", "there")}
        oracle.make_topic(in_folder.bootstrap, targets["there"], retention_ms="100000000000")
        in_folder.plan(*(f"{base}.{name}" for name in targets), prefix=prefix)
        if not Process(in_folder, (), steps=("prepare",)).died(after):
            break
        steps += 1
        prepared = {document["topic"]: document for document in in_folder.prepare()}
        assert {name: prepared[topic]["made"] for name, topic in targets.items()} == {"made": True, "there": False}
        assert prepared[targets["there"]]["prior"]["retention.ms"] == "100000000000"
        assert {document["base"]["0"] for document in prepared.values()} == {0}
        for topic in targets.values():
            settings = lambda topic=topic: in_folder.cluster.topic_config(topic).items()  # noqa: E731
            wait_until(lambda found=settings: found() >= SAFE_CONFIG.items(), f"{topic} is safe after {after}")
    assert steps >= 5, "the topic, two notes before it, and the settings of two"
    in_folder.run_id = "k2"
    assert in_folder.work() == []
    for name in ("made", "there"):
        where = oracle.Restored(in_folder.bootstrap, f"k2.{base}.{name}", f"{base}.{name}")
        oracle.assert_restored({0: rows}, in_folder.store, in_folder.layout, where)
