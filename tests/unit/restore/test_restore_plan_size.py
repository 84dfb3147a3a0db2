"""Plans of any size: totals, order, digest, documents of their own for long lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from millpond.archive.names import GapReason, WindowName
from millpond.archive.runs import Run
from millpond.restore.planning import lines
from millpond.restore.planning.estimate import estimated
from millpond.restore.planning.plan import KIND, make_plan, plan_restore
from millpond.restore.request import parse_request
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, a_partition, put_gap
from tests.unit.restore.planned_archive import NOW_MS, Archive


class Listed(MemoryStore):
    """A store whose archive is a listing alone: planning needs no more."""

    def __init__(self, *, partitions: int, windows: int) -> None:
        super().__init__()
        identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1, "continues": ""}
        self.put_if_absent(LAYOUT.identity, json.dumps(identity).encode())
        self._places = sorted((a_partition("t", number) for number in range(partitions)), key=LAYOUT.folder)
        self._windows = windows

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        if delimiter:
            yield LAYOUT.topic("t")
        elif prefix == LAYOUT.topic("t"):
            for place in self._places:
                for number in range(self._windows):
                    key = LAYOUT.object(place, WindowName(10 * number, 10 * number + 9, 5, number, number))
                    yield ObjectInfo(key, 1000, f'"{number:032x}"')
        else:
            yield from super().list(prefix, after=after)


@pytest.mark.parametrize(("partitions", "units"), [(1, 1), (2, 2), (10_001, 10_000)])
def test_plans_of_one_two_and_more_partitions_than_a_job_array_has_places(partitions: int, units: int) -> None:
    store = Listed(partitions=partitions, windows=1)
    plan = plan_restore(store, LAYOUT, parse_request({"all": True}), run_id="r", now_ms=1, bytes_per_unit=1)
    run = Run(store, LAYOUT, KIND, "r")
    found = [(number, line["partition"]) for number, line in run.lines()]
    assert (plan["lines"], plan["objects"], plan["offsets"], plan["bytes"], plan["units"]) == (
        *(partitions, partitions, 10 * partitions, 1000 * partitions),
        units,
    )
    assert found == [(number, number) for number in range(partitions)]
    assert [number for number, _ in run.lines(unit=0, units=units)] == list(range(0, partitions, units))


def test_a_plan_of_no_partitions_has_no_lines_and_no_units() -> None:
    archive = Archive()
    put_gap(archive, 0, 9, GapReason.EMPTY, partition=a_partition("a", 0))
    plan = archive.plan("a")
    assert [plan[name] for name in ("lines", "objects", "offsets", "bytes", "units")] == [0, 0, 0, 0, 0]
    assert plan["estimate"] == {"seconds": 0, "usd": 0.0} and archive.lines() == []


def test_a_long_line_names_a_document_that_the_worker_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Listed(partitions=2, windows=lines.INLINE + 1)
    plan = plan_restore(store, LAYOUT, parse_request({"all": True}), run_id="r", now_ms=1)
    run = Run(store, LAYOUT, KIND, "r")
    assert len(read(store, run.key("plan.jsonl"))) < 2000 and plan["objects"] == 2 * lines.INLINE + 2
    for (_, short), (_, whole) in zip(run.lines(whole=False), run.lines(), strict=True):
        assert "objects" not in short and short["count"] == len(whole["objects"]) == lines.INLINE + 1
        assert sum(item["size"] for item in whole["objects"]) == short["bytes"]
    monkeypatch.setattr(lines, "INLINE", 10**9)
    plan_restore(store, LAYOUT, parse_request({"all": True}), run_id="inline", now_ms=1)
    inline = [line["objects"] for _, line in Run(store, LAYOUT, KIND, "inline").lines(whole=False)]
    assert inline == [line["objects"] for _, line in run.lines()]


class DiesAt(Listed):
    """Fails at the n-th write."""

    def __init__(self, writes: int) -> None:
        super().__init__(partitions=3, windows=lines.INLINE + 1)
        self.left = writes

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        if getattr(self, "left", 99) == 0:
            self.left = 99
            raise KeyboardInterrupt
        self.left = getattr(self, "left", 99) - 1
        return super().put_if_absent(key, body, metadata)


@pytest.mark.parametrize("writes", range(4))
def test_a_planner_that_dies_anywhere_leaves_no_plan_and_the_next_one_writes_the_same(writes: int) -> None:
    request, whole = parse_request({"all": True}), DiesAt(99)
    expected = plan_restore(whole, LAYOUT, request, run_id="r", now_ms=1)
    store = DiesAt(writes)
    with pytest.raises(KeyboardInterrupt):
        plan_restore(store, LAYOUT, request, run_id="r", now_ms=1)
    run = Run(store, LAYOUT, KIND, "r")
    assert run.find_plan() is None
    assert plan_restore(store, LAYOUT, request, run_id="r", now_ms=1) == expected
    assert list(run.lines()) == list(Run(whole, LAYOUT, KIND, "r").lines())


# -- the same input, the same plan


def test_the_digest_follows_from_what_is_restored_and_where_to() -> None:
    def digest(archive: Archive, run_id: str = "r", **more: Any) -> str:
        return str(archive.plan(run_id=run_id, dry_run=True, **more)["digest"])

    archive, same = Archive(), Archive()
    for each in (archive, same):
        each.add_snapshot(NOW_MS, "a", 3)
    keys = [archive.add("a", number) for number in range(3)]
    for key in keys:
        same.put_if_absent(key, read(archive, key))
    first = digest(archive)
    assert digest(archive, "other") == digest(same) == first
    others = [{"prefix": "p."}, {"partitions": [0]}, {"until": 0}, {"since": 1}, {"offsets": ["a:0:1-"]}]
    assert len({first, *(digest(archive, **fields) for fields in others)}) == len(others) + 1
    head = archive.head(keys[0])
    assert head is not None
    archive.put_if_match(keys[0], b"other", head.etag)
    assert digest(archive) != first


def test_a_long_line_is_in_the_digest_and_a_dry_run_writes_nothing_of_it() -> None:
    digests = []
    for windows in (lines.INLINE + 1, lines.INLINE + 2):
        store = Listed(partitions=1, windows=windows)
        dry = make_plan(store, LAYOUT, parse_request({"all": True}), run_id="r", now_ms=1).document
        assert list(store.list(LAYOUT.under("runs/"))) == []
        written = plan_restore(store, LAYOUT, parse_request({"all": True}), run_id="r", now_ms=1)
        assert written == json.loads(json.dumps(dry))
        digests.append(dry["digest"])
    assert digests[0] != digests[1]


# -- order


def test_large_topics_come_last_and_keep_their_order_otherwise() -> None:
    archive = Archive()
    for topic, count in (("a", 300), ("b", 10), ("c", 400), ("d", 10)):
        archive.add(topic, count=count)
    sizes = {line["topic"]: line["objects"][0]["size"] for line in (archive.plan(), archive.lines())[1]}
    between = (max(sizes["b"], sizes["d"]) + min(sizes["a"], sizes["c"])) // 2
    cases = [(between, "bdac"), (sizes["a"], "bdac"), (sizes["a"] + 1, "abdc"), (1, "abcd"), (10**9, "abcd")]
    for number, (threshold, order) in enumerate(cases):
        plan = archive.plan(large_topics_last=threshold, run_id=f"run-{number}")
        assert "".join(line["topic"] for line in archive.lines(f"run-{number}")) == order
        assert "".join(topic["topic"] for topic in plan["topics"]) == order


# -- estimate


def test_more_bytes_take_longer_more_workers_less_and_both_cost() -> None:
    small, large = estimated([1 << 30], 10, 1), estimated([1 << 40], 10_000, 1)
    assert small["seconds"] < large["seconds"] and small["usd"] < large["usd"]
    shared = estimated([1 << 30] * 1000, 10_000, 500)
    assert shared["seconds"] < large["seconds"] / 300
    assert estimated([1 << 30, 1], 2, 2)["seconds"] == estimated([1 << 30], 1, 1)["seconds"]
