"""Topics of which the archive holds no record: a restore makes them, or says that their records are missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.archive.cuts import Cut, CutEnd, CutTopic, write_cut
from millpond.errors import DamagedArchive, MillpondError, WrongUsage
from millpond.restore.planning.plan import KIND, plan_restore
from millpond.restore.request import parse_request
from tests.unit.builders import ARCHIVE_ID, LAYOUT, OTHER_TOPIC_ID, TOPIC_ID
from tests.unit.restore.planned_archive import Archive


@pytest.fixture
def archive() -> Archive:
    """Topic `a` has records."""
    archive = Archive()
    archive.add("a")
    return archive


def add_snapshot(archive: Archive, at: int, **topics: dict[str, Any]) -> None:
    """Of these topics, by name."""
    known = {"topic_id": OTHER_TOPIC_ID, "partitions": 3, "replication": 1, "config": {}, "selected": True}
    body = {"at": at, "cluster_id": "c", "topics": [known | {"topic": name} | more for name, more in topics.items()]}
    archive.put_if_absent(LAYOUT.cluster(at), json.dumps(body).encode())


def add_cut(archive: Archive, **topics: list[tuple[int, int]]) -> None:
    """Of these topics: partitions and their ends."""
    ends = {name: tuple(CutEnd(number, offset, 7) for number, offset in pairs) for name, pairs in topics.items()}
    ids = {"a": TOPIC_ID, "b": TOPIC_ID}
    found = tuple(CutTopic(name, ids.get(name, OTHER_TOPIC_ID), pairs) for name, pairs in ends.items())
    write_cut(archive, LAYOUT, Cut("c", 1, ARCHIVE_ID, "c", "g", found))


def planned(plan: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    return [(one["topic"], one["topic_id"], one["partitions"], one["objects"]) for one in plan["topics"]]


def test_a_topic_that_only_a_snapshot_knows_is_made(archive: Archive) -> None:
    add_snapshot(archive, 10, a={"topic_id": TOPIC_ID, "partitions": 2}, empty={})
    plan = archive.plan()
    assert planned(plan) == [("a", TOPIC_ID, 2, 1), ("empty", OTHER_TOPIC_ID, 3, 0)]
    assert plan["lines"] == 1
    assert plan["warnings"] == ["made without records, since the archive holds none of them: empty"]


def test_it_may_be_asked_for_by_name_and_alone(archive: Archive) -> None:
    add_snapshot(archive, 10, empty={})
    plan = archive.plan("em.*", prefix="x.")
    assert (planned(plan), plan["lines"]) == ([("empty", OTHER_TOPIC_ID, 3, 0)], 0)
    assert plan["topics"][0]["target"] == "x.empty"
    with pytest.raises(WrongUsage, match="no archived topic matches"):
        archive.plan("empty", exclude_topics=["empty"], run_id="2")


def test_it_is_something_to_restore_where_archived_topics_have_nothing_that_is_due_the_plan_is_not_written(
    archive: Archive,
) -> None:
    def plan(run_id: str, *topics: str, **more: Any) -> dict[str, Any]:
        request = parse_request({"topics": topics, **more})
        return plan_restore(archive, LAYOUT, request, run_id=run_id, now_ms=1, refuse_nothing=True)

    add_snapshot(archive, 10, empty={})
    assert plan("1", "empty")["lines"] == 0
    with pytest.raises(MillpondError, match="nothing to restore"):
        plan("2", "empty", "a", since=2**42)
    assert list(archive.list(LAYOUT.run(KIND, "2", ""))) == []
    assert plan("3", "empty", "a")["lines"] == 1


def test_what_the_backup_leaves_out_is_not_made(archive: Archive) -> None:
    add_snapshot(archive, 10, other={"selected": False}, empty={}, __millpond_drill={})
    assert [name for name, *_ in planned(archive.plan())] == ["a", "empty"]


def test_a_snapshot_that_does_not_say_what_the_backup_covers_is_passed_over(archive: Archive) -> None:
    add_snapshot(archive, 10, empty={})
    add_snapshot(archive, 20, other={"selected": None})
    assert [name for name, *_ in planned(archive.plan())] == ["a", "empty"]


def test_the_newest_snapshot_up_to_the_moment_counts(archive: Archive) -> None:
    add_snapshot(archive, 10, first={})
    add_snapshot(archive, 20, second={})
    assert [name for name, *_ in planned(archive.plan())] == ["a", "second"]
    assert [name for name, *_ in planned(archive.plan(until=19, run_id="2"))] == ["a", "first"]
    assert [name for name, *_ in planned(archive.plan(cut=20, run_id="3"))] == ["a", "second"]
    assert [name for name, *_ in planned(archive.plan(until=9, run_id="4"))] == ["a"]


def test_a_snapshot_that_cannot_be_read_is_passed_over(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    add_snapshot(archive, 10, empty={})
    archive.put_if_absent(LAYOUT.cluster(20), b'{"at": 20, "topics": [{"topic": "lost"}]}')
    archive.put_if_absent(LAYOUT.cluster(30), b"{")
    assert [name for name, *_ in planned(archive.plan())] == ["a", "empty"]
    assert caplog.text.count("passed over") >= 2


def test_a_cut_says_which_topics_were_empty(archive: Archive) -> None:
    add_snapshot(archive, 10, later={})
    add_cut(archive, a=[(0, 5)], empty=[(0, 0), (1, 0)])
    plan = archive.plan(at_cut="c")
    assert planned(plan) == [("a", TOPIC_ID, 1, 1), ("empty", OTHER_TOPIC_ID, 2, 0)]
    assert not any("without records" in warning for warning in plan["warnings"])


def test_what_the_backup_did_not_cover_at_the_cut_does_not_stop_it(archive: Archive) -> None:
    add_snapshot(archive, 1, other={"selected": False}, a={"topic_id": TOPIC_ID})
    add_snapshot(archive, 10, other={}, a={"topic_id": TOPIC_ID})
    add_cut(archive, a=[(0, 5)], other=[(0, 7)])
    assert [name for name, *_ in planned(archive.plan(at_cut="c"))] == ["a"]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ({"a": [(0, 5)], "lost": [(0, 0), (1, 3)]}, "lost-1 offsets 0 to 2"),
        ({"a": [(0, 5), (1, 2)]}, "a-1 offsets 0 to 1"),
    ],
    ids=["a topic", "a partition"],
)
def test_what_had_records_at_the_cut_and_has_none_in_the_archive_stops_the_plan(
    archive: Archive, ends: dict[str, list[tuple[int, int]]], told: str
) -> None:
    add_cut(archive, **ends)
    with pytest.raises(DamagedArchive, match=told):
        archive.plan(at_cut="c")
    assert archive.plan(at_cut="c", allow=["behind-cut"])["lines"] == 1
    assert archive.plan(at_cut="c", partitions=["a:0"], exclude_topics=["lost"], run_id="2")["lines"] == 1


def test_another_life_that_had_records_at_the_cut_stops_the_plan() -> None:
    archive = Archive()
    archive.add("a", topic_id=OTHER_TOPIC_ID)
    archive.add("b")
    add_cut(archive, a=[(0, 5)], b=[(0, 0)])
    with pytest.raises(DamagedArchive, match="a-0 offsets 0 to 4"):
        archive.plan(at_cut="c")
