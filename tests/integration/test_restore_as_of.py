"""An archive that somebody deleted and overwrote in: the bucket keeps versions, and a restore reads it as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from millpond.archive.runs import Run
from millpond.cli.main import main
from millpond.errors import DamagedArchive, MillpondError, WrongUsage
from millpond.restore.planning.plan import KIND
from millpond.restore.writing import target
from millpond.storage.as_of import AsOf
from millpond.storage.contract import NoSuchObject, ObjectInfo, read
from millpond.storage.s3 import S3Store
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows
from tests.unit.parts_builder import store_in_parts

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

ROWS = make_rows(0, 60)


@pytest.fixture
def store(s3: Any, bucket: str) -> S3Store:
    return S3Store(bucket, client=s3, page_size=7)


@pytest.fixture
def restore(store: S3Store) -> Restore:
    return Restore("127.0.0.1:1", store)


def now_s() -> int:
    """A whole second, epoch ms, and its end: what is stored from now on is stored later. S3 tells whole seconds."""
    at = int(time.time()) * 1000
    time.sleep(max(0.0, at / 1000 + 1.05 - time.time()))
    return at


def attacked(s3: Any, bucket: str, store: S3Store) -> None:
    """Delete markers on a third of all objects, garbage over a third, both on the rest."""
    keys = [entry.key for entry in store.list("") if isinstance(entry, ObjectInfo)]
    for number, key in enumerate(keys):
        if number % 3 != 0:
            s3.put_object(Bucket=bucket, Key=key, Body=b"ransom")
        if number % 3 != 1:
            s3.delete_object(Bucket=bucket, Key=key)


def filled(restore: Restore, topic: str = "orders") -> None:
    for number in range(2):
        for first in range(0, 60, 20):
            restore.add(topic, ROWS[first : first + 20], number)


def test_a_restore_as_of_before_an_attack_is_whole(
    kafka: KafkaCluster,
    aws: LocalAws,
    s3: Any,
    bucket: str,
    store: S3Store,
    unique_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)
    for name, value in aws.settings().items():
        monkeypatch.setenv(name, value)
    topic = unique_name("attacked")
    restore = Restore(kafka.bootstrap(), store)
    filled(restore, topic)
    before = now_s()
    attacked(s3, bucket, store)
    command = ["restore", "--archive", f"s3://{bucket}/kafka", "--to-brokers", kafka.bootstrap()]
    command += ["--topics", topic, "--run-id", "r"]
    assert main(command) in (2, 3)
    assert main([*command, "--as-of", str(before)]) == 0
    assert "120 records" in capsys.readouterr().out
    restore.holds(topic, {0: ROWS, 1: ROWS})
    objects = [item for _, line in Run(store, restore.layout, KIND, "r").lines() for item in line["objects"]]
    assert len(objects) == 6 and all(item["version"] for item in objects)


def test_what_was_stored_since_does_not_count(restore: Restore) -> None:
    restore.add("orders", ROWS[:20])
    before = now_s()
    restore.add("orders", ROWS[20:])
    restore.add("born-later", ROWS)
    assert restore.plan(".*", as_of=before)["offsets"] == 20
    restore.run_id = "now"
    assert restore.plan(".*")["offsets"] == 120


def test_what_had_been_deleted_by_then_stays_deleted(restore: Restore, s3: Any, bucket: str) -> None:
    restore.add("orders", ROWS[:20])
    key = restore.add("orders", ROWS[20:])
    s3.delete_object(Bucket=bucket, Key=key)
    after = now_s()
    assert restore.plan("orders", as_of=after)["offsets"] == 20


def test_the_list_of_a_window_in_parts_is_read_as_it_was(restore: Restore, s3: Any, bucket: str) -> None:
    store_in_parts(restore.store, ROWS, layout=restore.layout)
    before = now_s()
    attacked(s3, bucket, restore.store)  # type: ignore[arg-type]
    plan = restore.plan("orders", as_of=before)
    ((_, line),) = restore.run.lines()
    (item,) = line["objects"]
    assert (plan["objects"], item["first"], item["last"]) == (1, 0, 59)
    assert item["version"] and all(part["version"] for part in item["parts"]) and item["parts"]


def test_the_same_moment_gives_the_same_plan_whatever_happens_to_the_bucket(
    restore: Restore, s3: Any, bucket: str
) -> None:
    filled(restore)
    before = now_s()
    first = restore.plan("orders", as_of=before)
    attacked(s3, bucket, restore.store)  # type: ignore[arg-type]
    restore.run_id = "again"
    assert restore.plan("orders", as_of=before)["digest"] == first["digest"]


def test_before_the_archive_there_was_none(restore: Restore) -> None:
    with pytest.raises(WrongUsage, match="there is no archive"):
        restore.plan("orders", as_of=1_600_000_000_000)


def test_a_version_that_was_removed_for_good_is_a_hole_not_a_shorter_restore(restore: Restore) -> None:
    filled(restore)
    before = now_s()
    key = next(e.key for e in restore.store.list("kafka/topics/orders") if isinstance(e, ObjectInfo))
    for version in list(restore.store.list_versions(key)):
        restore.store.delete_version(key, version.info.version)
    with pytest.raises(DamagedArchive, match="orders-0 offsets 0 to 19"):
        restore.plan("orders", as_of=before)


def test_the_view_lists_opens_and_heads_alike_and_cannot_be_written(s3: Any, bucket: str, store: S3Store) -> None:
    for key in ("a/1", "a/2", "b/1", "c"):
        store.put_if_absent(key, b"old", {"x": "1"})
    before = now_s()
    s3.put_object(Bucket=bucket, Key="a/1", Body=b"newer")
    s3.delete_object(Bucket=bucket, Key="a/2")
    store.put_if_absent("d", b"late")
    view = AsOf(store, before)
    infos = [entry for entry in view.list("") if isinstance(entry, ObjectInfo)]
    assert [(info.key, info.size_bytes) for info in infos] == [("a/1", 3), ("a/2", 3), ("b/1", 3), ("c", 3)]
    assert list(view.list("", delimiter="/", after="a/")) == ["b/", *(i for i in infos if i.key == "c")]
    for info in infos:
        head = view.head(info.key)
        assert head is not None and (head.version, head.metadata) == (info.version, {"x": "1"})
        assert read(view, info.key) == read(store, info.key, version=info.version) == b"old"
    assert view.head("d") is None
    with pytest.raises(NoSuchObject):
        view.open("d")
    for write in (lambda: view.put_if_absent("e", b""), lambda: view.delete_version("a/1", infos[0].version)):
        with pytest.raises(WrongUsage, match="cannot write"):
            write()
    assert json.dumps([v.info.key for v in view.list_versions("a/")]) == '["a/1", "a/2"]'


def test_an_attack_within_the_second_is_not_told_apart(restore: Restore, s3: Any, bucket: str) -> None:
    """S3 tells whole seconds: whoever asks for the second of the attack gets what the attack left."""
    filled(restore)
    attacked(s3, bucket, restore.store)  # type: ignore[arg-type]
    with pytest.raises(MillpondError):
        restore.plan("orders", as_of=now_s())
