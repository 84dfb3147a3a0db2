"""Restores to topics with another number of partitions."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from millpond.errors import RefusedForSafety, WrongUsage
from millpond.groups.values import PartitionOffset, TopicOffsets
from millpond.records import Record, Row
from millpond.restore.groups.restored import RestoredRun
from millpond.restore.groups.values import Status
from millpond.restore.repartition.checkpoints import read_checkpoints
from millpond.restore.repartition.murmur2 import partition_of
from millpond.storage.contract import read
from tests import oracle
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

Place = Callable[[int, bytes | None], int]
"""The target partition by archived partition and key."""


@pytest.fixture
def restore(kafka: KafkaCluster) -> Restore:
    return Restore(kafka.bootstrap())


def keyed(first: int, count: int, partition: int, *, keys: int = 30) -> list[Row]:
    """Consecutive records; each key is of one partition only, and comes again and again."""
    chance = random.Random(partition)
    return [
        (offset, stamp, None if key is None else b"%d-%d" % (partition, chance.randrange(keys)), value, headers)
        for offset, stamp, key, value, headers in make_rows(first, count)
    ]


def archive(restore: Restore, topic: str, partitions: int, count: int = 60) -> dict[int, list[Row]]:
    """Three windows in each partition, the last two of which overlap, and the first of which has holes."""
    found = {number: keyed(0, count + 7 * number, number) for number in range(partitions)}
    for number, rows in found.items():
        del rows[5:8]
        restore.add(topic, rows[:20], number, block_records=7)
        restore.add(topic, rows[20:40], number)
        restore.add(topic, rows[35:], number)
    return found


def placed(rows: dict[int, list[Row]], partitions: int, place: Place) -> dict[int, list[Row]]:
    """What each target partition must hold, in order."""
    found: dict[int, list[Row]] = {number: [] for number in range(partitions)}
    for number in sorted(rows):
        for row in rows[number]:
            found[place(number, row[2])].append(row)
    return found


def by_murmur2(partitions: int) -> Place:
    return lambda number, key: number % partitions if key is None else partition_of(key, partitions)


def librdkafka_places(bootstrap: str, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """Where a client that is not ours puts keys, by what the brokers hold in the end."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", **oracle.QUICK})
    for key in keys:
        producer.produce(topic, key=key, value=b"")
    assert producer.flush(30) == 0
    found = oracle.read_topic(bootstrap, topic)
    return {record.key: number for number, records in found.items() for record in records if record.key is not None}


@pytest.mark.parametrize("partitions", [2, 3, 5, 12, 50])
def test_keys_go_where_another_client_of_kafka_puts_them(
    kafka: KafkaCluster, unique_name: Callable[[str], str], partitions: int
) -> None:
    topic, chance = unique_name("places"), random.Random(partitions)
    keys = [b"", *{chance.randbytes(chance.randrange(1, 40)) for _ in range(1000)}]
    oracle.make_topic(kafka.bootstrap(), topic, partitions)
    found = librdkafka_places(kafka.bootstrap(), topic, keys)
    assert {key: partition_of(key, partitions) for key in keys} == found
    assert set(found.values()) == set(range(partitions))


@pytest.mark.parametrize(("archived", "partitions"), [(3, 5), (5, 2)])
def test_every_record_is_in_the_partition_of_its_key_once_and_in_order(
    restore: Restore, unique_name: Callable[[str], str], archived: int, partitions: int
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, archived)
    report = restore.all(topic, prefix="to.", repartition={"partitions": partitions})
    expected = placed(rows, partitions, by_murmur2(partitions))
    restore.holds(f"to.{topic}", expected)
    total = sum(map(len, rows.values()))
    assert (report["read"], report["written"]) == (total, total)
    assert [part["written"] for part in report["partitions"]] == [len(expected[n]) for n in range(partitions)]
    of_keys(restore.target(f"to.{topic}"), rows)


def of_keys(found: dict[int, list[Record]], rows: dict[int, list[Row]]) -> None:
    """Each key is in one partition, with its records in the order in which they were written."""
    for number, given in rows.items():
        for key in {row[2] for row in given if row[2] is not None}:
            holders = [held for held in found.values() if any(record.key == key for record in held)]
            assert len(holders) == 1
            values = [record.value for record in holders[0] if record.key == key]
            assert values == [row[3] for row in given if row[2] == key], number


def test_the_result_tells_what_came_from_where_and_what_was_proven(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 3)
    restore.all(topic, prefix="to.", repartition={"partitions": 2})
    result = restore.run.result(0)
    assert result is not None
    assert result["sources"] == [{"partition": number, "read": len(rows[number])} for number in range(3)]
    assert [part["partition"] for part in result["partitions"]] == [0, 1]
    assert result["repartition"] == "murmur2"
    assert "in order" in result["proof"]
    found = read_checkpoints(restore.run, f"to.{topic}")
    assert [(one.source, one.part) for one in found] == [(source, part) for source in range(3) for part in range(2)]
    assert sum(one.count for one in found) == result["read"]


def test_an_existing_topic_tells_how_many_partitions_there_are(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 2)
    oracle.make_topic(restore.bootstrap, f"to.{topic}", 4)
    restore.all(topic, prefix="to.", repartition=True)
    restore.holds(f"to.{topic}", placed(rows, 4, by_murmur2(4)))


@pytest.mark.parametrize("asked", [3, None])
def test_where_the_numbers_are_equal_records_keep_their_partition(
    restore: Restore, unique_name: Callable[[str], str], asked: int | None
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 3)
    oracle.make_topic(restore.bootstrap, f"to.{topic}", 3)
    restore.all(topic, prefix="to.", repartition={"partitions": asked})
    restore.holds(f"to.{topic}", rows)


def test_another_number_of_partitions_is_refused_and_the_way_out_is_named(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 2)
    oracle.make_topic(restore.bootstrap, f"to.{topic}", 4)
    restore.plan(topic, prefix="to.")
    with pytest.raises(RefusedForSafety, match="has 4 partitions, the archived one has 2") as refused:
        restore.prepare()
    assert "--repartition" in refused.value.hint


def test_times_offsets_and_partitions_are_taken_as_elsewhere(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 3)
    start = 1767225600000
    more = {"since": start + 1, "until": start + 3, "offsets": [f"{topic}:0:10-30", f"{topic}:2:41-"]}
    restore.all(topic, prefix="to.", repartition={"partitions": 2}, **more)
    wanted = {0: range(10, 31), 2: range(41, 1000)}
    due = {
        number: [row for row in rows[number] if row[0] in offsets and start + 1 <= row[1] <= start + 3]
        for number, offsets in wanted.items()
    }
    restore.holds(f"to.{topic}", placed(due, 2, by_murmur2(2)))


def test_each_partition_ends_before_its_first_record_past_the_cut(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows, late = {number: keyed(0, 60, number) for number in range(2)}, {0: 25, 1: 50}
    for number, at in late.items():
        offset, _, *rest = rows[number][at]
        rows[number][at] = (offset, 1767225600999, *rest)  # type: ignore[assignment]
    for number, given in rows.items():
        restore.add(topic, given[:20], number)
        restore.add(topic, given[20:], number)
    restore.all(topic, prefix="to.", repartition={"partitions": 3}, cut=1767225600900)
    due = {number: given[: late[number]] for number, given in rows.items()}
    restore.holds(f"to.{topic}", placed(due, 3, by_murmur2(3)))


def test_the_header_tells_the_offset_within_the_archived_partition(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 2)
    restore.all(topic, prefix="to.", repartition={"partitions": 3}, source_offset_header=True)
    told = {
        number: [(*row[:4], (*row[4], (b"restore.source-offset", b"%d" % row[0]))) for row in given]
        for number, given in rows.items()
    }
    restore.holds(f"to.{topic}", placed(told, 3, by_murmur2(3)))


def test_records_without_a_timestamp_get_the_time_of_writing_and_are_counted(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    rows = {number: [(row[0], 0, *row[2:]) for row in keyed(0, 20, number)] for number in range(2)}
    for number, given in rows.items():
        restore.add(topic, given, number)
    report = restore.all(topic, prefix="to.", repartition={"partitions": 3})
    assert report["known_deviations"] == {"timestamp_zero_became_now": 40}
    found = restore.target(f"to.{topic}")
    expected = placed(rows, 3, by_murmur2(3))
    assert {n: [r[2:] for r in held] for n, held in found.items()} == {
        n: [row[2:] for row in held] for n, held in expected.items()
    }


# -- what is there already


def crash_after(restore: Restore, records: int) -> None:
    """Works until so many records were handed over."""
    left = [records]

    def count(more: int) -> None:
        left[0] -= more
        if left[0] <= 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore.work(progress=count)


@pytest.mark.parametrize("records", [1, 25, 50, 70, 100, 130])
def test_a_restore_goes_on_where_each_partition_stopped(
    restore: Restore, unique_name: Callable[[str], str], records: int
) -> None:
    topic = unique_name("orders")
    rows = archive(restore, topic, 3, count=40)
    restore.plan(topic, prefix="to.", repartition={"partitions": 4})
    restore.prepare()
    crash_after(restore, records)
    assert restore.work() == []
    restore.reconcile()
    restore.holds(f"to.{topic}", placed(rows, 4, by_murmur2(4)))


@pytest.mark.parametrize("records", [0, 25, 100])
def test_a_record_of_somebody_else_at_the_end_of_a_partition_is_refused(
    restore: Restore, unique_name: Callable[[str], str], records: int
) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 3)
    restore.plan(topic, prefix="to.", repartition={"partitions": 2})
    restore.prepare()
    if records:
        crash_after(restore, records)
    oracle.produce(restore.bootstrap, f"to.{topic}", [b"foreign"], partition=1, keys=[b"k"])
    before = restore.ends(f"to.{topic}")
    (failed,) = restore.work()
    assert isinstance(failed, RefusedForSafety)
    assert "did not write" in failed.args[0]
    assert restore.ends(f"to.{topic}")[1] == before[1]


def test_a_record_of_somebody_else_after_everything_was_written_is_refused(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 2)
    restore.all(topic, prefix="to.", repartition={"partitions": 3})
    oracle.produce(restore.bootstrap, f"to.{topic}", [b"foreign"], partition=2)
    drop_result(restore)
    (failed,) = restore.work()
    assert isinstance(failed, RefusedForSafety)


def drop_result(restore: Restore) -> None:
    key = restore.run.key("results", "0000000.json")
    found = restore.store.head(key)
    assert found is not None
    restore.store.delete_version(key, found.version)


def test_a_newest_record_that_is_not_the_one_of_the_checkpoint_is_refused(
    restore: Restore, unique_name: Callable[[str], str]
) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 2)
    restore.all(topic, prefix="to.", repartition={"partitions": 3})
    drop_result(restore)
    key = restore.run.key("offset-map", f"to.{topic}", "sources", "0000000001-0000001.json")
    found = restore.store.head(key)
    assert found is not None
    known = json.loads(read(restore.store, key))
    known["targets"]["2"]["tip"] = "0" * 64
    restore.store.put_if_match(key, json.dumps(known).encode(), found.etag)
    (failed,) = restore.work()
    assert isinstance(failed, RefusedForSafety)
    assert f"to.{topic}-2 holds a record" in failed.args[0]


# -- a function of the user's

FUNCTIONS = """
from millpond.restore.repartition.keys import decoded

def by_first_byte(key, partitions):
    return key[0] % partitions

def by_tenant(key, partitions):
    return decoded(key)["tenant"] % partitions

def outside(key, partitions):
    return partitions

def text(key, partitions):
    return "0"

def true(key, partitions):
    return True

def raises(key, partitions):
    raise KeyError(key)

calls = 0

def fickle(key, partitions):
    global calls
    calls += 1
    return calls % partitions

NUMBER = 1
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique_name: Callable[[str], str]) -> str:
    """The name of a module in the working directory."""
    name = unique_name("placing").replace("-", "_")
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def test_a_function_of_the_user_places_records_by_what_keys_hold(
    restore: Restore, unique_name: Callable[[str], str], functions: str
) -> None:
    topic = unique_name("orders")
    rows = [(n, 1767225600000, b'{"tenant": %d}' % (n % 9) if n % 4 else None, b"%d" % n, ()) for n in range(50)]
    restore.add(topic, rows, 0)
    restore.add(topic, rows, 3)
    by = f"{functions}:by_tenant"
    restore.all(topic, prefix="to.", repartition={"by": by, "partitions": 3})
    places = {row[2]: row[0] % 9 % 3 for row in rows}
    due = placed({0: rows, 3: rows}, 3, lambda number, key: number % 3 if key is None else places[key])  # type: ignore[dict-item]
    restore.holds(f"to.{topic}", due)
    result = restore.run.result(0)
    assert result is not None and result["repartition"] == by


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("outside", "returns no partition between 0 and 2"),
        ("text", "returns str and no int"),
        ("true", "returns bool and no int"),
        ("raises", "raises KeyError"),
    ],
)
def test_a_function_that_fails_stops_the_topic_and_names_the_record_but_no_key(
    restore: Restore, unique_name: Callable[[str], str], functions: str, name: str, reason: str
) -> None:
    topic, other = unique_name("orders"), unique_name("keyless")
    restore.add(topic, [(0, 1, None, b"", ()), (1, 2, b"secret-key", b"", ())], 1)
    restore.add(other, [(0, 1, None, b"", ())], 1)
    restore.plan(topic, other, prefix="to.", repartition={"by": f"{functions}:{name}", "partitions": 3})
    restore.prepare()
    (failed,) = restore.work()
    assert isinstance(failed, WrongUsage)
    assert f"{functions}:{name} {reason} for the record of {topic}-1 at offset 1" in failed.args[0]
    assert "secret-key" not in str(failed)
    restore.holds(f"to.{other}", {1: [(0, 1, None, b"", ())]})


@pytest.mark.parametrize(
    "by", ["no_such_module:f", "{}:no_such_function", "{}:NUMBER", "subprocess:call", "os.path:join"]
)
def test_what_is_no_function_of_the_user_is_wrong_usage(
    restore: Restore, unique_name: Callable[[str], str], functions: str, by: str
) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 1)
    restore.plan(topic, prefix="to.", repartition={"by": by.format(functions), "partitions": 3})
    restore.prepare()
    (failed,) = restore.work()
    assert isinstance(failed, WrongUsage)
    assert oracle.read_topic(restore.bootstrap, f"to.{topic}") == {0: [], 1: [], 2: []}


def test_a_function_that_places_otherwise_the_second_time_is_refused(
    restore: Restore, unique_name: Callable[[str], str], functions: str
) -> None:
    topic = unique_name("orders")
    restore.add(topic, keyed(0, 100, 0, keys=10**6), block_records=10)
    restore.plan(topic, prefix="to.", repartition={"by": f"{functions}:fickle", "partitions": 3})
    restore.prepare()
    crash_after(restore, 50)
    (failed,) = restore.work()
    assert isinstance(failed, RefusedForSafety)
    assert "placed elsewhere" in failed.args[0]


def test_groups_are_told_that_they_cannot_follow(restore: Restore, unique_name: Callable[[str], str]) -> None:
    topic = unique_name("orders")
    archive(restore, topic, 2)
    plan = restore.plan(topic, prefix="to.", repartition={"partitions": 3})
    restore.prepare()
    run = RestoredRun.open(restore.store, restore.layout, restore.cluster, restore.run_id)
    decided = run.decide(TopicOffsets(topic, plan["topics"][0]["topic_id"], ()), PartitionOffset(0, 5, 0, "", 9))
    assert (decided.status, decided.reason) == (Status.SKIPPED, "repartitioned")
