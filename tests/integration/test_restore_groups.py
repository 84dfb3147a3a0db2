"""Groups as a step of a restore: the snapshot that the plan chose, whatever was taken, changed or deleted since."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from local.kafka import KafkaCluster
from millpond.errors import MillpondError, WrongUsage
from millpond.restore.groups.step import restore_groups
from millpond.restore.writing import target
from tests import oracle
from tests.integration.group_runs import Groups, next_records
from tests.integration.kafka_requests import commit, member
from tests.integration.restore_runs import LAYOUT, Restore

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def groups(kafka: KafkaCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Groups:
    return Groups(kafka.bootstrap(), tmp_path, capsys)


def step(restore: Restore) -> dict[str, Any]:
    return restore_groups(restore.store, LAYOUT, restore.cluster, run_id=restore.run_id, now_ms=5)


def archived(groups: Groups, topic: str, **offsets: int) -> int:
    """Ten records, groups at these offsets, all of it in the archive; when the snapshot was taken."""
    oracle.make_topic(groups.bootstrap, topic)
    oracle.produce(groups.bootstrap, topic, [b"v%d" % number for number in range(10)])
    for group, offset in offsets.items():
        commit(groups.bootstrap, group, TopicPartition(topic, 0, offset, "m"))
    groups.backup(topic)
    return int(groups.snapshot()["at"])


def test_groups_of_a_plan_stand_where_they_stood_when_it_was_made(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    archived(groups, topic, **{group: 4})
    restore = groups.restore()
    restore.plan(topic, prefix="back.", groups={"include": [group], "prefix": "p."})
    due = next_records(groups.bootstrap, group, [(topic, 0)])
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 9, "later"))
    groups.snapshot()
    restore.prepare()
    assert restore.work() == []
    told = step(restore)
    assert told["offsets"]["applied"] == 1 and [g["target"] for g in told["groups"]] == [f"p.{group}"]
    found = next_records(groups.bootstrap, f"p.{group}", [(f"back.{topic}", 0)])
    assert list(found.values()) == list(due.values())
    assert step(restore) == told, "a repeat finds what was done"


def test_the_snapshot_of_the_moment_that_is_restored_counts(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    first = archived(groups, topic, **{group: 2})
    time.sleep(0.01)
    commit(groups.bootstrap, group, TopicPartition(topic, 0, 8))
    second = int(groups.snapshot()["at"])

    def chosen(run_id: str, **more: Any) -> int:
        return int(groups.restore(run_id).plan(topic, **more)["groups"]["at"])

    assert chosen("newest", groups=True) == second
    assert chosen("cut", groups=True, cut=first + 1) == first
    assert chosen("until", groups=True, until=first) == first
    assert chosen("named", groups={"at": second}, cut=first + 1) == second
    assert groups.restore("none").plan(topic)["groups"] is None
    with pytest.raises(WrongUsage, match="no snapshot of groups of that time"):
        chosen("early", groups={"at": first - 1})


def test_a_group_with_members_is_named_and_the_restore_goes_on(groups: Groups, unique_name: Name) -> None:
    topic, busy, idle = unique_name("t"), unique_name("busy"), unique_name("idle")
    archived(groups, topic, **{busy: 4, idle: 5})
    restore = groups.restore()
    restore.plan(topic, prefix="back.", groups={"include": [busy, idle]})
    restore.prepare()
    assert restore.work() == []
    with member(groups.bootstrap, busy, topic):
        told = {group["group"]: group for group in step(restore)["groups"]}
    assert (told[busy]["status"], told[busy]["members"]) == ("active", 1)
    assert told[busy]["clients"] == ["rdkafka (127.0.0.1)"]
    assert told[busy]["reasons"] == [{"topic": topic, "status": "active", "reason": "has_members"}]
    assert told[idle]["offsets"] == {"applied": 1}


def test_offsets_that_wait_for_records_are_no_success(groups: Groups, unique_name: Name) -> None:
    topic, group = unique_name("t"), unique_name("g")
    archived(groups, topic, **{group: 4})
    restore = groups.restore()
    restore.plan(topic, prefix="back.", groups={"include": [group]})
    restore.prepare()
    with pytest.raises(MillpondError, match="not_restored_yet"):
        step(restore)
    assert restore.run.find("groups.json") is None
    assert restore.work() == []
    assert step(restore)["offsets"]["applied"] == 1


def test_a_restore_without_groups_says_so(groups: Groups, unique_name: Name) -> None:
    topic = unique_name("t")
    archived(groups, topic)
    restore = groups.restore()
    restore.all(topic, prefix="back.")
    assert step(restore) == {"asked": False, "at": 5, "offsets": {}, "groups": []}
