"""Producer sessions: records in exact order, and the first refusal ends it.

A worker keeps its producer from one partition to the next as long as nothing has gone wrong with it: the client asks
half a second in vain for what a new one needs before it writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import KafkaError, KafkaException, Producer

from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.failures import explained
from millpond.kafka.places import Place
from millpond.records import Row
from millpond.restore.writing.produce import produce_rows, unwritable
from millpond.restore.writing.throttle import size_of

_FLUSH_S = 120
_STEP_S = 0.5
_QUEUE = "queue.buffering.max.kbytes"
_LEAST_KBYTES = 64
_HEADER_BYTES = 32
"""More than a header takes beside its name and content."""
_ENDED = (KafkaException, SystemError)
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


class _Client:
    """A producer and what was refused.

    Attributes:
        made_for: KiB of the record that its queue was made to take; 0 where the queue is as large as always.
    """

    def __init__(self, cluster: Cluster, made_for: int = 0) -> None:
        self.made_for, self.errors = made_for, list[KafkaError]()
        self._address, self._fingerprint = cluster.address, cluster.address.fingerprint()
        errors = self.errors  # not `self`: a producer and its owner in a cycle would live on, threads and buffers too
        settings = cluster.address.producer_settings(lambda error, _: errors.append(error))
        with refusing_properties():
            self.producer = Producer(settings | ({_QUEUE: made_for} if made_for else {}))

    def is_clean(self) -> bool:
        """Whether it may serve another session: as if it were new, and made with what the files hold now."""
        idle = not self.errors and not len(self.producer)
        return idle and not self.made_for and self._fingerprint == self._address.fingerprint()

    def close(self) -> None:
        """Drops what was not written yet."""
        self.producer.purge()
        with suppress(*_ENDED):
            self.producer.flush(_STEP_S)


class Session:
    """Any delivery error ends it: what is written to each partition is a prefix of what was given for it."""

    def __init__(self, cluster: Cluster, client: _Client, name: str) -> None:
        self.client = client
        self._cluster, self._name = cluster, name

    def send(self, place: Place, rows: list[Row]) -> None:
        """Hands the records over as fast as the client takes them; they are written once `flush` returns.

        Raises:
            MillpondError: The brokers refuse, or a record cannot be written by the client.
        """
        given = 0
        with self._explained():
            while given < len(rows):
                empty, before = not len(self.client.producer), given
                given = self._give(place, rows, before)
                if empty and given == before:
                    self._make_room(rows[given])
                elif given < len(rows):
                    self.client.producer.poll(0.01)
                    self._raise()
            self.client.producer.poll(0)

    def wait(self, seconds: float) -> None:
        """Passes so many seconds with what the brokers answer."""
        with self._explained():
            self.client.producer.poll(seconds)

    def flush(self) -> None:
        """Until everything is written.

        In short steps: after a refusal the client waits to the end of a step for records that it will never send.
        """
        deadline, left = time.monotonic() + _FLUSH_S, 1
        while left:
            with self._explained():
                left = self.client.producer.flush(_STEP_S)
            if left and time.monotonic() > deadline:
                raise TryAgain(f"{left} records for {self._name} were not written within {_FLUSH_S} s")

    def _give(self, place: Place, rows: list[Row], start: int) -> int:
        try:
            return produce_rows(self.client.producer.produce, *place, rows, start)
        except UnicodeDecodeError as error:
            raise MillpondError(
                f"the record of source offset {unwritable(rows[start:])} has a header whose name is not UTF-8",
                hint="the Kafka client cannot write it; leave the topic out",
            ) from error

    def _make_room(self, row: Row) -> None:
        """A client with a queue for the record. The one before holds nothing any more: all of it is acknowledged."""
        self._raise()
        kbytes = max(_LEAST_KBYTES, (size_of(row) + _HEADER_BYTES * len(row[4])) // 1024 + _LEAST_KBYTES)
        if kbytes <= self.client.made_for:
            raise MillpondError(
                f"the record of source offset {row[0]} has {size_of(row)} bytes, more than the Kafka client takes"
            )
        self.client.close()
        self.client = _Client(self._cluster, kbytes)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raises what the brokers refused inside the block, rather than that the session has ended because of it."""
        try:
            yield
        except _ENDED as failure:
            with suppress(*_ENDED):
                self.client.producer.flush(_STEP_S)
            self._raise()
            if isinstance(failure, KafkaException):
                raise explained(failure.args[0], self._attempt(), self._cluster.address.brokers) from failure
            raise MillpondError(f"{self._attempt()}: the producer's session has ended") from failure
        self._raise()

    def _raise(self) -> None:
        if self.client.errors:
            raise explained(self.client.errors[0], self._attempt(), self._cluster.address.brokers)

    def _attempt(self) -> str:
        return f"cannot write to {self._name}"


class Sessions:
    """One worker's, one after the other."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._kept: _Client | None = None

    @contextmanager
    def open(self, name: str) -> Iterator[Session]:
        """A session, over at the end of the block. What is not written by then is dropped.

        Args:
            name: What it writes to, for messages.
        """
        session = Session(self._cluster, self._take(), name)
        try:
            yield session
            if session.client.is_clean():
                self._kept = session.client
        finally:
            if session.client is not self._kept:
                session.client.close()

    def _take(self) -> _Client:
        kept, self._kept = self._kept, None
        if kept is not None and kept.is_clean():
            return kept
        if kept is not None:
            kept.close()
        return _Client(self._cluster)

    def close(self) -> None:
        """Ends the producer that was kept."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None
