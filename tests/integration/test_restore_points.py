"""Parts of an archive on a real broker: points in time, ranges of offsets, some partitions, other names."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from millpond.archive.cuts import Cut, CutEnd, CutTopic, write_cut
from millpond.archive.keys import Layout
from millpond.cli.main import main
from millpond.errors import DamagedArchive
from millpond.records import Row
from millpond.restore.planning import lines
from millpond.restore.writing import target
from millpond.restore.writing.offset_map import read_chunks
from millpond.restore.writing.session import Sessions
from millpond.storage.contract import read
from millpond.storage.folder import FolderStore
from tests.integration.restore_runs import Restore
from tests.unit.builders import ARCHIVE_ID, TOPIC_ID, make_rows

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


def stamped(first: int, *stamps: int) -> list[Row]:
    """Records with these timestamps."""
    return [(first + n, stamp, b"k%d" % (first + n), b"v" * 50, ()) for n, stamp in enumerate(stamps)]


def add_in_pieces(restore: Restore, topic: str, rows: list[Row], partition: int = 0, size: int = 4) -> None:
    for start in range(0, len(rows), size):
        restore.add(topic, rows[start : start + size], partition, block_records=3)


MIXED = stamped(0, 10, 30, 20, 40, 50, 20, 60, 70, 65, 5, 80, 90, 91, 92, 93, 94)


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ({"until": 50}, [row for row in MIXED if row[1] <= 50]),
        ({"since": 60}, [row for row in MIXED if row[1] >= 60]),
        ({"since": 20, "until": 65}, [row for row in MIXED if 20 <= row[1] <= 65]),
        ({"cut": 50}, MIXED[:6]),
        ({"cut": 65}, MIXED[:7]),
        ({"cut": 65, "since": 20}, [row for row in MIXED[:7] if row[1] >= 20]),
        ({"cut": 94}, MIXED),
    ],
    ids=str,
)
def test_exactly_the_records_of_a_point_in_time(
    restore: Restore, unique_name: Name, asked: dict[str, Any], due: list[Row]
) -> None:
    topic = unique_name("time")
    add_in_pieces(restore, topic, MIXED)
    report = restore.all(topic, **asked)
    restore.holds(topic, {0: due})
    assert report["written"] == len(due)
    mapped = [offset for chunk in read_chunks(restore.run, topic, 0) for offset in chunk.source_offsets()]
    assert mapped == [row[0] for row in due]


def test_ranges_of_offsets_are_exact_and_other_partitions_stay_empty(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("range")
    rows = make_rows(0, 40)
    for number in range(3):
        add_in_pieces(restore, topic, rows, number, size=10)
    plan = restore.plan(topic, offsets=[f"{topic}:1:5-12", f"{topic}:1:30", f"{topic}:2:38-"])
    assert plan["objects"] == 4
    restore.prepare()
    assert restore.work() == []
    assert restore.reconcile()["written"] == 11
    restore.holds(topic, {0: [], 1: [*rows[5:13], rows[30]], 2: rows[38:]})


def test_partitions_prefix_and_rename_on_the_command_line(
    kafka: KafkaCluster, unique_name: Name, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FolderStore(tmp_path)
    restore = Restore(kafka.bootstrap(), store, layout=Layout(""))
    one, two = unique_name("one"), unique_name("two")
    for topic in (one, two):
        for number in range(3):
            add_in_pieces(restore, topic, MIXED, number)
    command = ["restore", "--archive", tmp_path.as_uri(), "--to-brokers", kafka.bootstrap(), "--run-id", "r", "--json"]
    command += ["--topics", f"{one},{two}", "--partitions", f"0,{two}:1-2", "--prefix", "again."]
    command += ["--rename", f"{two}=other.{two}", "--until", "1970-01-01T00:00:00.050Z", "--since", "20"]
    assert main([*command, "--dry-run"]) == 0
    dry = json.loads(capsys.readouterr().out)
    assert (dry["lines"], dry["request"]["until"], restore.run.find_plan()) == (3, 50, None)
    assert main(command) == 0
    plan = restore.run.plan()
    assert plan["digest"] == dry["digest"]
    due = [row for row in MIXED if 20 <= row[1] <= 50]
    restore.holds(f"again.{one}", {0: due, 1: [], 2: []})
    restore.holds(f"other.{two}", {0: [], 1: due, 2: due})


def test_a_run_with_a_cut_and_filters_goes_on_where_it_was_stopped(restore: Restore, unique_name: Name) -> None:
    """Behind the cut lie records that are older than it: a run that went on must not take them."""
    topic = unique_name("resumed")
    add_in_pieces(restore, topic, MIXED, size=3)
    restore.plan(topic, cut=65, since=11)
    restore.prepare()
    done = 0

    def stop(count: int) -> None:
        nonlocal done
        done += count
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore.work(progress=stop)
    assert restore.ends(topic)[0] > 0
    for _ in range(2):
        assert restore.work() == []
    assert restore.reconcile()["written"] == 6
    restore.holds(topic, {0: MIXED[1:7]})


def test_a_named_cut_ends_every_partition_and_brings_back_what_a_later_leader_discarded(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("cut")
    rows = make_rows(0, 40)
    restore.add(topic, rows[:20], 0, epoch=5)
    restore.add(topic, stamped(12, 1, 1, 1), 0, epoch=6)
    add_in_pieces(restore, topic, rows, 1, size=10)
    ends = (CutEnd(0, 18, 5), CutEnd(1, 33, 7))
    cut = Cut("monday", 1, ARCHIVE_ID, "c", "groups/x", (CutTopic(topic, TOPIC_ID, ends),))
    write_cut(restore.store, restore.layout, cut)
    restore.all(topic, at_cut="monday")
    restore.holds(topic, {0: rows[:18], 1: rows[:33]})


def test_a_partition_with_many_objects_is_planned_in_a_document_of_its_own(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "INLINE", 3)
    topic = unique_name("long")
    add_in_pieces(restore, topic, MIXED)
    add_in_pieces(restore, topic, MIXED[:4], 1)
    report = restore.all(topic)
    short, long = (line for _, line in sorted(restore.run.lines(whole=False), key=lambda line: "count" in line[1]))
    assert ("objects" in short, "objects" in long, long["count"]) == (True, False, 4)
    assert len(json.loads(read(restore.store, restore.run.key(long["objects_in"])))) == 4
    assert sorted(part["objects"] for part in report["partitions"]) == [1, 4]
    restore.holds(topic, {0: MIXED, 1: MIXED[:4]})


def test_what_is_left_of_a_window_by_a_filter_is_proven_like_the_rest(restore: Restore, unique_name: Name) -> None:
    """The digest over what was chosen is held against the target: another record of the same count is found out."""
    topic = unique_name("proof")
    add_in_pieces(restore, topic, MIXED)
    restore.plan(topic, until=20)
    restore.prepare()
    due = [row for row in MIXED if row[1] <= 20]
    with closing(Sessions(restore.cluster)) as sessions, sessions.open(topic) as session:
        by_hand = target.TargetPartition(restore.cluster, session, (topic, 0), 0)
        by_hand.write([due[0], (2, 20, b"other", b"x", ()), *due[2:]])
        by_hand.settle()
    (error,) = restore.work()
    assert isinstance(error, DamagedArchive) and "does not hold what was restored" in str(error)


@pytest.mark.parametrize("more", [{}, {"repartition": {"by": "murmur2", "partitions": 2}}], ids=["same", "others"])
def test_records_that_were_left_out_by_their_time_are_counted_apart(
    restore: Restore, unique_name: Name, more: dict[str, Any]
) -> None:
    topic = unique_name("counted")
    restore.add(topic, stamped(0, 5, 50, 7))
    restore.add(topic, stamped(3, 60, 61))  # wholly behind: not even opened
    restore.add(topic, stamped(5, 8, 70, 9))
    restore.add(topic, stamped(8, 40, 90))
    restore.plan(topic, until=55, prefix="p.", **more)
    restore.prepare()
    assert restore.work() == []
    report = restore.reconcile()
    assert (report["read"], report["filtered"], report["written"]) == (8, 2, 6)
