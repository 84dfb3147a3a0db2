"""What a plan makes of listings: which topics, which lives, which objects in which versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.archive.keys import Incarnation, PartitionId
from millpond.archive.names import GapReason
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety, WrongUsage
from millpond.restore.planning.plan import KIND, plan_restore
from millpond.restore.request import parse_request
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import (
    LAYOUT,
    OTHER_TOPIC_ID,
    TOPIC_ID,
    WRITTEN_MS,
    a_partition,
    make_rows,
    put_gap,
    put_rows,
)
from tests.unit.restore.planned_archive import NOW_MS, Archive


@pytest.fixture
def archive() -> Archive:
    return Archive()


def names(plan: dict[str, Any]) -> list[str]:
    return [topic["topic"] for topic in plan["topics"]]


# -- which topics


def test_topics_come_in_the_order_of_the_expressions_and_alphabetically_within_one(archive: Archive) -> None:
    for topic in ("c", "b2", "a", "b1", "b10", "x"):
        archive.add(topic)
    assert names(archive.plan("c", "b.*", ".*", exclude_topics=["x"])) == ["c", "b1", "b10", "b2", "a"]
    assert [line["topic"] for line in archive.lines()] == ["c", "b1", "b10", "b2", "a"]


def test_a_topic_is_planned_once_at_its_first_match(archive: Archive) -> None:
    for topic in ("a", "b"):
        archive.add(topic)
    assert names(archive.plan("b", "[ab]", "b.*", "b")) == ["b", "a"]


def test_expressions_match_whole_names_and_dots_are_no_literals(archive: Archive) -> None:
    for topic in ("orders", "orders.v2", "ordersXv2", "my-orders"):
        archive.add(topic)
    assert names(archive.plan("orders", run_id="1")) == ["orders"]
    assert names(archive.plan("orders.v2", run_id="2")) == ["orders.v2", "ordersXv2"]
    assert names(archive.plan(r"orders\.v2", run_id="3")) == ["orders.v2"]


def test_excludes_win_over_any_expression_and_over_all(archive: Archive) -> None:
    for topic in ("a", "a-internal", "b"):
        archive.add(topic)
    assert names(archive.plan("a-internal", "a.*", exclude_topics=[".*-internal"], run_id="1")) == ["a"]
    assert names(archive.plan(exclude_topics=["a.*"], run_id="2")) == ["b"]


def test_kafkas_own_topics_are_never_planned(archive: Archive) -> None:
    archive.add("__consumer_offsets")
    archive.add("a")
    assert names(archive.plan()) == ["a"]
    with pytest.raises(WrongUsage, match="no archived topic matches"):
        archive.plan("__consumer_offsets", run_id="2")


def test_what_is_no_expression_is_wrong_usage(archive: Archive) -> None:
    archive.add("a")
    with pytest.raises(WrongUsage, match="not a regular expression"):
        archive.plan("a[")


@pytest.mark.parametrize("topics", [(), ("orders",)])
def test_an_empty_archive_is_wrong_usage_and_nothing_is_written(archive: Archive, topics: tuple[str, ...]) -> None:
    before = archive.keys()
    with pytest.raises(WrongUsage, match="the archive has 0 topics"):
        archive.plan(*topics)
    assert archive.keys() == before


def test_no_archive_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="there is no archive"):
        plan_restore(MemoryStore(), LAYOUT, parse_request({"all": True}), run_id="r", now_ms=0)


# -- to which names


def test_the_prefix_goes_before_every_name_but_renamed_ones(archive: Archive) -> None:
    for topic in ("a", "b"):
        archive.add(topic)
    plan = archive.plan(prefix="restored.", rename={"b": "bee"})
    assert [topic["target"] for topic in plan["topics"]] == ["restored.a", "bee"]
    assert [line["target"] for line in archive.lines()] == ["restored.a", "bee"]


@pytest.mark.parametrize(
    "more",
    [
        {"rename": {"a": "b"}},
        {"rename": {"a": "x", "b": "x"}},
        {"prefix": "p", "rename": {"a": "pb"}},
        {"prefix": "p", "rename": {"b": "pa"}},
    ],
)
def test_two_topics_never_become_one(archive: Archive, more: dict[str, Any]) -> None:
    for topic in ("a", "b"):
        archive.add(topic)
    before = archive.keys()
    with pytest.raises(RefusedForSafety, match="a and b would both be restored to"):
        archive.plan(**more)
    assert archive.keys() == before


def test_names_may_be_swapped(archive: Archive) -> None:
    for topic in ("a", "b"):
        archive.add(topic)
    plan = archive.plan(rename={"a": "b", "b": "a"})
    assert [(topic["topic"], topic["target"]) for topic in plan["topics"]] == [("a", "b"), ("b", "a")]


@pytest.mark.parametrize("field", ["rename", "incarnation"])
def test_a_rename_of_what_is_not_restored_is_a_slip(archive: Archive, field: str) -> None:
    for topic in ("orders", "other"):
        archive.add(topic)
    before = archive.keys()
    for name in ("odrers", "other"):
        with pytest.raises(WrongUsage, match=name):
            archive.plan("orders", **{field: {name: TOPIC_ID}})
    assert archive.keys() == before


@pytest.mark.parametrize("target", ["__consumer_offsets", "__transaction_state", ".", ".."])
def test_a_target_that_no_topic_may_have_is_wrong_usage(archive: Archive, target: str) -> None:
    archive.add("a")
    with pytest.raises(WrongUsage, match="cannot be the name"):
        archive.plan(rename={"a": target})


def test_a_target_name_that_brokers_refuse_for_its_length_is_wrong_usage(archive: Archive) -> None:
    archive.add("a" * 240)
    assert archive.plan(prefix="x" * 9, run_id="1")["lines"] == 1
    with pytest.raises(WrongUsage, match="at most 249"):
        archive.plan(prefix="x" * 10, run_id="2")


# -- which life


def test_several_lives_are_refused_and_all_are_named(archive: Archive) -> None:
    archive.add("a")
    archive.add("a", topic_id=OTHER_TOPIC_ID, count=3)
    before = archive.keys()
    with pytest.raises(RefusedForSafety) as caught:
        archive.plan("a")
    assert all(text in str(caught.value) for text in (TOPIC_ID, OTHER_TOPIC_ID, "10 offsets", "3 offsets"))
    assert "--incarnation a=" in caught.value.hint
    assert archive.keys() == before


@pytest.mark.parametrize(("life", "last"), [(TOPIC_ID, 9), (OTHER_TOPIC_ID, 2)])
def test_a_named_life_is_taken(archive: Archive, life: str, last: int) -> None:
    archive.add("a")
    archive.add("a", topic_id=OTHER_TOPIC_ID, count=3)
    plan = archive.plan("a", incarnation={"a": life})
    assert plan["topics"][0]["topic_id"] == life
    assert [(line["topic_id"], line["objects"][-1]["last"]) for line in archive.lines()] == [(life, last)]


def test_a_life_that_is_not_there_is_wrong_usage_and_the_others_are_named(archive: Archive) -> None:
    archive.add("a")
    for wanted in (OTHER_TOPIC_ID, ""):
        with pytest.raises(WrongUsage, match="has no incarnation") as caught:
            archive.plan("a", incarnation={"a": wanted})
        assert TOPIC_ID in caught.value.hint


def test_a_life_with_markers_alone_decides_nothing(archive: Archive) -> None:
    archive.add("a")
    put_gap(archive, 0, 5, GapReason.EMPTY, partition=a_partition("a", 0, OTHER_TOPIC_ID))
    assert archive.plan("a")["topics"][0]["topic_id"] == TOPIC_ID


def test_damage_in_the_other_life_does_not_stop_a_plan(archive: Archive) -> None:
    archive.add("a")
    archive.add("a", first=5, topic_id=OTHER_TOPIC_ID)
    assert archive.plan("a", incarnation={"a": TOPIC_ID})["lines"] == 1


# -- which objects


def test_foreign_keys_are_told_of_and_never_planned(archive: Archive) -> None:
    key = archive.add("orders-1", 2)
    folder = key.rsplit("/", 1)[0]
    foreign = [
        f"{folder}/notes.txt",
        f"{folder}/orders-1-2-0000000000000000010-0000000000000000011-e7-t1-1.avro.tmp",
        f"{folder}/orders-2-0000000000000000010-0000000000000000011-e7-t1-1.avro",
        f"{folder}/orders-1-2-0000000000000000012-0000000000000000011-e7-t1-1.avro",
        f"{folder}/orders-1-2-0000000000000000010-0000000000000000011-other.gap",
        f"{LAYOUT.topics}orders-1/readme",
    ]
    for name in foreign:
        archive.put_if_absent(name, b"x")
    plan = archive.plan()
    assert [item["key"] for line in archive.lines() for item in line["objects"]] == [key]
    assert [warning for warning in plan["warnings"] if "6 foreign objects" in warning]


def test_a_folder_with_nothing_of_ours_is_left_out_and_told_of(archive: Archive) -> None:
    archive.add("orders")
    archive.put_if_absent(f"{LAYOUT.topics}notes/readme.txt", b"x")
    archive.put_if_absent(LAYOUT.event(Incarnation("born", TOPIC_ID), NOW_MS, "recreated"), b"{}")
    plan = archive.plan()
    assert names(plan) == ["orders"]
    assert [topic for topic in ("notes", "born") if any(f"folder of {topic}" in w for w in plan["warnings"])]
    with pytest.raises(WrongUsage, match="hold nothing"):
        archive.plan("notes", "born", run_id="2")


def test_what_only_a_newer_version_can_read_is_refused_not_left_out(archive: Archive) -> None:
    archive.add("a")
    name = "alias.json"
    archive.put_if_absent(LAYOUT.incarnation(Incarnation("a", TOPIC_ID)) + name, b"{}")
    with pytest.raises(WrongUsage, match="cannot read") as caught:
        archive.plan("a")
    assert name in str(caught.value) and "upgrade" in caught.value.hint


def test_a_life_without_a_topic_id_is_refused(archive: Archive) -> None:
    put_rows(archive, make_rows(0, 3), partition=PartitionId(Incarnation("a", "no-id-0"), 0))
    with pytest.raises(WrongUsage, match="cannot read"):
        archive.plan("a")


def test_ranges_that_nothing_explains_are_damage_and_all_are_counted(archive: Archive) -> None:
    archive.add("a", 0, first=5)
    archive.add("a", 1, first=0)
    archive.add("a", 1, first=20)
    before = archive.keys()
    with pytest.raises(DamagedArchive, match="2 ranges") as caught:
        archive.plan("a")
    assert "a-0 offsets 0 to 4" in str(caught.value) and "a-1 offsets 10 to 19" in str(caught.value)
    assert archive.keys() == before


def test_a_hole_in_a_topic_that_is_not_chosen_does_not_stop_a_plan(archive: Archive) -> None:
    archive.add("a")
    archive.add("b", first=5)
    assert names(archive.plan("a")) == ["a"]


def test_ranges_with_a_marker_are_no_damage(archive: Archive) -> None:
    place = a_partition("a", 0)
    put_gap(archive, 0, 4, partition=place)
    archive.add("a", first=5)
    put_gap(archive, 15, 19, GapReason.EMPTY, partition=place)
    archive.add("a", first=20)
    archive.plan("a")
    assert [(item["first"], item["last"]) for item in archive.lines()[0]["objects"]] == [(5, 14), (20, 29)]


def test_windows_are_cut_where_a_higher_epoch_took_over_and_dead_ones_are_left_out(archive: Archive) -> None:
    archive.add("a", first=0, count=100, epoch=5)
    archive.add("a", first=100, count=50, epoch=5)
    archive.add("a", first=80, count=20, epoch=6)
    archive.plan("a")
    assert [(item["first"], item["last"]) for item in archive.lines()[0]["objects"]] == [(0, 79), (80, 99)]


def test_every_object_is_pinned(archive: Archive) -> None:
    key = archive.add("a")
    archive.plan("a")
    info = archive.head(key)
    assert info is not None
    (item,) = archive.lines()[0]["objects"]
    assert (item["key"], item["etag"], item["size"]) == (key, info.etag, info.size_bytes)
    assert item["etag"]


def test_a_partition_with_markers_alone_is_no_line_but_counts_as_a_partition(archive: Archive) -> None:
    archive.add("a", 0)
    put_gap(archive, 0, 9, partition=a_partition("a", 2))
    plan = archive.plan("a")
    assert (plan["lines"], plan["topics"][0]["partitions"]) == (1, 3)


def test_ten_partitions_keep_their_numbers(archive: Archive) -> None:
    for number in range(12):
        archive.add("a", number, count=number + 1)
    archive.plan("a")
    assert [(line["partition"], line["objects"][0]["last"]) for line in archive.lines()] == [(n, n) for n in range(12)]


# -- snapshots


def test_the_newest_snapshot_says_how_many_partitions_there_are(archive: Archive) -> None:
    archive.add("a", 1)
    archive.add_snapshot(WRITTEN_MS, "a", 3)
    archive.add_snapshot(WRITTEN_MS + 10**8, "a", 6, **{"max.message.bytes": "3000000"})
    archive.add_snapshot(WRITTEN_MS + 2 * 10**8, "b", 9)
    archive.add_snapshot(WRITTEN_MS + 3 * 10**8, "a", 12, OTHER_TOPIC_ID)
    plan = archive.plan("a")
    assert plan["topics"][0]["partitions"] == 6
    assert plan["warnings"] == []


def test_a_snapshot_older_than_the_partitions_does_not_make_them_fewer(archive: Archive) -> None:
    archive.add("a", 4)
    archive.add_snapshot(WRITTEN_MS, "a", 3)
    assert archive.plan("a")["topics"][0]["partitions"] == 5


def test_without_a_snapshot_the_plan_says_what_that_means(archive: Archive) -> None:
    archive.add("a", 1)
    plan = archive.plan("a")
    assert plan["topics"][0]["partitions"] == 2
    assert any("never recorded" in warning for warning in plan["warnings"])


def test_an_erasure_ledger_that_is_not_applied_is_told_of(archive: Archive) -> None:
    archive.add("a")
    archive.put_if_absent(LAYOUT.under("erasures/ledger/0000000000000000000.json"), b"{}")
    assert any("ledger" in warning for warning in archive.plan("a")["warnings"])


# -- one run, one request


def test_the_same_request_gets_the_same_plan_whatever_happened_since(archive: Archive) -> None:
    archive.add("a")
    first, lines = archive.plan("a", prefix="p."), archive.lines()
    archive.add("a", first=10)
    archive.add("a", first=500, topic_id=OTHER_TOPIC_ID)
    assert archive.plan("a", prefix="p.") == first
    assert archive.lines() == lines
    assert archive.plan("a", incarnation={"a": TOPIC_ID}, run_id="2")["offsets"] == 20


@pytest.mark.parametrize("other", [{"prefix": "q."}, {"rename": {"a": "x"}}, {"exclude_topics": ["z"]}])
def test_another_request_under_a_used_run_id_is_refused(archive: Archive, other: dict[str, Any]) -> None:
    archive.add("a")
    archive.plan("a")
    before = read(archive, LAYOUT.run(KIND, "r", "plan.jsonl"))
    with pytest.raises(RefusedForSafety, match="another request"):
        archive.plan("a", **other)
    assert read(archive, LAYOUT.run(KIND, "r", "plan.jsonl")) == before


def test_a_dry_run_writes_nothing_and_gives_the_plan_that_would_be_written(archive: Archive) -> None:
    archive.add("a")
    archive.add("b", 3)
    before = archive.keys()
    dry = archive.plan(prefix="p.", dry_run=True)
    assert archive.keys() == before
    assert json.loads(json.dumps(dry)) == archive.plan(prefix="p.")


@pytest.mark.parametrize("run_id", ["..", ".", "a/../b", "", "a//b"])
def test_a_run_id_that_leads_elsewhere_is_refused(archive: Archive, run_id: str) -> None:
    archive.add("a")
    with pytest.raises(MillpondError):
        archive.plan("a", run_id=run_id)
