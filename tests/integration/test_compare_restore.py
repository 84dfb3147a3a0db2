"""A restored topic held against the archive, and against the topic it came from, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.cli.main import main
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety
from millpond.records import Row
from millpond.restore.comparing import compare
from millpond.restore.comparing.compare import compare_restore
from millpond.restore.comparing.run import compare_run, open_comparison
from millpond.restore.comparing.sample import WHOLE
from millpond.restore.writing import target
from millpond.storage.contract import ObjectInfo
from millpond.storage.folder import FolderStore
from tests import oracle
from tests.integration.backup_runs import Backup
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import a_partition, make_rows, put_gap

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def restore(bootstrap: str) -> Restore:
    return Restore(bootstrap)


def restored(restore: Restore, *topics: str, **more: Any) -> None:
    """Records in the target, and no more."""
    restore.plan(*topics, **more)
    restore.prepare()
    for error in restore.work():
        raise error


def step(restore: Restore) -> dict[str, Any]:
    return compare_restore(restore.store, restore.layout, restore.cluster, run_id=restore.run_id, now_ms=7)


def whole(restore: Restore, source: Any = None) -> dict[str, Any]:
    comparison = open_comparison(restore.store, restore.layout, restore.run_id, restore.cluster, source)
    return compare_run(comparison, restore.cluster, source, sample=WHOLE, workers=2)


def replaced(restore: Restore, topic: str, *partitions: Sequence[Row]) -> None:
    """The target topic made again with these records, as if the run had written them."""
    oracle.delete_topic(restore.bootstrap, topic)
    topic_id = oracle.make_topic(restore.bootstrap, topic, len(partitions))
    # Metadata tell of the new topic a moment before its logs take the place of the old ones.
    new = dict.fromkeys(range(len(partitions)), 0)
    wait_until(lambda: oracle.ends_of(restore.bootstrap, topic) == new, "its logs are new")
    producer = oracle._producer(restore.bootstrap, oracle.random.Random(0))
    for number, rows in enumerate(partitions):
        named = [(row, [(name.decode(), value) for name, value in row[4]]) for row in rows]
        batch = [{"timestamp": row[1], "key": row[2], "value": row[3], "headers": headers} for row, headers in named]
        oracle._send(producer, topic, number, batch)
        assert oracle.ends_of(restore.bootstrap, topic)[number] == len(rows)
    rewrite(restore, {"topic_id": topic_id}, "prepared", f"{topic}.json")


def rewrite(restore: Restore, fields: dict[str, Any], *parts: str) -> None:
    document, info = restore.run.find(*parts), restore.store.head(restore.run.key(*parts))
    assert document is not None
    assert info is not None
    restore.store.put_if_match(info.key, json.dumps(document | fields).encode(), info.etag)


def found_in(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    named = [found for part in document["partitions"] for found in part["first"]]
    return [(d["kind"], d["offset"], d.get("target_offset"), *d.get("fields", ())) for d in named]


ROWS = make_rows(100, 60)


def three_windows(restore: Restore, topic: str) -> None:
    put_gap(restore.store, 0, 99, partition=a_partition(topic, 0), layout=LAYOUT)
    restore.add(topic, ROWS[:20])
    restore.add(topic, ROWS[20:40:3], first=120, last=139)
    restore.add(topic, ROWS[40:])


HELD = [*ROWS[:20], *ROWS[20:40:3], *ROWS[40:]]


# -- the step of a run


@pytest.mark.parametrize("mode", ["sampled", "whole"])
def test_a_good_restore_is_compared_once_and_its_digests_prove_it(
    restore: Restore, unique_name: Name, mode: str
) -> None:
    topic = unique_name("good")
    three_windows(restore, topic)
    restored(restore, topic, compare=mode)
    document = step(restore)
    assert (document["mode"], document["at"], document["differences"]) == (mode, 7, 0)
    assert (document["by_digest"], document["equal"]) == (3, len(HELD))
    assert restore.run.find("compared.json") == document
    restore.add(topic, make_rows(160, 5))
    replaced(restore, topic, [])
    assert step(restore) == document


def test_a_request_for_no_comparison_reads_nothing(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("none")
    three_windows(restore, topic)
    restored(restore, topic, compare="none")
    oracle.delete_topic(restore.bootstrap, topic)
    assert step(restore) == {"kind": "compare", "run_id": "r", "mode": "none", "at": 7}
    assert restore.run.find("compared.json") is not None


@pytest.mark.parametrize("mode", ["sampled", "whole"])
def test_one_changed_byte_in_the_target_stops_the_run_and_is_named(
    restore: Restore, unique_name: Name, mode: str
) -> None:
    topic = unique_name("byte")
    three_windows(restore, topic)
    restored(restore, topic, compare=mode)
    value = HELD[30][3]
    assert value is not None
    replaced(restore, topic, [*HELD[:30], (*HELD[30][:3], value[:-1] + b"w", HELD[30][4]), *HELD[31:]])
    with pytest.raises(DamagedArchive, match=rf"{topic}-0 \(1 differs; source offsets {HELD[30][0]}\)") as error:
        step(restore)
    assert value.decode() not in str(error.value)
    assert restore.run.find("compared.json") is None
    document = whole(restore)
    assert found_in(document) == [("differs", HELD[30][0], 30, "value")]
    assert (document["equal"], document["by_digest"]) == (len(HELD) - 1, 2)


def test_missing_records_and_added_ones_are_named(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("less")
    three_windows(restore, topic)
    restored(restore, topic)
    replaced(restore, topic, HELD[:-2])
    document = whole(restore)
    assert found_in(document) == [("not_in_topic", 158, 45), ("not_in_topic", 159, 46)]
    with pytest.raises(DamagedArchive, match="2 not_in_topic; source offsets 158, 159"):
        step(restore)
    extra: list[Row] = [(0, 5, b"k", b"somebody's", ()), (0, 5, b"k", b"else", ())]
    replaced(restore, topic, [*HELD, *extra])
    document = whole(restore)
    assert (document["only_in_topic"], document["equal"]) == (2, len(HELD))
    with pytest.raises(DamagedArchive, match="2 only_in_topic; source offsets 47"):
        step(restore)


def test_a_record_too_many_is_named_also_where_nothing_of_the_partition_is_compared(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample leaves partitions out, and topics with another number of partitions are not compared at all."""
    topic, parted = unique_name("kept"), unique_name("parted")
    for one in (topic, parted):
        three_windows(restore, one)
    monkeypatch.setattr(compare, "SAMPLE_PARTITIONS", 0)
    restored(restore, topic, compare="sampled")
    restore.run_id = "parted"
    restored(restore, parted, repartition={"partitions": 2}, compare="whole")
    for run_id, place in (("r", (topic, 0)), ("parted", (parted, 1))):
        restore.run_id, end = run_id, restore.ends(place[0])[place[1]]
        oracle._send(oracle._producer(restore.bootstrap, oracle.random.Random(0)), *place, [{"value": b"new"}])
        name = "{}-{}".format(*place)
        with pytest.raises(RefusedForSafety, match=f"{name} ends at {end + 1} after writing up to {end}: somebody"):
            step(restore)
        assert restore.run.find("compared.json") is None


def test_what_happens_to_a_topic_in_use_is_told_apart(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("used")
    three_windows(restore, topic)
    restored(restore, topic)
    oracle.delete_records(restore.bootstrap, topic, {0: 5})
    assert whole(restore)["not_in_topic"] == 5
    Run(restore.store, restore.layout, "restore", "r").write_once({}, "settings.json")
    oracle._send(oracle._producer(restore.bootstrap, oracle.random.Random(0)), topic, 0, [{"value": b"new"}] * 3)
    document = whole(restore)
    assert (document["differences"], document["equal"]) == (0, len(HELD) - 5)
    assert document["explained"] == {"after_the_restore": 3, "below_log_start": 5}


def test_timestamp_zero_is_counted_and_no_difference_by_digest_or_by_record(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("zero")
    rows: list[Row] = [(n, stamp, b"k", b"%d" % n, ()) for n, stamp in enumerate([5, 0, 0, 7, 0, 9])]
    restore.add(topic, rows)
    restored(restore, topic, since=0)
    document = step(restore)
    assert (document["differences"], document["equal"], document["by_digest"]) == (0, 6, 1)
    assert document["explained"] == {"timestamp_zero_became_now": 3}
    replaced(restore, topic, [*rows[:5], (5, 9, b"k", b"x", ())])
    document = whole(restore)
    assert (found_in(document), document["equal"]) == ([("differs", 5, 5, "value")], 5)
    assert document["explained"] == {"timestamp_zero_became_now": 3}


def test_parts_of_an_archive_are_compared_as_they_were_asked_for(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("part")
    rows: list[Row] = [(n, 1000 + n % 10, b"k", b"%d" % n, ()) for n in range(60)]
    restore.add(topic, rows[:30])
    restore.add(topic, rows[20:])
    restored(restore, topic, since=1003, until=1006)
    document = whole(restore)
    assert (document["differences"], document["equal"], document["by_digest"]) == (0, 24, 0)


def test_the_header_of_the_source_offset_is_no_difference_unless_it_is_wrong(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("header")
    three_windows(restore, topic)
    restored(restore, topic)
    plan = restore.run.find_plan()
    assert plan is not None
    marked = [(*row[:4], (*row[4], (b"restore.source-offset", b"%d" % row[0]))) for row in HELD]
    with_header(restore)
    replaced(restore, topic, marked)
    document = whole(restore)
    assert (document["differences"], document["equal"], document["by_digest"]) == (0, len(HELD), 3)
    marked[7] = (*marked[7][:4], (*HELD[7][4], (b"restore.source-offset", b"1")))
    marked[9] = HELD[9]
    replaced(restore, topic, marked)
    assert found_in(whole(restore)) == [("differs", 107, 7, "headers"), ("differs", 109, 9, "headers")]


def with_header(restore: Restore) -> None:
    """The plan, as if the request had asked for the header."""
    info = restore.store.head(restore.run.key("plan.jsonl"))
    assert info is not None
    with restore.store.open(info.key) as stream:
        first, *lines = stream.read().splitlines()
    plan = json.loads(first)
    plan["request"]["source_offset_header"] = True
    restore.store.put_if_match(info.key, b"\n".join([json.dumps(plan).encode(), *lines, b""]), info.etag)


def test_a_sample_is_bounded_and_a_whole_comparison_goes_on_where_it_stopped(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = [unique_name("a"), unique_name("b")]
    for topic in topics:
        for first in range(0, 20, 2):
            restore.add(topic, make_rows(first, 2))
    restored(restore, "a-.*", compare="sampled", exclude_topics=["x"])
    document = step(restore)
    assert (document["ranges"], document["compared"], document["by_digest"]) == (10, 6, 6)

    restore.run_id = "small"
    restored(restore, topics[1], compare="sampled")
    monkeypatch.setattr(compare, "SAMPLE_BYTES", 1)
    document = step(restore)
    assert (document["ranges"], document["compared"]) == (10, 1)

    restore.run_id = "whole"
    restored(restore, topics[0], topics[1], compare="whole", prefix="w.")
    replaced(restore, f"w.{topics[1]}", [])
    with pytest.raises(DamagedArchive, match=f"1 target partitions .*w.{topics[1]}-0"):
        step(restore)
    kept = [entry.key for entry in restore.store.list(restore.run.key("compared", "")) if isinstance(entry, ObjectInfo)]
    assert [key.rsplit("/", 1)[-1] for key in kept] == ["0000000.json"]


def test_runs_that_are_not_done_and_topics_that_were_replaced_are_refused(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("not")
    three_windows(restore, topic)
    restore.plan(topic)
    restore.prepare()
    with pytest.raises(MillpondError, match="is not restored yet"):
        whole(restore)
    restore.work()
    assert whole(restore)["differences"] == 0
    oracle.delete_topic(restore.bootstrap, topic)
    with pytest.raises(RefusedForSafety, match="was deleted or made again"):
        step(restore)
    oracle.make_topic(restore.bootstrap, topic)
    with pytest.raises(RefusedForSafety, match="was deleted or made again"):
        step(restore)


# -- the verb


@pytest.fixture
def copied(bootstrap: str, tmp_path: Path, unique_name: Name) -> tuple[Restore, str, list[str]]:
    """A topic with odd records, its archive, its restored twin, and the command line that compares them."""
    topic = unique_name("odd")
    for name in ("archive", "spool"):
        (tmp_path / name).mkdir()
    store = FolderStore(tmp_path / "archive")
    oracle.make_topic(bootstrap, topic, 2)
    oracle.produce_odd_records(bootstrap, topic, partitions=2, count=120)
    Backup(store, bootstrap, tmp_path / "spool", (topic,), Layout("")).once()
    restore = Restore(bootstrap, store, Layout(""))
    restored(restore, topic, prefix="again.")
    return restore, topic, ["compare", "--archive", f"file://{tmp_path}/archive", "--run-id", "r", "--whole"]


def test_the_archive_and_the_source_are_equal_to_what_was_restored(
    copied: tuple[Restore, str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    restore, topic, command = copied
    count = sum(map(len, oracle.read_topic(restore.bootstrap, topic).values()))
    capsys.readouterr()
    assert main([*command, "--to-brokers", restore.bootstrap, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["what"], document["equal"], document["by_digest"]) == ("archive-target", count, 2)
    assert main([*command, "--to-brokers", restore.bootstrap, "--brokers", restore.bootstrap, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["what"], document["equal"], document["by_digest"]) == ("source-target", count, 2), document


def test_source_and_target_are_compared_though_records_have_left_the_source(
    copied: tuple[Restore, str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    restore, topic, command = copied
    source = oracle.read_topic(restore.bootstrap, topic)
    gone = source[0][50].offset
    oracle.delete_records(restore.bootstrap, topic, {0: gone})
    oracle._send(oracle._producer(restore.bootstrap, oracle.random.Random(0)), topic, 1, [{"value": b"new"}] * 3)
    capsys.readouterr()
    both = [*command, "--to-brokers", restore.bootstrap, "--brokers", restore.bootstrap]
    assert main([*both, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["explained"] == {"below_log_start": 50}
    assert document["equal"] == sum(map(len, source.values())) - 50
    assert main(both) == 0
    assert "50 deleted from Kafka since" in capsys.readouterr().out


def test_a_record_that_differs_between_source_and_target_ends_with_3(
    copied: tuple[Restore, str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    restore, topic, command = copied
    records = oracle.read_topic(restore.bootstrap, topic)
    rows: list[Row] = [tuple(record) for record in records[0]]
    rows[4] = (*rows[4][:3], b"other", rows[4][4])
    twin = f"again.{topic}"
    replaced(restore, twin, rows, [tuple(record) for record in records[1]])
    capsys.readouterr()
    for more in ([], ["--brokers", restore.bootstrap]):
        assert main([*command, "--to-brokers", restore.bootstrap, *more]) == 3
        out = capsys.readouterr().out
        assert f"{twin}-0 offset {rows[4][0]} (in the target 4) differ: value" in out
        assert "DIFFERENT: 1 differ" in out
