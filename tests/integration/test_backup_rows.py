"""What a backup promises of its windows and of the cluster: codecs, sizes, selection, one copy, one whole history."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import Child, wait_until
from millpond.archive.codecs import codec_named
from millpond.archive.keys import Layout
from millpond.backup.options import Rotation
from millpond.clock import now_ms
from millpond.kafka.admin import Cluster
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import ObjectInfo, read
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from millpond.verify.coverage import coverage_of
from tests import oracle
from tests.faults.backup_process import Rig
from tests.integration.backup_runs import Backup

Name = Callable[[str], str]


@pytest.fixture
def bootstrap(kafka: KafkaCluster) -> str:
    return kafka.bootstrap()


@pytest.fixture
def topic(unique_name: Name) -> str:
    return unique_name("t")


@pytest.fixture
def backup(bootstrap: str, topic: str, tmp_path: Path) -> Backup:
    return Backup(MemoryStore(), bootstrap, tmp_path / "spool", (topic,), max_age_s=600)


def windows(backup: Backup) -> list[ObjectInfo]:
    entries = backup.store.list(backup.layout.under("topics", ""))
    return [entry for entry in entries if isinstance(entry, ObjectInfo) and entry.key.endswith(".avro")]


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "null"])
def test_every_codec_gives_objects_that_any_avro_reader_opens(backup: Backup, topic: str, codec: str) -> None:
    oracle.make_topic(backup.bootstrap, topic, 2)
    oracle.produce_odd_records(backup.bootstrap, topic, partitions=2, count=30, seed=1)
    backup.once(codec=codec_named(codec))
    for info in windows(backup):
        assert fastavro.reader(io.BytesIO(read(backup.store, info.key))).metadata["avro.codec"] == codec
    backup.holds(topic)


def test_windows_close_at_their_size_and_at_their_number_of_records(backup: Backup, topic: str) -> None:
    oracle.make_topic(backup.bootstrap, topic)
    chance = random.Random(1)
    with backup.running(rotation=Rotation(600, 40_000, 0), block_bytes=1 << 12):
        for number in range(3):
            oracle.produce(backup.bootstrap, topic, [chance.randbytes(1000) for _ in range(60)])
            wait_until(lambda number=number: len(windows(backup)) > number, "a window is full")
        assert all(info.size_bytes >= 40_000 for info in windows(backup))
    stored = len(windows(backup))
    with backup.running(rotation=Rotation(600, 64 << 20, 20)):
        for number in range(3):
            oracle.produce(backup.bootstrap, topic, [b"v"] * 20)
            wait_until(lambda number=number: len(windows(backup)) > stored + number, "a window has its records")
    backup.once()
    backup.holds(topic)


def test_each_record_is_stored_once_however_many_replicas_it_has(
    kafka3: KafkaCluster, unique_name: Name, tmp_path: Path
) -> None:
    sizes = []
    for replicas in (1, 3):
        topic = unique_name(f"t{replicas}")
        oracle.make_topic(kafka3.bootstrap(), topic, replication=replicas)
        oracle.produce(kafka3.bootstrap(), topic, [b"%d" % number * 50 for number in range(2000)])
        backup = Backup(MemoryStore(), kafka3.bootstrap(), tmp_path / topic, (topic,))
        backup.once()
        backup.holds(topic)
        sizes.append(sum(info.size_bytes for info in windows(backup)))
    assert abs(sizes[0] - sizes[1]) < 200, f"but for names and salts the same bytes: {sizes}"


def test_internal_topics_and_those_of_own_runs_are_left_out_and_changelogs_where_it_is_said(
    bootstrap: str, unique_name: Name, tmp_path: Path
) -> None:
    name = unique_name("app")
    for topic in (name, f"{name}-store-changelog", f"__millpond-{name}"):
        oracle.make_topic(bootstrap, topic)
        oracle.produce(bootstrap, topic, [b"v"])
    oracle.produce_transaction(bootstrap, name, [b"w"])
    expressions = (f".*{name}.*", "__.*")
    backup = Backup(MemoryStore(), bootstrap, tmp_path / "spool", expressions, exclude=(".*-changelog",))
    backup.once()
    found = backup.store.list(backup.layout.under("topics", ""), delimiter="/")
    assert {str(entry).rstrip("/").rsplit("/")[-1] for entry in found} == {name}


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


def test_processes_that_start_together_read_each_partition_once_where_the_group_may_settle(rig: Rig) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic, 6)
    oracle.produce_odd_records(rig.bootstrap, rig.topic, partitions=6, count=10, seed=1)
    both = [rig.process(name, instance="", session_ms=45_000) for name in ("one", "other")]
    children = [process.start(MILLPOND_SETTLE="10") for process in both]
    rig.backup.wait_covered(rig.topic)
    starts = [process.said().count("from offset") for process in both]
    assert sum(starts) == 6 and all(starts), starts
    for child, process in zip(children, both, strict=True):
        assert child.stop() == 0, process.said()
    rig.assert_every_record_once()


def test_topics_told_by_name_are_those_alone_and_one_that_is_made_later_joins_them(rig: Rig) -> None:
    one, like_it, later = f"{rig.topic}.a", f"{rig.topic}xa", f"{rig.topic}.later"
    for topic in (one, like_it):
        oracle.make_topic(rig.bootstrap, topic)
        oracle.produce(rig.bootstrap, topic, [b"v"] * 5)
    process = rig.process()
    child = process.start(MILLPOND_TOPICS="", MILLPOND_TOPIC_NAMES=f"{one},{later}")
    rig.backup.wait_covered(one)
    process.wait_said(f"topic {later} is not there")
    assert (
        oracle.topic_id_of(rig.bootstrap, like_it) and later not in Cluster(ClusterAddress(rig.bootstrap)).topic_names()
    ), "to ask for a topic does not make it"
    oracle.make_topic(rig.bootstrap, later)
    oracle.produce(rig.bootstrap, later, [b"w"] * 5)
    rig.backup.wait_covered(later)
    assert child.stop() == 0, process.said()
    folders = rig.backup.store.list(rig.backup.layout.under("topics", ""), delimiter="/")
    assert {str(folder).rstrip("/").rsplit("/")[-1] for folder in folders} == {one, later}


def test_a_history_with_everything_in_it_has_nothing_unexplained(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    """Transactions, aborted ones, compaction, records deleted before they were read, a second life of the topic."""
    kafka = kafka_factory(config={"log.cleaner.backoff.ms": 100})
    bootstrap, topic = kafka.bootstrap(), "history"
    settings = {
        "cleanup_policy": "compact,delete",
        "min_cleanable_dirty_ratio": "0.01",
        "segment_ms": "200",
        "retention_ms": "-1",
    }
    (tmp_path / "archive").mkdir()
    backup = Backup(FolderStore(tmp_path / "archive"), bootstrap, tmp_path / "spool", (topic,), Layout("kafka"))
    for life in range(2):
        oracle.make_topic(bootstrap, topic, 2, **settings)
        for seed in range(3):
            oracle.produce_odd_records(bootstrap, topic, partitions=2, count=20, seed=10 * life + seed, null_keys=False)
            backup.once()
            keys = [b"%d" % (number % 5) for number in range(40)]
            oracle.produce(bootstrap, topic, [b"x"] * 40, keys=keys, partition=1)
        oracle.delete_records(bootstrap, topic, {1: oracle.ends_of(bootstrap, topic)[1] - 3})
        backup.once()
        assert coverage_of(backup.store, backup.layout, now_ms=now_ms())["unexplained"] == 0
        if life == 0:
            oracle.delete_topic(bootstrap, topic)
    backup.holds(topic)
    told = info(tmp_path / "archive" / "kafka", tmp_path / "told")
    assert told["unexplained"] == 0
    assert "retention" in {reason for one in told["topics"] for reason in one["gaps"]}
    assert len({one["topic_id"] for one in told["topics"]}) == 2


def info(archive: Path, log: Path) -> dict[str, Any]:
    words = (sys.executable, "-m", "millpond.cli.main", "info", "--archive", archive.as_uri(), "--json")
    assert Child(words, output=log).wait(120) == 0, log.read_text()
    found: dict[str, Any] = json.loads(log.read_text())
    return found
