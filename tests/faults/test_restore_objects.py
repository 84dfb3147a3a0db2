"""Objects that are damaged, mixed up or gone when a restore reads them: their partition stops and names them, the
others are exact, and once the right object is back the same run ends well.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
import fastavro
import pytest

from millpond.errors import DamagedArchive, MillpondError
from millpond.records import Row
from millpond.restore.writing import target
from millpond.storage.contract import Changed, NoSuchObject, read
from millpond.storage.s3 import SETTINGS, S3Store
from tests import oracle
from tests.faults.s3_proxy import Call, Fault, FaultyS3
from tests.integration.restore_runs import LAYOUT, Restore
from tests.unit.builders import a_partition, make_rows, make_window

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

Name = Callable[[str], str]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zombie writes here."""
    monkeypatch.setattr(target, "_STILL_S", 0.1)


@pytest.fixture
def plain_bucket(s3: Any, unique_name: Name) -> str:
    """Without versions: what is overwritten is gone."""
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name)
    return name


# -- where in an object


@dataclass(frozen=True)
class Anatomy:
    """Where the parts of a window lie. Attributes: blocks: Start and end of each, its sync marker included."""

    data: bytes
    header_end: int
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, data: bytes) -> Anatomy:
        spans = [(block.offset, block.offset + block.size) for block in fastavro.block_reader(io.BytesIO(data))]
        assert len(spans) == 3 and spans[-1][1] == len(data), "three blocks, and nothing behind them"
        return cls(data, spans[0][0], tuple(spans))

    def flip(self, at: int) -> bytes:
        """The object with one bit turned over."""
        return self.data[:at] + bytes([self.data[at] ^ 4]) + self.data[at + 1 :]

    def flip_in(self, name: bytes) -> bytes:
        """In the value of this field of the header."""
        return self.flip(self.data.index(name) + len(name) + 2)


Damage = Callable[[Anatomy, Mapping[str, bytes]], bytes]
OTHERS = {
    "another window of the partition": lambda _, others: others["next"],
    "another partition's": lambda _, others: others["partition"],
    "another topic's": lambda _, others: others["topic"],
    "another archive's": lambda _, others: others["archive"],
    "a window of a higher epoch": lambda _, others: others["epoch"],
    "no window at all": lambda _, others: b"<html>it works</html>",
}
CUTS: dict[str, Damage] = {
    "cut to nothing": lambda a, _: b"",
    "cut within the header": lambda a, _: a.data[: a.header_end // 2],
    "cut behind the header": lambda a, _: a.data[: a.header_end],
    "cut behind a block": lambda a, _: a.data[: a.blocks[1][1]],
    "cut within a block": lambda a, _: a.data[: sum(a.blocks[1]) // 2],
    "cut by one byte": lambda a, _: a.data[:-1],
    "two blocks swapped": lambda a, _: (
        a.data[: a.header_end] + a.data[slice(*a.blocks[1])] + a.data[slice(*a.blocks[0])] + a.data[slice(*a.blocks[2])]
    ),
    "a block twice": lambda a, _: a.data[: a.blocks[1][1]] + a.data[slice(*a.blocks[1])] + a.data[slice(*a.blocks[2])],
    "a block left out": lambda a, _: a.data[: a.blocks[1][0]] + a.data[slice(*a.blocks[2])],
    "a block appended": lambda a, _: a.data + a.data[slice(*a.blocks[2])],
}
FLIPS: dict[str, Damage] = {
    "a bit of the magic": lambda a, _: a.flip(1),
    "a bit of the schema": lambda a, _: a.flip_in(b"avro.schema"),
    "a bit of the digest": lambda a, _: a.flip_in(b"millpond.digest"),
    "a bit of the salt": lambda a, _: a.flip_in(b"millpond.salt"),
    "a bit of the count": lambda a, _: a.flip_in(b"millpond.count"),
    "a bit of the header's sync marker": lambda a, _: a.flip(a.header_end - 5),
    "a bit of a block's count": lambda a, _: a.flip(a.blocks[1][0]),
    "a bit of a block's size": lambda a, _: a.flip(a.blocks[1][0] + 1),
    "a bit within a block": lambda a, _: a.flip(sum(a.blocks[1]) // 2),
    "the last bits before a sync marker": lambda a, _: a.flip(a.blocks[1][1] - 17),
    "a bit of a sync marker": lambda a, _: a.flip(a.blocks[1][1] - 5),
}


OF_BLOCKS = {
    name: damage
    for name, damage in (FLIPS | CUTS).items()
    if name.startswith(("a bit of a", "a bit within", "the last bits", "cut behind a", "cut within a b"))
}
"""What the codec of the blocks could make a difference for."""


class Archive:
    """One topic with a partition for each damage and a sound one behind them, each of three windows."""

    def __init__(self, restore: Restore, topic: str, partitions: int, codec: str) -> None:
        self.restore, self.topic = restore, topic
        self.sent = {number: make_rows(0, 90 + number, size=40) for number in range(partitions)}
        self.keys = {number: self._store(rows, number, codec) for number, rows in self.sent.items()}

    def _store(self, rows: list[Row], number: int, codec: str) -> list[str]:
        cuts = [rows[:30], rows[30:60], rows[60:]]
        return [self.restore.add(self.topic, cut, number, codec=codec) for cut in cuts]

    def others(self, number: int, codec: str) -> dict[str, bytes]:
        """What could lie under the key of a partition's second window instead."""
        rows, own = self.sent[number][30:60], a_partition(self.topic, number)
        made = {
            "next": make_window(self.sent[number][60:], partition=own, codec=codec),
            "partition": make_window(rows, partition=replace(own, partition=number + 1), codec=codec),
            "topic": make_window(rows, partition=a_partition(f"{self.topic}2", number), codec=codec),
            "archive": make_window(rows, partition=own, codec=codec, archive_id="0" * 16),
            "epoch": make_window(rows, partition=own, codec=codec, epoch=8),
        }
        return {name: window.data for name, window in made.items()}

    def damaged(self, damages: Mapping[str, Damage], codec: str) -> dict[str, bytes]:
        """Content by key: of partition n the second window, as the n-th damage leaves it."""
        found = {}
        for number, damage in enumerate(damages.values()):
            key = self.keys[number][1]
            data = read(self.restore.store, key)
            found[key] = damage(Anatomy.of(data), self.others(number, codec))
            assert found[key] != data
        return found

    def assert_restored(self, numbers: set[int] | None = None) -> None:
        sent = {n: rows for n, rows in self.sent.items() if numbers is None or n in numbers}
        where = oracle.Restored(self.restore.bootstrap, self.topic, self.topic)
        oracle.assert_restored(sent, self.restore.store, LAYOUT, where)

    def assert_only_right_records(self) -> None:
        """What there is of each partition is how it begins."""
        for number, records in oracle.read_topic(self.restore.bootstrap, self.topic).items():
            oracle.assert_same(f"{self.topic}-{number}", records, self.sent[number][: len(records)])


def by_partition(topic: str, errors: list[MillpondError]) -> dict[int, MillpondError]:
    found = {}
    for error in errors:
        words = str(error).split()
        assert words[:2] == ["cannot", "restore"], str(error)
        found[int(words[2].rstrip(":").removeprefix(f"{topic}-"))] = error
    assert len(found) == len(errors)
    return found


def through(aws: LocalAws, proxy: FaultyS3, bucket: str) -> S3Store:
    session = boto3.Session("test", "test", region_name="us-east-1")
    return S3Store(bucket, client=session.client("s3", endpoint_url=proxy.url, config=SETTINGS))


@pytest.mark.parametrize(
    ("codec", "damages"),
    [("zstandard", FLIPS | CUTS | OTHERS), ("deflate", OF_BLOCKS), ("null", OF_BLOCKS)],
    ids=["zstandard", "deflate", "null"],
)
def test_a_store_that_gives_something_else_stops_the_partition_and_the_run_ends_well_when_it_is_mended(
    kafka: KafkaCluster,
    aws: LocalAws,
    s3: Any,
    plain_bucket: str,
    unique_name: Name,
    codec: str,
    damages: Mapping[str, Damage],
) -> None:
    """The ETag is the planned one all the time: only the content can tell."""
    topic, sound = unique_name("given"), len(damages)
    restore = Restore(kafka.bootstrap(), S3Store(plain_bucket, client=s3))
    archive = Archive(restore, topic, sound + 1, codec)
    restore.plan(topic)
    restore.prepare()
    contents = archive.damaged(damages, codec)

    def rule(call: Call) -> Fault | None:
        content = contents.get(unquote(call.path).removeprefix(f"/{plain_bucket}/"))
        return None if content is None or call.method != "GET" else Fault(content=content)

    with FaultyS3(aws.url, rule) as proxy:
        errors = by_partition(topic, replace(restore, store=through(aws, proxy, plain_bucket)).work())
    names = dict(enumerate(damages))
    assert {names[number] for number in errors} == set(damages)
    for number, error in errors.items():
        assert isinstance(error, DamagedArchive), f"{names[number]}: {error}"
        assert archive.keys[number][1] in str(error) and error.hint, f"{names[number]}: {error}"
    archive.assert_restored({sound})
    archive.assert_only_right_records()
    with pytest.raises(MillpondError, match=f"{len(damages)} of {len(damages) + 1} "):
        restore.reconcile()
    assert restore.work() == []
    archive.assert_restored()
    assert restore.reconcile()["written"] == sum(map(len, archive.sent.values()))


def put(s3: Any, bucket: str, key: str, content: bytes, metadata: Mapping[str, str]) -> None:
    """As anybody with rights on the bucket does, over whatever is there."""
    s3.put_object(Bucket=bucket, Key=key, Body=content, Metadata=metadata)


def change(s3: Any, bucket: str, archive: Archive) -> list[int]:
    """One change to the second window of each partition but the last; those that have one."""
    other, (first, second, _) = archive.others(1, "zstandard")["next"], archive.keys[2]
    s3.delete_object(Bucket=bucket, Key=archive.keys[0][1])
    put(s3, bucket, archive.keys[1][1], other, {})
    s3.copy_object(Bucket=bucket, Key=second, CopySource={"Bucket": bucket, "Key": archive.keys[3][1]})
    anatomy = Anatomy.of(read(archive.restore.store, archive.keys[3][1]))
    put(s3, bucket, archive.keys[3][1], anatomy.flip(anatomy.blocks[1][0] + 9), {})
    same = make_window(archive.sent[4][30:60], partition=a_partition(archive.topic, 4))
    put(s3, bucket, archive.keys[4][1], same.data, same.facts.to_object_metadata())
    assert first != second
    return [0, 1, 2, 3, 4]


CHANGES = ["deleted", "another window's", "another partition's copied", "a bit flipped", "the same records anew"]


def test_objects_deleted_or_replaced_after_the_plan_stop_their_partitions_until_they_are_put_back(
    kafka: KafkaCluster, s3: Any, plain_bucket: str, unique_name: Name
) -> None:
    topic = unique_name("after")
    restore = Restore(kafka.bootstrap(), S3Store(plain_bucket, client=s3))
    archive = Archive(restore, topic, 6, "zstandard")
    restore.plan(topic)
    heads = {number: restore.store.head(keys[1]) for number, keys in archive.keys.items()}
    good = {number: read(restore.store, keys[1]) for number, keys in archive.keys.items()}
    changed = change(s3, plain_bucket, archive)
    restore.prepare()
    errors = by_partition(topic, restore.work())
    assert sorted(errors) == changed
    for number, error in errors.items():
        assert isinstance(error, NoSuchObject if number == 0 else Changed), f"{CHANGES[number]}: {error}"
        assert archive.keys[number][1] in str(error) and "since the restore was planned" in str(error)
        assert error.exit_code != 0 and "put back" in error.hint
    archive.assert_only_right_records()
    for number in changed:
        head = heads[number]
        assert head is not None
        put(s3, plain_bucket, archive.keys[number][1], good[number], head.metadata)
    archive.assert_restored({5})
    assert restore.work() == []
    archive.assert_restored()
    assert restore.reconcile()["read"] == sum(map(len, archive.sent.values()))


def test_versions_that_were_planned_are_read_whatever_lies_on_top_and_one_that_is_lost_is_named(
    kafka: KafkaCluster, s3: Any, bucket: str, unique_name: Name
) -> None:
    topic = unique_name("versions")
    restore = Restore(kafka.bootstrap(), S3Store(bucket, client=s3))
    archive = Archive(restore, topic, 6, "zstandard")
    restore.plan(topic, as_of=int(time.time() * 1000) + 60_000)
    change(s3, bucket, archive)
    lost = archive.keys[5][1]
    for one in list(restore.store.list_versions(lost)):
        restore.store.delete_version(lost, one.info.version)
    restore.prepare()
    (error,) = restore.work()
    assert isinstance(error, NoSuchObject) and lost in str(error) and f"cannot restore {topic}-5" in str(error)
    found = oracle.read_topic(restore.bootstrap, topic)
    for number in range(5):
        due = [oracle.Record(at, *row[1:]) for at, row in enumerate(archive.sent[number])]
        oracle.assert_same(f"{topic}-{number}", found[number], due)
    archive.assert_only_right_records()
    with pytest.raises(MillpondError, match=f"1 of 6 .*{topic}-5"):
        restore.reconcile()
