"""One target partition: writing in exact order within one producer session, and reading back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, Message, Producer

from millpond.errors import MillpondError, RefusedForSafety, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.failures import explained
from millpond.kafka.places import Place, position
from millpond.records import Header, Row

_FLUSH_S = 120
_READ_S = 60
_STILL_S = 2.0


def still_ends(cluster: Cluster, places: Iterable[Place]) -> dict[Place, int]:
    """End of each partition once it has not moved for two seconds.

    Records of a worker that was killed may land after a first look at the end.
    """
    wanted = list(places)
    ends = cluster.ends(wanted)
    while True:
        time.sleep(_STILL_S)
        again = cluster.ends(wanted)
        if again == ends:
            return ends
        ends = again


class TargetPartition:
    """Writes records to one partition. Any delivery error ends it: what is written is a prefix of what was given."""

    def __init__(self, cluster: Cluster, place: Place, end: int) -> None:
        self.place, self.end = place, end
        self._cluster = cluster
        self._error: KafkaError | None = None
        self._producer = Producer(cluster.address.producer_settings(self._on_error))
        self._first = True

    def write(self, rows: Sequence[Row]) -> None:
        """Hands the records over; they are written once `settle` returns."""
        if self._first and rows:
            self._first = False
            self._send(rows[:1])
            self.settle()
            rows = rows[1:]
        self._send(rows)
        self._producer.poll(0)
        self._raise()

    def _send(self, rows: Sequence[Row]) -> None:
        produce = self._producer.produce
        topic, partition = self.place
        for _, stamp, key, value, headers in rows:
            while True:
                try:
                    produce(topic, value, key, partition, None, None, stamp, texts(headers) if headers else None)
                    break
                except BufferError:
                    self._producer.poll(0.01)
                    self._raise()
        self.end += len(rows)

    def settle(self) -> None:
        """Until everything is written; the partition's end must be where our count puts it.

        Raises:
            RefusedForSafety: Somebody else writes to the partition.
        """
        left = self._producer.flush(_FLUSH_S)
        self._raise()
        if left:
            raise TryAgain(f"{left} records for {self._name()} were not written within {_FLUSH_S} s")
        end = self._cluster.ends([self.place])[self.place]
        if end != self.end:
            raise RefusedForSafety(
                f"{self._name()} ends at {end} after writing up to {self.end}: somebody else writes to it",
                hint="stop other producers, delete the target topic and restore again",
            )

    def close(self) -> None:
        """Drops what was not written yet."""
        self._producer.purge()
        self._producer.flush(1)

    def _on_error(self, error: KafkaError, _: Message) -> None:
        self._error = self._error or error

    def _raise(self) -> None:
        if self._error is not None:
            failure = explained(self._error, f"cannot write to {self._name()}", self._cluster.address.brokers)
            raise failure

    def _name(self) -> str:
        return "{}-{}".format(*self.place)


def texts(headers: tuple[Header, ...]) -> list[tuple[str, str | bytes | None]]:
    """Headers as the client takes them: it would write the keys' Python notation if they were bytes.

    Raises:
        MillpondError: A key is not UTF-8, which the client cannot write.
    """
    try:
        return [(key.decode(), value) for key, value in headers]
    except UnicodeDecodeError as error:
        raise MillpondError("a record has a header whose key is not UTF-8; the Kafka client cannot write it") from error


def read_back(cluster: Cluster, place: Place, start: int, end: int) -> Iterator[list[Message]]:
    """The records of a partition from `start` up to `end` (exclusive), in batches."""
    consumer = Consumer(cluster.address.consumer_settings("millpond-read-back"))
    try:
        consumer.assign([position(place, start)])
        at, deadline = start, time.monotonic() + _READ_S
        while at < end:
            # consume() waits until it has as many as it was asked for: asking for more costs a second at every end.
            found = consumer.consume(min(500, end - at), 1.0)
            messages = [message for message in found if _is_record(message, cluster)]
            if messages:
                deadline = time.monotonic() + _READ_S
                kept = [message for message in messages if (message.offset() or 0) < end]
                at = (messages[-1].offset() or 0) + 1
                yield kept
            elif time.monotonic() > deadline:
                raise TryAgain("{}-{} gave nothing at offset {} for {} s".format(*place, at, _READ_S))
    finally:
        consumer.close()


def _is_record(message: Message, cluster: Cluster) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF or error.retriable():
        return False
    raise explained(error, "cannot read back what was restored", cluster.address.brokers)


def row_of(message: Message, offset: int) -> Row:
    """A message as a record, under another offset."""
    headers = tuple((name.encode(), value) for name, value in message.headers() or ())  # type: ignore[str-unpack]
    _, stamp = message.timestamp()
    return offset, stamp, message.key(), message.value(), headers  # type: ignore[return-value]


def refuse_missing(place: Place, base: int, end: int) -> None:
    """`RefusedForSafety` where the partition ends before it was prepared: somebody deleted records."""
    if end < base:
        raise RefusedForSafety(
            "{}-{} ends at {}, it was prepared at {}".format(*place, end, base),
            hint="the target topic was changed by somebody else; restore again with a new --run-id",
        )
