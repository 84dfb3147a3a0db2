"""Reading whole topics with a plain consumer, to compare with. Nothing of Millpond's own reading is used."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from millpond.errors import MillpondError
from millpond.records import Record

_SILENCE_S = 30.0


def read_topic(bootstrap: str, topic: str) -> dict[int, list[Record]]:
    """All committed records of a topic by partition, in order, up to where read_committed goes now."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reads-once",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        return _read(consumer, {number: [] for number in partitions})
    finally:
        consumer.close()


def _read(consumer: Consumer, found: dict[int, list[Record]]) -> dict[int, list[Record]]:
    open_ones, deadline = set(found), time.monotonic() + _SILENCE_S
    while open_ones:
        for message in consumer.consume(1000, 0.5):
            deadline = time.monotonic() + _SILENCE_S
            error = message.error()
            if error is None:
                found[message.partition() or 0].append(record_of(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ones.discard(message.partition() or 0)
            else:
                raise MillpondError(f"cannot read partition {message.partition()}: {error}")
        if time.monotonic() > deadline:
            raise MillpondError(f"partitions {sorted(open_ones)} gave nothing for {_SILENCE_S} s")
    return found


def record_of(message: Message) -> Record:
    headers = tuple((name.encode(), value) for name, value in message.headers() or ())  # type: ignore[str-unpack]
    _, stamp = message.timestamp()
    return Record(message.offset(), stamp, message.key(), message.value(), headers)  # type: ignore[arg-type]


def digest(partitions: dict[int, list[Record]], keep: Callable[[Record], bool] = lambda record: True) -> str:
    """A digest over everything but the offsets, which a restore may change."""
    total = hashlib.sha256()
    for number in sorted(partitions):
        for record in filter(keep, partitions[number]):
            total.update(repr((number, *record[1:])).encode())
    return total.hexdigest()


def differences(source: dict[int, list[Record]], target: dict[int, list[Record]]) -> Iterable[str]:
    """What is not the same, offsets aside; nothing where all is."""
    for number in sorted(source.keys() | target.keys()):
        ours, theirs = source.get(number, []), target.get(number, [])
        if len(ours) != len(theirs):
            yield f"partition {number} has {len(theirs)} records, not {len(ours)}"
        for one, other in zip(ours, theirs, strict=False):
            if one[1:] != other[1:]:
                yield f"partition {number}: the record of offset {one.offset} differs at offset {other.offset}"
