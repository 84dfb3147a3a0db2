"""One target partition: writing in exact order within one producer session, and reading back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from millpond.errors import MillpondError, RefusedForSafety, TryAgain, WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.failures import explained
from millpond.kafka.places import Place, position
from millpond.records import Header, Row

_FLUSH_S = 120
_STEP_S = 0.5
_READ_S = 60
_STILL_S = 2.0
_RESTLESS_S = 30.0
_SESSION_ENDED = (KafkaException, SystemError)
"""What the client's calls raise after a refusal; SystemError if that happened while a delivery report was given."""


@contextmanager
def refusing_properties() -> Iterator[None]:
    """`WrongUsage` where a client that is made inside the block refuses its settings."""
    try:
        yield
    except KafkaException as failure:
        raise WrongUsage(
            f"the Kafka client refuses its settings: {failure.args[0].str().strip()}", hint="check --to-kafka"
        ) from failure


def still_ends(cluster: Cluster, places: Iterable[Place]) -> dict[Place, int]:
    """End of each partition once it has not moved for two seconds; one that goes on moving is left out.

    Records of a worker that was killed may land after a first look at the end.
    """
    wanted = list(places)
    ends, deadline = cluster.ends(wanted), time.monotonic() + _RESTLESS_S
    while True:
        time.sleep(_STILL_S)
        again = cluster.ends(wanted)
        if again == ends or time.monotonic() > deadline:
            return {place: end for place, end in again.items() if end == ends[place]}
        ends = again


class TargetPartition:
    """Writes records to one partition. Any delivery error ends it: what is written is a prefix of what was given."""

    def __init__(self, cluster: Cluster, place: Place, end: int) -> None:
        self.place, self.end = place, end
        self._cluster = cluster
        self._errors: list[KafkaError] = []
        errors = self._errors  # not `self`: a producer and its owner in a cycle would live on, threads and buffers too
        with refusing_properties():
            self._producer = Producer(cluster.address.producer_settings(lambda error, _: errors.append(error)))
        self._first = True

    def write(self, rows: Sequence[Row]) -> None:
        """Hands the records over; they are written once `settle` returns."""
        if self._first and rows:
            self._first = False
            self._send(rows[:1])
            self.settle()
            rows = rows[1:]
        self._send(rows)

    def _send(self, rows: Sequence[Row]) -> None:
        produce = self._producer.produce
        topic, partition = self.place
        with self._session():
            for offset, stamp, key, value, headers in rows:
                named = texts(headers, offset) if headers else None
                while True:
                    try:
                        produce(topic, value, key, partition, None, None, stamp, named)
                        break
                    except BufferError:
                        self._producer.poll(0.01)
                        self._raise()
            self._producer.poll(0)
        self.end += len(rows)

    def settle(self) -> None:
        """Until everything is written; the partition's end must be where our count puts it.

        Raises:
            RefusedForSafety: Somebody else writes to the partition.
        """
        self._flush()
        end = self._cluster.ends([self.place])[self.place]
        if end != self.end:
            raise RefusedForSafety(
                f"{self._name()} ends at {end} after writing up to {self.end}: somebody else writes to it",
                hint="stop other producers, delete the target topic and restore again",
            )

    def _flush(self) -> None:
        """In short steps: after a refusal the client waits to the end of a step for records that it will never send."""
        deadline, left = time.monotonic() + _FLUSH_S, 1
        while left:
            with self._session():
                left = self._producer.flush(_STEP_S)
            if left and time.monotonic() > deadline:
                raise TryAgain(f"{left} records for {self._name()} were not written within {_FLUSH_S} s")

    def close(self) -> None:
        """Drops what was not written yet."""
        self._producer.purge()
        with suppress(*_SESSION_ENDED):
            self._producer.flush(_STEP_S)

    @contextmanager
    def _session(self) -> Iterator[None]:
        """Raises what the brokers refused inside the block, rather than that the session has ended because of it."""
        try:
            yield
        except _SESSION_ENDED as failure:
            with suppress(*_SESSION_ENDED):
                self._producer.flush(_STEP_S)
            self._raise()
            if isinstance(failure, KafkaException):
                raise explained(failure.args[0], self._attempt(), self._cluster.address.brokers) from failure
            raise MillpondError(f"{self._attempt()}: the producer's session has ended") from failure
        self._raise()

    def _raise(self) -> None:
        if self._errors:
            raise explained(self._errors[0], self._attempt(), self._cluster.address.brokers)

    def _attempt(self) -> str:
        return f"cannot write to {self._name()}"

    def _name(self) -> str:
        return "{}-{}".format(*self.place)


def texts(headers: tuple[Header, ...], offset: int) -> list[tuple[str, str | bytes | None]]:
    """Headers as the client takes them: it would write the keys' Python notation if they were bytes.

    Raises:
        MillpondError: A key is not UTF-8, which the client cannot write.
    """
    try:
        return [(key.decode(), value) for key, value in headers]
    except UnicodeDecodeError as error:
        raise MillpondError(
            f"the record of source offset {offset} has a header whose key is not UTF-8",
            hint="the Kafka client cannot write it; leave the topic out",
        ) from error


def read_back(cluster: Cluster, place: Place, start: int, end: int) -> Iterator[list[Message]]:
    """The records of a partition from `start` up to `end` (exclusive), in batches; offsets without one are passed over.

    What this run writes leaves none out: fewer records than offsets means that somebody else wrote a transaction.
    """
    with refusing_properties():
        consumer = Consumer(cluster.address.consumer_settings("millpond-read-back"))
    try:
        consumer.assign([position(place, start)])
        at, deadline = start, time.monotonic() + _READ_S
        while at < end:
            # consume() waits until it has as many as it was asked for: asking for more costs a second at every end.
            found = consumer.consume(min(500, end - at), 1.0)
            events = any(map(Message.error, found))
            messages = [message for message in found if _is_record(message, cluster)] if events else found
            if messages:
                deadline = time.monotonic() + _READ_S
                beyond = (messages[-1].offset() or 0) >= end
                kept = [message for message in messages if (message.offset() or 0) < end] if beyond else messages
                at = (messages[-1].offset() or 0) + 1
                yield kept
            elif time.monotonic() > deadline:
                raise TryAgain("{}-{} gave nothing at offset {} for {} s".format(*place, at, _READ_S))
            if events and any(message.error() is not None and (message.offset() or 0) >= end for message in found):
                return  # the end-of-partition event lies behind control records, which are never delivered
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
        raise RefusedForSafety("{}-{} ends at {}, it was prepared at {}".format(*place, end, base), hint=_CHANGED)


def refuse_moved(place: Place, base: int, start: int) -> None:
    """`RefusedForSafety` where the log begins behind the first record of this run: somebody deleted records."""
    if start > base:
        raise RefusedForSafety(
            "{}-{} begins at {}, this run's first record was at {}".format(*place, start, base), hint=_CHANGED
        )


_CHANGED = "the target topic was changed by somebody else; delete it and restore again with a new --run-id"
