"""Where a group goes on: the first restored record at or after its offset, else the end of what was restored."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.runs import Run
from millpond.errors import DamagedArchive
from millpond.groups.values import PartitionOffset, TopicOffsets
from millpond.kafka.admin import TopicDescription
from millpond.restore.groups.chunks import Chunks
from millpond.restore.groups.restored import RestoredRun
from millpond.restore.groups.translate import Stretch, on_the_branch, translated
from millpond.restore.groups.values import Decision, Status
from millpond.restore.planning.plan import KIND
from millpond.restore.writing.offset_map import Chunk, runs_of, write_chunk
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, OTHER_TOPIC_ID, TOPIC_ID, a_partition

TARGET_ID = "7cVb1nXqSsmD4tKp9yHf2w"
CLUSTER = "x8Gf2yWbQ3mC0vN5rT1kLQ"


def stretches(*sources: Sequence[int], base: int = 0) -> list[Stretch]:
    """One stretch for each list of source offsets, behind each other on the target."""
    found = []
    for source in sources:
        found.append(Stretch(base, tuple((first, count) for first, count in runs_of(source))))
        base += len(source)
    return found


# Restored: 10 to 14, compacted holes, 20, 21 and 30 in one object; 31 and 40 in the next. 41 was a commit marker.
SOME = stretches([10, 11, 12, 13, 14, 20, 21, 30], [31, 40], base=100)


@pytest.mark.parametrize(
    ("what", "offset", "target"),
    [
        ("exact, the first", 10, 100),
        ("exact, inside a run", 13, 103),
        ("exact, the first behind a hole", 20, 105),
        ("exact, in the next object", 31, 108),
        ("a hole of compaction", 15, 105),
        ("the last offset of a hole", 29, 107),
        ("a hole inside of the next object", 32, 109),
        ("before the first", 3, 100),
        ("offset 0", 0, 100),
        ("at the tip", 40, 109),
        ("behind the last record, before the marker", 41, 110),
        ("behind the marker at the tail", 42, 110),
        ("past everything that was archived", 1000, 110),
    ],
)
def test_the_next_record_or_the_end(what: str, offset: int, target: int) -> None:
    assert translated(offset, SOME, 110) == target, what


@pytest.mark.parametrize("offset", [0, 7])
@pytest.mark.parametrize("end", [0, 50])
def test_an_empty_partition_has_its_end(offset: int, end: int) -> None:
    assert translated(offset, [], end) == end


@pytest.mark.parametrize(("offset", "target"), [(9, 100), (40, 109), (41, None), (1000, None)])
def test_while_the_restore_goes_on_only_what_it_has_reached_is_known(offset: int, target: int | None) -> None:
    assert translated(offset, SOME, None) == target


@given(st.sets(st.integers(0, 60), max_size=40), st.integers(0, 70), st.lists(st.integers(0, 60), max_size=5))
def test_it_is_what_counting_gives(source: set[int], offset: int, cuts: list[int]) -> None:
    offsets = sorted(source)
    bounds = [0, *sorted(cuts), 61]
    parts = [[n for n in offsets if low <= n < high] for low, high in pairwise(bounds)]
    found = translated(offset, stretches(*(part for part in parts if part), base=7), 7 + len(offsets))
    assert found == 7 + bisect_left(offsets, offset)


@given(st.sets(st.integers(0, 60), min_size=1, max_size=40), st.integers(0, 70), st.integers(1, 40))
def test_what_is_known_early_stays_true(source: set[int], offset: int, done: int) -> None:
    offsets = sorted(source)
    early = translated(offset, stretches(offsets[:done]), None)
    assert early in (None, translated(offset, stretches(offsets), len(offsets)))


@pytest.mark.parametrize(
    ("what", "offset", "epoch", "epochs", "expected"),
    [
        ("one epoch", 50, 3, {3: 0}, 50),
        ("an election without a loss: the commit is of the newer epoch", 150, 4, {3: 0, 4: 100}, 150),
        ("at the border of two epochs", 100, 3, {3: 0, 4: 100}, 100),
        ("read before the log was cut and grew again", 150, 3, {3: 0, 4: 100}, 100),
        ("cut twice, the second time deeper", 150, 3, {3: 0, 4: 100, 6: 80}, 80),
        ("committed on the first branch, before either point", 70, 3, {3: 0, 4: 100, 6: 80}, 70),
        ("committed between two cuts", 90, 4, {4: 0, 6: 80}, 80),
        ("the consumer did not say", 150, -1, {3: 0, 4: 100}, 150),
        ("the broker told no epochs", 150, 3, {}, 150),
    ],
)
def test_a_commit_of_a_lower_epoch_is_taken_back_to_the_branch_point(
    what: str, offset: int, epoch: int, epochs: dict[int, int], expected: int
) -> None:
    assert on_the_branch(offset, epoch, epochs) == expected, what


# -- out of a run


def a_chunk(base: int, source: list[int], part: int = 0) -> Chunk:
    return Chunk(part, base, len(source), runs_of(source), "00", "ab", "create_time", "tip", [])


class Restored:
    """A run of a restore of `orders`: partition 0 of epochs 3 and 4 was cut, 1 has not come far, 2 had nothing."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.run = Run(self.store, LAYOUT, KIND, "r")
        self.lines = [
            self.line(0, ("000", "099", 3), ("100", "199", 4)),
            self.line(1, ("000", "199", 4)),
        ]
        for number, chunk in ((0, a_chunk(0, [*range(0, 99, 2)])), (0, a_chunk(50, [*range(100, 200)], 1))):
            write_chunk(self.run, "back.orders", number, chunk)
        write_chunk(self.run, "back.orders", 1, a_chunk(0, [*range(100)]))
        self.run.write_result(0, {"end": 150})
        self.prepared: Any = {"topic_id": TARGET_ID, "cluster_id": CLUSTER, "base": {"0": 0, "1": 0, "2": 5}}
        self.there = {"back.orders": TopicDescription("back.orders", TARGET_ID, 3, 1, internal=False)}

    def line(self, number: int, *windows: tuple[str, str, int]) -> Any:
        folder = LAYOUT.folder(a_partition("orders", number))
        objects = [
            {
                "key": f"{folder}orders-{number}-{first:0>19}-{last:0>19}-e{epoch}-t1-2.avro",
                "first": int(first),
                "last": int(last),
            }
            for first, last, epoch in windows
        ]
        return {"topic": "orders", "partition": number, "target": "back.orders", "objects": objects}

    def decide(
        self, number: int, offset: int, epoch: int = -1, *, topic: str = "orders", id_: str = TOPIC_ID
    ) -> Decision:
        planned = {"topic": "orders", "topic_id": TOPIC_ID, "target": "back.orders", "partitions": 3}
        lines = {("orders", line["partition"]): (at, line) for at, line in enumerate(self.lines)}
        run = RestoredRun(self.run, ARCHIVE_ID, {"orders": planned}, lines, {"back.orders": self.prepared}, self.there)
        found = PartitionOffset(number, offset, epoch, "", -1)
        return run.decide(TopicOffsets(topic, id_, (found,)), found)


@pytest.mark.parametrize(
    ("what", "number", "offset", "epoch", "target"),
    [
        ("exact", 0, 10, 3, 5),
        ("a hole", 0, 11, 3, 6),
        ("the end", 0, 500, 4, 150),
        ("of a lower epoch", 0, 150, 3, 50),
        ("of an unknown one", 0, 150, -1, 100),
        ("reached, though the partition is not done", 1, 99, 4, 99),
        ("nothing was there", 2, 0, -1, 5),
        ("only control records were there", 2, 4, 3, 5),
    ],
)
def test_offsets_of_the_run(what: str, number: int, offset: int, epoch: int, target: int) -> None:
    found = Restored().decide(number, offset, epoch)
    assert (found.status, found.place, found.offset) == (Status.APPLIED, ("back.orders", number), target), what


@pytest.mark.parametrize(
    ("number", "offset", "reason"),
    [(0, 199, ""), (0, 200, "at_the_end"), (0, 201, "past_the_restored"), (2, 0, "at_the_end")],
)
def test_a_group_with_nothing_ahead_of_it_is_told(number: int, offset: int, reason: str) -> None:
    assert Restored().decide(number, offset).reason == reason


def test_what_the_map_does_not_reach_waits_until_the_partition_has_its_result() -> None:
    restored = Restored()
    assert restored.decide(1, 100).status is Status.WAITING
    restored.run.write_result(1, {"end": 100})
    assert (restored.decide(1, 100).status, restored.decide(1, 100).offset) == (Status.APPLIED, 100)


@pytest.mark.parametrize(
    ("topic", "id_", "number", "reason"),
    [
        ("payments", TOPIC_ID, 0, "not_in_the_run"),
        ("orders", OTHER_TOPIC_ID, 0, "other_incarnation"),
        ("orders", "", 0, "unknown_incarnation"),
        ("orders", TOPIC_ID, 3, "no_such_partition"),
    ],
)
def test_what_was_not_restored_is_dropped_with_a_reason(topic: str, id_: str, number: int, reason: str) -> None:
    found = Restored().decide(number, 1, topic=topic, id_=id_)
    assert (found.status, found.reason, found.offset) == (Status.SKIPPED, reason, -1)


def test_a_target_that_is_not_the_one_that_was_restored_gets_nothing() -> None:
    restored = Restored()
    restored.there = {"back.orders": TopicDescription("back.orders", OTHER_TOPIC_ID, 3, 1, internal=False)}
    assert restored.decide(0, 1).reason == "target_replaced"
    restored.there = {}
    assert restored.decide(0, 1).reason == "target_missing"
    restored.prepared = None
    assert restored.decide(0, 1).status is Status.WAITING


def test_of_many_chunks_few_are_read() -> None:
    store = MemoryStore()
    run = Run(store, LAYOUT, KIND, "r")
    for number in range(256):
        write_chunk(run, "t", 0, a_chunk(10 * number, [*range(20 * number, 20 * number + 10)], number))
    opened: list[str] = []
    whole = store.open

    def counted(key: str, **more: Any) -> Any:
        opened.append(key)
        return whole(key, **more)

    store.open = counted  # type: ignore[method-assign]
    chunks = Chunks(run, ("t", 0))
    assert [translated(offset, chunks, 2560) for offset in (2005, 2015, 5115)] == [1005, 1010, 2560]
    assert len(opened) == len(set(opened)) < 30


@pytest.mark.parametrize("damage", [{"base": 0}, {"base": 0, "source": []}, {"base": 0, "source": [[1]]}])
def test_a_damaged_chunk_is_named(damage: Any) -> None:
    run = Run(MemoryStore(), LAYOUT, KIND, "r")
    key = run.key("offset-map", "t", "0", f"{0:019d}.json")
    run.store.put_if_absent(key, json.dumps(damage).encode())
    with pytest.raises(DamagedArchive, match=r"offset-map/t/0/0{19}\.json"):
        translated(5, Chunks(run, ("t", 0)), 1)
