"""Restores on a real broker: what comes back is what was there, and what is wrong is refused or named."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from functions.plan_restore.handler import handler as plan
from functions.prepare_restore.handler import handler as prepare
from functions.reconcile_restore.handler import handler as reconcile
from local.processes import wait_until
from millpond.archive.facts import Redaction
from millpond.archive.keys import Layout
from millpond.cli.main import main
from millpond.errors import DamagedArchive, MillpondError, RefusedForSafety, WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.metadata import ClusterDescription, describe_cluster
from millpond.kafka.places import Place
from millpond.kafka.settings import ClusterAddress
from millpond.records import Row
from millpond.restore.targets.safety import SAFE_CONFIG
from millpond.restore.writing import produce, target
from millpond.restore.writing.offset_map import Chunk, tip_hash, write_chunk
from millpond.storage.contract import Changed, read
from millpond.storage.folder import FolderStore
from millpond.storage.s3 import S3Store
from tests import oracle
from tests.integration.backup_runs import Backup
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import a_partition, make_rows, put_gap

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

REPOSITORY = Path(__file__).parents[2]
Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here; `tests/faults` waits as long as the product does."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def restore(bootstrap: str) -> Restore:
    return Restore(bootstrap)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive"


def backed_up(bootstrap: str, store: Any, tmp_path: Path, *topics: str) -> Backup:
    backup = Backup(store, bootstrap, tmp_path / "spool", topics, LAYOUT)
    (tmp_path / "spool").mkdir(exist_ok=True)
    backup.once(snapshot_every_s=60)
    return backup


# -- what was there comes back


def test_every_field_of_every_record_comes_back_through_s3_and_the_command_line(
    bootstrap: str,
    aws: LocalAws,
    s3: Any,
    bucket: str,
    tmp_path: Path,
    unique_name: Name,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    topic = unique_name("odd")
    oracle.make_topic(bootstrap, topic, 4)
    oracle.produce_odd_records(bootstrap, topic, partitions=3, count=150)
    store = S3Store(bucket, client=s3)
    backed_up(bootstrap, store, tmp_path, topic)
    source = oracle.read_topic(bootstrap, topic)
    assert source == {3: []} | oracle.read_archive_records(store, LAYOUT, topic)

    command = ["restore", "--archive", f"s3://{bucket}/kafka", "--to-brokers", bootstrap, "--topics", topic]
    command += ["--prefix", "again.", "--run-id", "r", "--json"]
    capsys.readouterr()
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    restore = Restore(bootstrap, store)
    restore.holds(f"again.{topic}", source)
    counts = {number: len(records) for number, records in source.items() if records}
    assert {part["partition"]: part["written"] for part in report["partitions"]} == counts
    assert (report["written"], report["suppressed"]) == (sum(counts.values()), 0)
    assert all(part["digest_archive"] == part["digest_target"] for part in report["partitions"])
    assert report["known_deviations"] == {"timestamp_zero_became_now": 0}

    before, ends = restore.content(), restore.ends(f"again.{topic}")
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert (restore.content(), restore.ends(f"again.{topic}")) == (before, ends)
    assert main([*command, "--exclude-topics", "x"]) == 4
    assert (restore.content(), restore.ends(f"again.{topic}")) == (before, ends)


def test_timestamp_zero_is_a_known_deviation_and_all_else_is_exact(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("zero")
    rows: list[Row] = [(n, stamp, b"k", b"%d" % n, ()) for n, stamp in enumerate([5, 0, 0, -1, 7, 0])]
    restore.add(topic, rows[:3])
    restore.add(topic, rows[3:])
    report = restore.all(topic)
    assert report["known_deviations"] == {"timestamp_zero_became_now": 3}
    found = restore.target(topic)[0]
    assert [record[2:] for record in found] == [row[2:] for row in rows]
    stamps = [record.timestamp for record in found]
    assert [stamps[n] for n in (0, 3, 4)] == [5, -1, 7]
    assert all(stamps[n] > 1_600_000_000_000 for n in (1, 2, 5))


def test_a_topic_comes_back_under_its_own_name_after_it_was_deleted(
    bootstrap: str, folder: Path, tmp_path: Path, unique_name: Name
) -> None:
    topic, store = unique_name("lost"), FolderStore(folder)
    oracle.make_topic(bootstrap, topic, 2)
    oracle.produce_odd_records(bootstrap, topic, partitions=2, count=40)
    backed_up(bootstrap, store, tmp_path, topic)
    source = oracle.read_topic(bootstrap, topic)
    oracle.delete_topic(bootstrap, topic)
    restore = Restore(bootstrap, store)
    restore.all(topic)
    restore.holds(topic, source)


LIMITS: dict[str, tuple[dict[str, str], list[bytes]]] = {
    "raised": ({"max_message_bytes": "4000000"}, [b"a", random.Random(1).randbytes(3 << 20), b"b", b"c" * (3 << 20)]),
    "compressed-below": ({}, [b"a", b"c" * (3 << 20), b"b"]),
    "lowered": ({"max_message_bytes": "20000"}, [random.Random(n).randbytes(5000) for n in range(100)]),
    "times-by-the-broker": ({"message_timestamp_type": "LogAppendTime"}, [b"%d" % n for n in range(20)]),
}


def test_records_come_back_whatever_the_topics_limits_were_and_whoever_gave_the_time(
    bootstrap: str, folder: Path, tmp_path: Path, unique_name: Name
) -> None:
    """A limit is of batches as they are compressed: one that fits at the source may be larger when it comes back."""
    store, topics = FolderStore(folder), {unique_name(what): made for what, made in LIMITS.items()}
    small = {"compression.type": "zstd", "message.max.bytes": 9_000_000, "batch.size": 10_000}
    producer = oracle._producer(bootstrap, random.Random(0), **small)
    for topic, (config, values) in topics.items():
        oracle.make_topic(bootstrap, topic, **config)
        oracle._send(producer, topic, 0, [{"value": value} for value in values])
    backed_up(bootstrap, store, tmp_path, *topics)
    restore = Restore(bootstrap, store)
    restore.all(*topics, prefix="again.")
    for topic in topics:
        restore.holds(f"again.{topic}", oracle.read_topic(bootstrap, topic))


def test_branches_and_overlaps_give_the_right_union(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("branch")
    rows = make_rows(0, 60)
    new: list[Row] = [(n, 9, b"new", b"%d" % n, ()) for n in range(40, 55)]
    restore.add(topic, rows[:20], epoch=1)
    restore.add(topic, rows[15:50:3], first=15, last=49, epoch=1)
    restore.add(topic, rows[50:], epoch=1)
    restore.add(topic, new[::2], first=40, last=54, epoch=2)
    report = restore.all(topic)
    (life,) = oracle.incarnations(restore.store, LAYOUT, topic)
    expected = oracle.read_archive_records(restore.store, LAYOUT, topic, life)
    assert [r.offset for r in expected[0]] == [*range(20), *range(21, 40, 3), *range(40, 55, 2)]
    restore.holds(topic, expected)
    assert report["written"] == len(expected[0])


def test_windows_without_records_and_holes_cost_no_offsets(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("sparse")
    rows = make_rows(100, 40)
    redactions = (Redaction("s", 10, 0, 0, 1),)
    put_gap(restore.store, 0, 99, partition=a_partition(topic, 1), layout=LAYOUT)
    restore.add(topic, [], 1, first=100, last=109, redactions=redactions)
    restore.add(topic, rows[10:20:4], 1, first=110, last=119)
    restore.add(topic, [], 1, first=120, last=129, redactions=redactions)
    restore.add(topic, rows[30:], 1)
    restore.add(topic, [], 0, first=0, last=5, redactions=redactions)
    report = restore.all(topic)
    restore.holds(topic, {0: [], 1: rows[10:20:4] + rows[30:]})
    assert [(part["written"], part["end"]) for part in report["partitions"]] == [(0, 0), (13, 13)]


def test_a_restore_may_be_shared_by_several_processes(
    bootstrap: str, folder: Path, tmp_path: Path, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, store = unique_name("shared"), FolderStore(folder)
    restore = Restore(bootstrap, store, layout=Layout(""))
    expected = {number: make_rows(0, 30 + number) for number in range(7)}
    for number, rows in expected.items():
        restore.add(topic, rows, number)
    settings = {"MILLPOND_ARCHIVE": folder.as_uri(), "MILLPOND_TO_BROKERS": bootstrap, "MILLPOND_BYTES_PER_UNIT": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    context: Any = SimpleNamespace(aws_request_id="1")
    planned = plan({"run_id": "r", "request": {"topics": [topic]}}, context)
    assert (planned["lines"], planned["units"]) == (7, 7)
    prepare({"run_id": "r"}, context)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "batch_jobs.restore"],
            cwd=REPOSITORY,
            env={**os.environ, "MILLPOND_RUN_ID": "r", "MILLPOND_UNITS": "3", "AWS_BATCH_JOB_ARRAY_INDEX": str(unit)},
        )
        for unit in range(3)
    ]
    assert [worker.wait(180) for worker in workers] == [0, 0, 0]
    assert reconcile({"run_id": "r"}, context)["written"] == sum(map(len, expected.values()))
    restore.holds(topic, expected)


# -- the target


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_target_with_another_partition_count_is_refused_before_anything_is_made(
    restore: Restore, unique_name: Name, partitions: int
) -> None:
    topic, other = unique_name("b"), unique_name("a")
    restore.add(topic, make_rows(0, 5), 1)
    restore.add(other, make_rows(0, 5))
    oracle.make_topic(restore.bootstrap, topic, partitions)
    before = restore.cluster.topic_config(topic)
    restore.plan(other, topic)
    with pytest.raises(RefusedForSafety, match=f"has {partitions} partitions, the archived one has 2") as caught:
        restore.prepare()
    assert caught.value.hint
    assert restore.cluster.topic_config(topic) == before
    assert other not in restore.cluster.describe([other])


def test_a_target_that_holds_records_is_refused_and_stays_as_it_is(
    bootstrap: str, folder: Path, unique_name: Name, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, other = unique_name("b"), unique_name("a")
    restore = Restore(bootstrap, FolderStore(folder), layout=Layout(""))
    restore.add(topic, make_rows(0, 5), 1)
    restore.add(other, make_rows(0, 5))
    oracle.make_topic(bootstrap, topic, 2, retention_ms="100000000000")
    oracle.produce(bootstrap, topic, [b"foreign"], partition=1)
    before = restore.cluster.topic_config(topic), oracle.read_topic(bootstrap, topic), restore.content()
    command = ["restore", "--archive", folder.as_uri(), "--to-brokers", bootstrap, "--all", "--run-id", "r"]
    assert main(command) == 4
    error = capsys.readouterr().err
    assert f"{topic} holds records that this run did not write, in partitions [1]" in error and "hint:" in error
    assert (restore.cluster.topic_config(topic), oracle.read_topic(bootstrap, topic)) == before[:2]
    added = sorted(set(restore.content()) - set(before[2]))
    assert added[0] == "runs/restore/r/plan.jsonl"
    assert [re.sub(r"[0-9]{13}", "<ms>", key) for key in added[1:]] == [
        "runs/restore/r/report-<ms>.html",
        "runs/restore/r/report-<ms>.json",
    ]
    assert other not in restore.cluster.describe([other])


def test_an_emptied_target_is_taken_where_its_log_begins(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("emptied")
    oracle.make_topic(restore.bootstrap, topic)
    oracle.produce(restore.bootstrap, topic, [b"old"] * 7)
    delete_records(restore.bootstrap, topic, 7)
    rows = make_rows(0, 20)
    restore.add(topic, rows)
    report = restore.all(topic)
    assert [(part["base"], part["end"]) for part in report["partitions"]] == [(7, 27)]
    restore.holds(topic, {0: rows})


def delete_records(bootstrap: str, topic: str, before: int) -> None:
    admin, place = AdminClient({"bootstrap.servers": bootstrap}), TopicPartition(topic, 0, before)
    admin.delete_records([place])[place].result(30)


def test_a_record_that_lands_while_the_target_is_prepared_is_refused(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not pass for one that was there before, or it would stand in front of what is restored."""
    topic, real = unique_name("race"), describe_cluster
    restore.add(topic, make_rows(0, 5))
    oracle.make_topic(restore.bootstrap, topic)
    restore.plan(topic)

    def meddle(cluster: Cluster) -> ClusterDescription:
        oracle.produce(restore.bootstrap, topic, [b"foreign"])
        return real(cluster)

    monkeypatch.setattr("millpond.restore.targets.prepare.describe_cluster", meddle)
    (prepared,) = restore.prepare()
    assert prepared["base"] == {"0": 0}
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "offset 0 that this run did not write" in str(error)


def test_a_prepared_target_is_safe_even_if_the_run_was_killed_before_it_was_made_so(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, rows = unique_name("killed"), make_rows(0, 9)
    restore.add(topic, rows)
    oracle.make_topic(restore.bootstrap, topic, message_timestamp_type="LogAppendTime", cleanup_policy="compact")
    restore.plan(topic)
    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "set_topic_config", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            restore.prepare()
    (prepared,) = restore.prepare()
    assert prepared["prior"]["cleanup.policy"] == "compact"
    wait_until(lambda: restore.cluster.topic_config(topic).items() >= SAFE_CONFIG.items(), "the topic is safe")
    assert restore.work() == []
    restore.holds(topic, {0: rows})


def test_a_finished_run_leaves_settings_alone(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("done")
    restore.add(topic, make_rows(0, 3))
    restore.all(topic)
    restore.finish()
    restore.cluster.set_topic_config(topic, {"retention.ms": "100000000000"})
    restore.all(topic)
    assert restore.cluster.topic_config(topic)["retention.ms"] == "100000000000"


@pytest.mark.parametrize("made_again", [True, False])
def test_a_target_that_was_deleted_since_it_was_prepared_is_refused_and_others_are_restored(
    restore: Restore, unique_name: Name, made_again: bool
) -> None:
    gone, other, rows = unique_name("gone"), unique_name("other"), make_rows(0, 5)
    for topic in (gone, other):
        restore.add(topic, rows)
    restore.plan(gone, other)
    restore.prepare()
    oracle.delete_topic(restore.bootstrap, gone)
    if made_again:
        oracle.make_topic(restore.bootstrap, gone)
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety)
    assert f"cannot restore {gone}-0" in str(error) and "deleted or made again" in str(error)
    restore.holds(other, {0: rows})
    assert not made_again or restore.ends(gone) == {0: 0}
    with pytest.raises(RefusedForSafety, match="deleted or made again"):
        restore.prepare()
    with pytest.raises(MillpondError, match=f"1 of 2 .*{gone}-0"):
        restore.reconcile()


def test_a_run_goes_on_only_on_the_cluster_it_was_prepared_on(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = unique_name("elsewhere")
    restore.add(topic, make_rows(0, 3))
    restore.plan(topic)
    restore.prepare()
    monkeypatch.setattr(Cluster, "cluster_id", lambda _: "another")
    with pytest.raises(RefusedForSafety, match="prepared on cluster"):
        restore.prepare()


# -- somebody else writes


def test_a_foreign_record_before_the_work_is_refused_and_nothing_is_written(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("early")
    restore.add(topic, make_rows(0, 5))
    restore.plan(topic)
    restore.prepare()
    oracle.produce(restore.bootstrap, topic, [b"foreign"])
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "offset 0 that this run did not write" in str(error)
    assert restore.ends(topic) == {0: 1}


def write_by_hand(restore: Restore, topic: str, rows: list[Row]) -> None:
    records = [{"timestamp": r[1], "key": r[2], "value": r[3], "headers": produce.texts(r[4])} for r in rows]
    oracle._send(oracle._producer(restore.bootstrap, random.Random(0)), topic, 0, records)


def prepared_parts(restore: Restore, topic: str) -> list[Row]:
    rows = make_rows(0, 15)
    for start in (0, 5, 10):
        restore.add(topic, rows[start : start + 5])
    restore.plan(topic)
    restore.prepare()
    return rows


@pytest.mark.parametrize("there", [5, 12, 15])
def test_what_is_there_is_counted_and_not_written_again(restore: Restore, unique_name: Name, there: int) -> None:
    topic = unique_name("there")
    rows = prepared_parts(restore, topic)
    write_by_hand(restore, topic, rows[:there])
    assert restore.work() == []
    restore.holds(topic, {0: rows})


def test_more_records_than_are_due_are_refused(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("more")
    rows = prepared_parts(restore, topic)
    write_by_hand(restore, topic, [*rows, (15, 1, None, b"foreign", ())])
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety)
    assert restore.ends(topic) == {0: 16}


def test_a_newest_record_that_the_offset_map_does_not_know_is_refused_and_nothing_is_written(
    restore: Restore, unique_name: Name
) -> None:
    topic = unique_name("tip")
    rows = prepared_parts(restore, topic)
    write_by_hand(restore, topic, [*rows[:4], (4, 1, None, b"foreign", ())])
    tip = tip_hash(rows[4], bytes(16))
    write_chunk(restore.run, topic, 0, Chunk(0, 0, 5, [[0, 5]], "00" * 16, "", "create_time", tip, []))
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "offset 4 that this run did not write" in str(error)
    assert restore.ends(topic) == {0: 5}


@pytest.mark.parametrize("commit", [True, False])
def test_a_foreign_transaction_is_refused_at_once(restore: Restore, unique_name: Name, commit: bool) -> None:
    """Its control record is never delivered: to wait for it would take for ever."""
    topic = unique_name("transaction")
    restore.add(topic, make_rows(0, 5))
    restore.plan(topic)
    restore.prepare()
    oracle.produce_transaction(restore.bootstrap, topic, [b"foreign"], commit=commit)
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety)
    assert restore.ends(topic) == {0: 2}


@pytest.mark.parametrize("when", ["between parts", "within a part", "after the last"])
def test_a_foreign_record_during_the_work_is_noticed(restore: Restore, unique_name: Name, when: str) -> None:
    topic, other = unique_name("during"), unique_name("other")
    rows = make_rows(0, 40)
    for start in (0, 20):
        restore.add(topic, rows[start : start + 20], block_records=5)
    restore.add(other, rows)
    restore.plan(topic, other)
    restore.prepare()
    at = {"between parts": 20, "within a part": 25, "after the last": 40}[when]
    done = 0

    def meddle(count: int) -> None:
        nonlocal done
        done += count
        if done == at:
            oracle.produce(restore.bootstrap, topic, [b"foreign"])

    (error,) = restore.work(progress=meddle)
    assert isinstance(error, RefusedForSafety) and "somebody else writes to it" in str(error)
    assert f"cannot restore {topic}-0" in str(error)
    restore.holds(other, {0: rows})
    (again,) = restore.work()
    assert again.exit_code in (3, 4)
    with pytest.raises(MillpondError, match=f"1 of 2 .*{topic}-0"):
        restore.reconcile()


def test_a_producer_that_never_rests_is_refused_instead_of_waited_for(
    restore: Restore, unique_name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "_RESTLESS_S", 1.0)
    topic, other, rows = unique_name("restless"), unique_name("other"), make_rows(0, 5)
    for name in (topic, other):
        restore.add(name, rows)
    restore.plan(topic, other)
    restore.prepare()
    look = Cluster.ends

    def written_to_meanwhile(cluster: Cluster, places: Iterable[Place], **more: Any) -> dict[Place, int]:
        wanted = list(places)
        if (topic, 0) in wanted:
            oracle.produce(restore.bootstrap, topic, [b"foreign"])
        return look(cluster, wanted, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Cluster, "ends", written_to_meanwhile)
        (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "does not come to rest" in str(error)
    restore.holds(other, {0: rows})


def test_records_that_vanish_from_the_target_are_noticed(restore: Restore, unique_name: Name) -> None:
    topic, rows = unique_name("vanish"), make_rows(0, 10)
    restore.add(topic, rows[:5])
    key = restore.add(topic, rows[5:])
    restore.plan(topic)
    restore.prepare()
    good = read(restore.store, key)
    overwrite(restore, key, good[:-1])
    assert [error.exit_code for error in restore.work()] == [1]
    overwrite(restore, key, good)
    delete_records(restore.bootstrap, topic, 3)
    (error,) = restore.work()
    assert isinstance(error, RefusedForSafety) and "begins at 3" in str(error)


# -- the broker refuses


def test_a_record_that_the_broker_refuses_is_told_and_the_run_goes_on_when_it_is_mended(
    restore: Restore, unique_name: Name
) -> None:
    topic, other = unique_name("refused"), unique_name("other")
    rows: list[Row] = [(n, 1, None, b"x" * (2_000_000 if n == 200 else 10_000), ()) for n in range(400)]
    restore.add(topic, rows, block_records=100)
    restore.add(other, rows)
    restore.plan(topic, other)
    restore.prepare()
    restore.cluster.set_topic_config(topic, {"max.message.bytes": "1500000"})
    wait_until(lambda: restore.cluster.topic_config(topic)["max.message.bytes"] == "1500000", "the limit is set")
    (error,) = restore.work()
    assert error.exit_code == 1 and "MSG_SIZE_TOO_LARGE" in str(error) and f"{topic}-0" in str(error)
    assert restore.ends(topic)[0] <= 200
    restore.prepare()
    assert restore.work() == []
    restore.holds(topic, {0: rows})
    restore.holds(other, {0: rows})


def test_properties_that_exclude_exactness_are_wrong_usage(restore: Restore, unique_name: Name) -> None:
    topic = unique_name("acks")
    restore.add(topic, make_rows(0, 3))
    restore.plan(topic)
    restore.prepare()
    restore.cluster = Cluster(ClusterAddress(restore.bootstrap, {"acks": "1"}))
    (error,) = restore.work()
    assert isinstance(error, WrongUsage) and "acks" in str(error)
    assert restore.ends(topic) == {0: 0}


# -- damage


def overwrite(restore: Restore, key: str, content: bytes) -> None:
    head = restore.store.head(key)
    assert head is not None
    restore.store.put_if_match(key, content, head.etag)


def test_a_damaged_object_stops_its_partition_and_put_back_lets_the_same_run_finish(
    restore: Restore, unique_name: Name
) -> None:
    topic, expected = unique_name("damaged"), {number: make_rows(0, 60) for number in range(3)}
    keys = [restore.add(topic, rows[:30], number) for number, rows in expected.items()]
    for number, rows in expected.items():
        restore.add(topic, rows[30:], number, block_records=10)
    restore.plan(topic)
    key = keys[1].replace("0000000000000000000-0000000000000000029", "0000000000000000030-0000000000000000059")
    good = read(restore.store, key)
    overwrite(restore, key, bytes([*good[:-300], good[-300] ^ 1, *good[-299:]]))
    restore.prepare()
    (error,) = restore.work()
    assert isinstance(error, Changed) and f"cannot restore {topic}-1" in str(error) and key in str(error)
    with pytest.raises(MillpondError, match=f"1 of 3 .*{topic}-1"):
        restore.reconcile()
    assert sum(restore.ends(topic).values()) >= 120
    overwrite(restore, key, good)
    assert restore.work() == []
    assert restore.reconcile()["written"] == 180
    restore.holds(topic, expected)


@pytest.mark.parametrize("codec", ["zstandard", "null"])
def test_an_object_that_was_damaged_before_the_plan_is_told_and_no_wrong_record_is_written(
    restore: Restore, unique_name: Name, codec: str
) -> None:
    topic, rows = unique_name("damaged"), make_rows(0, 40, size=200)
    key = restore.add(topic, rows, codec=codec, block_records=10)
    good = read(restore.store, key)
    overwrite(restore, key, bytes([*good[:-100], good[-100] ^ 1, *good[-99:]]))
    restore.plan(topic)
    restore.prepare()
    (error,) = restore.work()
    assert isinstance(error, DamagedArchive) and key in str(error)
    there = restore.target(topic)[0]
    assert [tuple(record) for record in there] == rows[: len(there)]
    overwrite(restore, key, good)  # which is not what the plan has pinned
    (error,) = restore.work()
    assert isinstance(error, Changed) and "new --run-id" in error.hint
    restore.run_id = "r2"
    restore.all(topic, prefix="again.")
    restore.holds(f"again.{topic}", {0: rows})


def test_a_target_altered_behind_our_back_fails_the_proof(restore: Restore, unique_name: Name) -> None:
    """A worker that comes back finds the right number of records and the right newest one, but not the right ones."""
    topic, rows = unique_name("altered"), make_rows(0, 6)
    restore.add(topic, rows)
    restore.plan(topic)
    restore.prepare()
    altered = [*rows[:2], (2, rows[2][1], b"other", rows[2][3], rows[2][4]), *rows[3:]]
    write_by_hand(restore, topic, altered)
    (error,) = restore.work()
    assert isinstance(error, DamagedArchive) and f"{topic}-0" in str(error) and "offsets 0 to 5" in str(error)
    assert list(restore.run.results()) == []
