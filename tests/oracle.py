"""What a backup and a restore must come to, told a second time: plain, slow, and without the product's own decoder.

Kafka is read with an ordinary consumer, the archive with fastavro and the words of `docs/format.md`.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import random
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import fastavro
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from local.processes import wait_until
from millpond.archive.keys import Layout
from millpond.records import Record
from millpond.storage.contract import ObjectInfo, ObjectStore, read

T = TypeVar("T")
TYPES = ("none", "create_time", "log_append_time")
ANY_TIME = {"message.timestamp.after.max.ms": str(2**63 - 1), "message.timestamp.before.max.ms": str(2**63 - 1)}
QUICK = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500, "broker.address.family": "v4"}
_WINDOW = re.compile(
    r"([0-9]{19})-([0-9]{19})-e(-1|0|[1-9][0-9]*)-t(0|-?[1-9][0-9]*)-(0|-?[1-9][0-9]*)(?:-d([0-9a-f]{8}))?\.avro"
)
_MARKER = re.compile(r"([0-9]{19})-([0-9]{19})-(retention|empty|unreadable|skipped|pruned)\.gap")


# -- Kafka


def make_topic(bootstrap: str, topic: str, partitions: int = 1, replication: int = -1, **config: str) -> str:
    """A topic that takes any timestamp, known to the brokers; returns its id, URL-safe. `_` in names is a dot."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    settings = ANY_TIME | {name.replace("_", "."): value for name, value in config.items()}
    new = NewTopic(topic, partitions, replication, config=settings)
    admin.create_topics([new])[topic].result(60)
    return wait_ready(bootstrap, topic, partitions)


def wait_ready(bootstrap: str, topic: str, partitions: int = 1) -> str:
    """The topic's id, once all leaders answer: brokers tell of them a moment before these take records."""
    topic_id = wait_until(lambda: topic_id_of(bootstrap, topic, partitions), f"topic {topic} is known")
    ends_of(bootstrap, topic)
    return topic_id


def delete_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    admin.delete_topics([topic])[topic].result(60)
    wait_until(lambda: not topic_id_of(bootstrap, topic), f"topic {topic} is gone")


def delete_records(bootstrap: str, topic: str, before: Mapping[int, int]) -> None:
    """Moves the start of each partition's log."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    for future in admin.delete_records([TopicPartition(topic, n, offset) for n, offset in before.items()]).values():
        future.result(60)


def topic_id_of(bootstrap: str, topic: str, partitions: int = 1) -> str:
    """The id of the topic that has this name now, URL-safe; empty unless it has so many partitions with leaders."""
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
    try:
        found = admin.describe_topics(TopicCollection([topic]))[topic].result(60)
    except (KafkaException, TimeoutError):
        return ""
    ready = [p for p in found.partitions if p.leader is not None and p.leader.id >= 0]
    return str(found.topic_id).replace("+", "-").replace("/", "_") if len(ready) >= partitions else ""


def ends_of(bootstrap: str, topic: str) -> dict[int, int]:
    """Last stable offset of each partition."""
    return _listed_offsets(bootstrap, topic, OffsetSpec.latest())


def starts_of(bootstrap: str, topic: str) -> dict[int, int]:
    return _listed_offsets(bootstrap, topic, OffsetSpec.earliest())


def _listed_offsets(bootstrap: str, topic: str, spec: OffsetSpec) -> dict[int, int]:
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})

    def ask() -> dict[int, int]:
        asked = {TopicPartition(topic, number): spec for number in _partitions_of(admin, topic)}
        answers = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_COMMITTED)
        found = {place.partition: future.result(60).offset for place, future in answers.items()}
        if min(found.values()) < 0:  # as the client says it of a leader that has just died
            raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
        return found

    return in_the_end(ask)


def _partitions_of(client: AdminClient | Consumer, topic: str) -> list[int]:
    """Raises `KafkaException` where whoever was asked does not know the topic yet."""
    found = client.list_topics(topic, 30).topics[topic]
    if found.error is not None or not found.partitions:
        raise KafkaException(found.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return sorted(found.partitions)


def in_the_end(ask: Callable[[], T], within_s: float = 90) -> T:
    """The answer, which a cluster that is electing leaders does not give at once."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return ask()
        except (KafkaException, TimeoutError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def read_topic(bootstrap: str, topic: str) -> dict[int, list[Record]]:
    """All committed records of each partition, from its beginning to the last stable offset."""
    return {number: [record for record, _ in found] for number, found in _read_topic(bootstrap, topic).items()}


def _read_topic(bootstrap: str, topic: str) -> dict[int, list[tuple[Record, str]]]:
    """The same with the name of each record's timestamp type."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": f"oracle-{uuid.uuid4().hex}",
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "check.crcs": True,
        "fetch.message.max.bytes": 32 << 20,
        **QUICK,
    }
    consumer = Consumer(settings)
    try:
        numbers = in_the_end(lambda: _partitions_of(consumer, topic))
        found: dict[int, list[tuple[Record, str]]] = {number: [] for number in numbers}
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in numbers])
        left, deadline = set(numbers), time.monotonic() + 60
        while left:
            assert time.monotonic() < deadline, f"{topic}: nothing for 60 s, and no end of partitions {sorted(left)}"
            for message in consumer.consume(1000, 0.05):
                error, deadline = message.error(), time.monotonic() + 60
                if error is None:
                    found[_number(message)].append((_record(message), TYPES[message.timestamp()[0]]))
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(_number(message))
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return found


def _number(message: Message) -> int:
    number = message.partition()
    assert number is not None
    return number


def _record(message: Message) -> Record:
    offset = message.offset()
    assert offset is not None
    headers: Iterable[tuple[str, Any]] = message.headers() or ()  # type: ignore[assignment]
    return Record(
        offset,
        message.timestamp()[1],
        message.key(),  # type: ignore[arg-type]  # bytes, without a deserializer
        message.value(),  # type: ignore[arg-type]
        tuple((name.encode(), value) for name, value in headers),
    )


# -- the archive


@dataclass(frozen=True)
class Held:
    """A window as it was found, and the offsets of it that count (`end` below `first`: none)."""

    key: str
    first: int
    last: int
    epoch: int
    end: int


@dataclass
class Folder:
    """What the listing says of one partition of one incarnation."""

    windows: list[Held] = field(default_factory=list)
    markers: list[tuple[int, int, str]] = field(default_factory=list)

    def covers(self, offset: int) -> bool:
        """A live window or a live marker speaks for the offset (format, 8.1 and 8.3)."""
        return any(w.first <= offset <= w.end for w in self.windows) or any(
            first <= offset <= self._marker_end(first, last) for first, last, _ in self.markers
        )

    @property
    def end(self) -> int:
        """The offset after the extent."""
        ends = [w.end for w in self.windows if w.end >= w.first]
        ends += [end for first, last, _ in self.markers if (end := self._marker_end(first, last)) >= first]
        return max(ends, default=-1) + 1

    def holes(self) -> list[int]:
        """Offsets of the extent that nothing speaks for."""
        return [offset for offset in range(self.end) if not self.covers(offset)]

    def _marker_end(self, first: int, last: int) -> int:
        epochs = self._epochs_before(first)
        starts = [w.first for w in self.windows if epochs and w.epoch > max(epochs)]
        return min([last, *(start - 1 for start in starts)])

    def _epochs_before(self, first: int) -> set[int]:
        epochs = {w.epoch for w in self.windows if w.last == first - 1 and w.epoch >= 0}
        for other in [other for other, last, _ in self.markers if last == first - 1]:
            epochs |= self._epochs_before(other)
        return epochs


def read_folders(store: ObjectStore, layout: Layout, topic: str, topic_id: str) -> dict[int, Folder]:
    """Names only. Every key below the incarnation must be one of ours."""
    root = layout.under("topics", topic, topic_id, "")
    names: dict[int, list[str]] = defaultdict(list)
    for info in store.list(root):
        assert isinstance(info, ObjectInfo)
        folder, _, name = info.key.removeprefix(root).partition("/")
        if folder == "events":
            assert re.fullmatch(r"[0-9]{13}-[a-z-]+\.json", name), info.key
        else:
            names[int(folder)].append(name)
    return {number: _folder(f"{root}{number}/", f"{topic}-{number}-", found) for number, found in names.items()}


def _folder(root: str, start: str, names: Sequence[str]) -> Folder:
    folder, found = Folder(), []
    for name in names:
        assert name.startswith(start), f"foreign: {root}{name}"
        body = name.removeprefix(start)
        if window := _WINDOW.fullmatch(body):
            found.append((f"{root}{name}", int(window[1]), int(window[2]), int(window[3])))
        elif marker := _MARKER.fullmatch(body):
            folder.markers.append((int(marker[1]), int(marker[2]), marker[3]))
        else:
            raise AssertionError(f"foreign: {root}{name}")
    for key, first, last, epoch in found:
        cuts = [other - 1 for _, other, _, higher in found if 0 <= epoch < higher]
        folder.windows.append(Held(key, first, last, epoch, min([last, *cuts])))
    return folder


def incarnations(store: ObjectStore, layout: Layout, topic: str) -> list[str]:
    """Ids of all lives of the topic that have a folder."""
    root = layout.under("topics", topic, "")
    keys = [entry.key for entry in store.list(root) if isinstance(entry, ObjectInfo)]
    return sorted({key.removeprefix(root).split("/")[0] for key in keys})


def read_archive_records(
    store: ObjectStore, layout: Layout, topic: str, topic_id: str | None = None
) -> dict[int, list[Record]]:
    """The union of all live windows of each partition (format, 8.2); every window is checked whole."""
    if topic_id is None:
        (topic_id,) = incarnations(store, layout, topic)
    found = _read_archive(store, layout, topic, topic_id)
    return {number: [record for record, _ in records] for number, records in found.items()}


def _read_archive(
    store: ObjectStore, layout: Layout, topic: str, topic_id: str, partitions: Collection[int] | None = None
) -> dict[int, list[tuple[Record, str]]]:
    """Of these partitions; None for all."""
    archive_id = json.loads(read(store, layout.identity))["archive_id"]
    united = {}
    for number, folder in read_folders(store, layout, topic, topic_id).items():
        if partitions is not None and number not in partitions:
            continue
        at: dict[int, list[tuple[_Rank, Record, str]]] = defaultdict(list)
        for window in folder.windows:
            kind, rank, records = read_window_object(store, window, archive_id, topic, topic_id, number)
            for record in records:
                if record.offset <= window.end:
                    at[record.offset].append((rank, record, kind))
        united[number] = [_one_of(at[offset]) for offset in sorted(at)]
    return united


_Rank = tuple[int, str]
"""Time of the last redaction (-1: none) and key: who is right about an offset."""


def _one_of(found: list[tuple[_Rank, Record, str]]) -> tuple[Record, str]:
    if len({(record, kind) for _, record, kind in found}) > 1:
        assert any(rank[0] >= 0 for rank, _, _ in found), f"two truths: {found}"
        found = sorted((f for f in found if f[0][0] >= 0), key=lambda f: (-f[0][0], f[0][1]))
    return found[0][1], found[0][2]


def read_window_object(
    store: ObjectStore, window: Held, archive_id: str, topic: str, topic_id: str, partition: int
) -> tuple[str, _Rank, list[Record]]:
    """Timestamp type, rank and records of one object, after all checks of the format (9.2)."""
    content = read(store, window.key)
    reader: Any = fastavro.reader(io.BytesIO(content))
    said = {name.removeprefix("millpond."): text for name, text in reader.metadata.items() if "millpond." in name}
    raw = list(reader)
    records = [
        Record(r["offset"], r["timestamp"], r["key"], r["value"], tuple((h["key"], h["value"]) for h in r["headers"]))
        for r in raw
    ]
    offsets, stamps = [r.offset for r in records], [r.timestamp for r in records]
    redactions = json.loads(said.get("redactions", "[]"))
    encoded = _canonical(reader.writer_schema, raw)
    mac = hmac.new(bytes.fromhex(said["salt"]), said["timestamp_type"].encode() + b"\0" + encoded, hashlib.sha256)
    assert said["format"] == "1"
    assert (said["archive_id"], said["topic"], said["topic_id"]) == (archive_id, topic, topic_id), window.key
    coverage = tuple(int(said[name]) for name in ("partition", "first", "last", "leader_epoch"))
    assert coverage == (partition, window.first, window.last, window.epoch), window.key
    assert offsets == sorted(set(offsets)), f"{window.key}: offsets do not rise"
    assert all(window.first <= offset <= window.last for offset in offsets), f"{window.key}: outside its coverage"
    assert (int(said["count"]), int(said["bytes"])) == (len(records), len(encoded)), window.key
    assert mac.hexdigest() == said["digest"], f"{window.key}: digest"
    bounds = [int(said["min_timestamp"]), int(said["max_timestamp"])]
    assert f"-t{bounds[0]}-{bounds[1]}" in window.key
    assert redactions or bounds == [min(stamps, default=-1), max(stamps, default=-1)], f"{window.key}: bounds"
    head = store.head(window.key)
    assert head is not None
    for name in set(said) - {"redactions"}:
        assert head.metadata[f"millpond-{name.replace('_', '-')}"] == said[name], f"{window.key}: metadata {name}"
    return said["timestamp_type"], (redactions[-1]["at"] if redactions else -1, window.key), records


def _canonical(schema: Any, raw: Sequence[Any]) -> bytes:
    parsed, out = fastavro.parse_schema(schema), io.BytesIO()
    for record in raw:
        fastavro.schemaless_writer(out, parsed, record)
    return out.getvalue()


# -- both


def assert_backup_holds(
    store: ObjectStore,
    layout: Layout,
    bootstrap: str,
    topic: str,
    *,
    group_id: str | None = None,
    complete: bool = True,
) -> dict[int, list[Record]]:
    """The backup of the topic's present life is right; returns what the archive holds.

    Every record that Kafka has now is there once, equal in every field; every offset below the end of coverage has a
    window or a marker; the group has committed nothing that is not there. With `complete`, coverage reaches Kafka's
    last stable offsets; else records behind the end of coverage may be missing.
    """
    topic_id = topic_id_of(bootstrap, topic)
    folders = read_folders(store, layout, topic, topic_id)
    archived = _read_archive(store, layout, topic, topic_id)
    for number, records in _read_topic(bootstrap, topic).items():
        folder = folders.get(number, Folder())
        assert folder.holes() == [], f"{topic}-{number}: holes"
        there = {record.offset: (record, kind) for record, kind in archived.get(number, [])}
        for record, kind in records:
            if complete or record.offset < folder.end:
                assert there.get(record.offset) == (record, kind), f"{topic}-{number}: offset {record.offset}"
    if complete:
        ends = ends_of(bootstrap, topic)
        reached = {number: folders.get(number, Folder()).end for number in ends}
        assert all(reached[number] >= ends[number] for number in ends), f"{topic}: {reached}, Kafka has {ends}"
    assert_commits_are_not_ahead(store, layout, bootstrap, topic, group_id=group_id)
    return {number: [record for record, _ in found] for number, found in archived.items()}


def assert_commits_are_not_ahead(
    store: ObjectStore, layout: Layout, bootstrap: str, topic: str, *, group_id: str | None = None
) -> None:
    """Each commit of the group names this archive, an object that is there, and no offset behind the coverage."""
    archive_id = json.loads(read(store, layout.identity))["archive_id"]
    for (name, number), (offset, metadata) in commits(bootstrap, group_id or f"millpond-{archive_id}").items():
        if name != topic:
            continue
        said = json.loads(metadata)
        assert said["archive_id"] == archive_id
        end = read_folders(store, layout, topic, said["topic_id"])[number].end
        assert offset <= end, f"{topic}-{number}: the group has committed {offset}, the archive ends at {end}"
        assert store.head(said["key"]) is not None, f"{topic}-{number}: the commit names {said['key']}"


def commits(bootstrap: str, group_id: str) -> dict[tuple[str, int], tuple[int, str]]:
    """Offset and metadata text of each commit of a group."""

    def ask() -> dict[tuple[str, int], tuple[int, str]]:
        # librdkafka may crash where a client that failed is asked again, and without the description (decision 15).
        admin = AdminClient({"bootstrap.servers": bootstrap, **QUICK})
        admin.describe_consumer_groups([group_id])[group_id].result(60)
        future = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group_id)])[group_id]
        found = future.result(60).topic_partitions
        return {(p.topic, p.partition): (p.offset, p.metadata or "") for p in found if p.offset >= 0}

    return in_the_end(ask)


# -- all three


@dataclass(frozen=True)
class Restored:
    """Where the records of one topic went.

    Attributes:
        bootstrap, target: The target topic and its cluster.
        topic, topic_id: In the archive; the id may be left out where the topic had one life.
        bases: Target offset of the first restored record by partition, where records were there before.
        header: Whether each record tells its source offset in a header of its own.
    """

    bootstrap: str
    target: str
    topic: str
    topic_id: str = ""
    bases: Mapping[int, int] = field(default_factory=dict)
    header: bool = False


def assert_restored(
    sent: Mapping[int, Sequence[Record | tuple[Any, ...]]],
    store: ObjectStore,
    layout: Layout,
    restored: Restored,
    *,
    groups: Mapping[str, Mapping[int, int]] | None = None,
) -> None:
    """What was sent, what the archive holds and what the target holds agree in every field, record by record.

    The client turns timestamp 0 into the time of writing, so any is right there.

    Args:
        sent: By partition what the producer kept of its records, under the offsets that the brokers gave them; only
            these partitions are looked at.
        groups: By group on the target the offsets it had committed in the source: there and here its next record has
            the same content, or there is none.
    """
    topic, topic_id = restored.topic, restored.topic_id
    archived = _read_archive(store, layout, topic, topic_id or _only(incarnations(store, layout, topic)), sent.keys())
    found = read_topic(restored.bootstrap, restored.target)
    for number, records in sent.items():
        place, base = f"{restored.target}-{number}", restored.bases.get(number, 0)
        assert_same(f"{topic}-{number} in the archive", [record for record, _ in archived.get(number, [])], records)
        there = [record for record in found.get(number, []) if record.offset >= base]
        assert [record.offset for record in there] == list(range(base, base + len(there))), f"{place}: holes"
        due = [_as_restored(Record(*record), base + at, restored.header) for at, record in enumerate(records)]
        assert_same(place, [_stamped_zero(*pair) for pair in zip(there, due, strict=False)] + there[len(due) :], due)
    for group, offsets in (groups or {}).items():
        assert_same_next_records(group, offsets, sent, restored, found)


def assert_same(what: str, found: Sequence[Record], due: Sequence[Record | tuple[Any, ...]]) -> None:
    """Says where they part, not all that they hold."""
    for one, other in zip(found, due, strict=False):
        assert tuple(one) == tuple(other), f"{what}: offset {one.offset} for offset {other[0]}"
    assert len(found) == len(due), f"{what}: {len(found)} records, {len(due)} are due"


def assert_same_next_records(
    group: str,
    offsets: Mapping[int, int],
    sent: Mapping[int, Sequence[Record | tuple[Any, ...]]],
    restored: Restored,
    found: Mapping[int, Sequence[Record]],
) -> None:
    """The group reads next in the target what it would have read next in the source."""
    now = {
        number: offset
        for (topic, number), (offset, _) in commits(restored.bootstrap, group).items()
        if topic == restored.target
    }
    assert now.keys() == offsets.keys(), f"{group} has offsets of partitions {sorted(now)}"
    for number, offset in offsets.items():
        due = next((Record(*record) for record in sent[number] if record[0] >= offset), None)
        there = next((record for record in found[number] if record.offset >= now[number]), None)
        expected = None if due is None or there is None else _as_restored(due, there.offset, restored.header)
        assert (due is None) == (there is None), f"{group} on {restored.target}-{number}: {now[number]} for {offset}"
        assert there is None or _stamped_zero(there, expected) == expected, f"{group} on {restored.target}-{number}"


def _only(found: Sequence[str]) -> str:
    (one,) = found
    return one


def _as_restored(record: Record, offset: int, header: bool) -> Record:
    more = ((b"restore.source-offset", b"%d" % record.offset),) if header else ()
    return record._replace(offset=offset, headers=(*record.headers, *more))


def _stamped_zero(found: Record, due: Record | None) -> Record:
    return found._replace(timestamp=0) if due is not None and due.timestamp == 0 else found


# -- records that are hard to keep

_NAMES = ("", "a", "trace", "größe", "漢字", "x" * 300)
_SIZES = (0, 0, 1, 63, 64, 65, 127, 128, 1000, 8191, 8192, 100 << 10)


def produce_odd_records(
    bootstrap: str,
    topic: str,
    *,
    partitions: int = 1,
    count: int = 200,
    seed: int = 1,
    transactions: bool = True,
    null_keys: bool = True,
) -> dict[int, list[Record]]:
    """About `count` records to each partition, in batches plain, committed and aborted; some end with an abort.

    Returns what the producer kept: all but the aborted ones. The topic must take any timestamp (`make_topic`). Some
    batches of 1 to 20 records are written in a transaction, a third of those aborted, so the log's tail is often a
    control record.
    """
    chance = random.Random(seed)
    plain = _producer(bootstrap, chance)
    name = {"transactional.id": f"odd-{uuid.uuid4().hex}"}
    transactional = _producer(bootstrap, chance, **name)
    if transactions:
        transactional.init_transactions(60)
    kept: dict[int, list[Record]] = {number: [] for number in range(partitions)}
    for number in range(partitions):
        left = count
        while left > 0:
            batch = [odd_record(chance, null_keys=null_keys) for _ in range(min(left, chance.randint(1, 20)))]
            left -= len(batch)
            if transactions and chance.random() < 0.4:
                commit = chance.random() < 0.66
                kept[number] += _in_transaction(transactional, topic, number, batch, commit=commit)
            else:
                kept[number] += _send(plain, topic, number, batch)
    assert plain.flush(60) == 0
    if transactions:
        wait_ended(bootstrap, name)
    return kept


def odd_record(chance: random.Random, *, null_keys: bool = True) -> dict[str, Any]:
    """Arguments for `Producer.produce`."""
    now = 1767225600000
    stamps = (-1, -5, 1, now, now - 10**12, now + 10**12, 2**62, chance.randrange(2**41))
    headers = [(chance.choice(_NAMES), chance.choice([None, b"", b"\0\xff", b"v" * 70])) for _ in range(3)]
    return {
        "key": chance.choice([None, b"", b"k", b"\0\xff\xfe", b"%d" % chance.randrange(50)][0 if null_keys else 1 :]),
        "value": None if chance.random() < 0.15 else chance.randbytes(chance.choice(_SIZES)),
        "headers": (headers + headers[:1])[: chance.choice([0, 0, 1, 4])],
        "timestamp": chance.choice(stamps),
    }


def produce(
    bootstrap: str, topic: str, values: Iterable[bytes | None], *, partition: int = 0, keys: Sequence[bytes] = ()
) -> None:
    """Plain records to one partition, all acknowledged."""
    batch = [{"value": value, "key": keys[i] if keys else None} for i, value in enumerate(values)]
    producer = _producer(bootstrap, random.Random(0), **{"message.max.bytes": 1_000_000_000})
    _send(producer, topic, partition, batch)


def produce_transaction(
    bootstrap: str, topic: str, values: Iterable[bytes], *, partition: int = 0, commit: bool = True
) -> None:
    """Its end is in the log when this returns."""
    name = {"transactional.id": f"one-{uuid.uuid4().hex}"}
    producer = _producer(bootstrap, random.Random(0), **name)
    producer.init_transactions(60)
    _in_transaction(producer, topic, partition, [{"value": value} for value in values], commit=commit)
    wait_ended(bootstrap, name)


def wait_ended(bootstrap: str, name: Mapping[str, str]) -> None:
    """Until a transaction's end is in the log: its coordinator answers before, but gives its id again only then."""
    _producer(bootstrap, random.Random(0), **name).init_transactions(60)


def _producer(bootstrap: str, chance: random.Random, **more: Any) -> Producer:
    compression = chance.choice(["none", "gzip", "snappy", "lz4", "zstd"])
    settings = {"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "compression.type": compression, **QUICK}
    return Producer({**settings, "enable.idempotence": True, "message.timeout.ms": 60_000, **more})


def _send(producer: Producer, topic: str, partition: int, batch: Iterable[Mapping[str, Any]]) -> list[Record]:
    """The records as they were given, under the offsets that the delivery reports tell."""
    refused: list[KafkaError] = []
    sent: list[Record] = []

    def told(record: Mapping[str, Any], error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)
        else:
            sent.append(_given(message.offset() or 0, record))

    for record in batch:
        producer.produce(topic, partition=partition, on_delivery=partial(told, record), **record)
    assert producer.flush(60) == 0
    assert not refused, refused[0]
    return sorted(sent, key=lambda record: record.offset)


def _given(offset: int, given: Mapping[str, Any]) -> Record:
    headers = tuple((name.encode(), value) for name, value in given.get("headers") or ())
    return Record(offset, given.get("timestamp", 0), given.get("key"), given.get("value"), headers)


def _in_transaction(
    producer: Producer, topic: str, partition: int, batch: Iterable[Mapping[str, Any]], *, commit: bool
) -> list[Record]:
    """The records that count."""
    producer.begin_transaction()
    sent = _send(producer, topic, partition, batch)
    if commit:
        producer.commit_transaction(30)
        return sent
    producer.abort_transaction(30)
    return []
