"""Ranges of a topic's records, one after the other, through one consumer that joins no group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType

from confluent_kafka import KafkaError, Message

from millpond.errors import TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.failures import consumer_of, explained
from millpond.kafka.headers import has_text_names
from millpond.kafka.places import Place, position
from millpond.records import Row

_AT_ONCE = 500
_WAIT_S = 0.1
_WITHIN_S = 60.0
_POSITION_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}


class LogReader:
    """Reads committed records. Neighbouring ranges cost no new request. One thread at a time, with `with`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._consumer = consumer_of(cluster.address.consumer_settings("millpond-compare"))
        self._next: tuple[Place, int] | None = None
        self._reached = -1
        self._held: list[Message] = []
        self.starts: dict[Place, int] = {}
        """Log starts that were found to have moved while their partitions were read."""

    def batches(self, place: Place, first: int, end: int) -> Iterator[list[Message]]:
        """The records from `first` up to `end` (exclusive), which must not lie behind the last stable offset.

        Records below the log start are passed over: `starts` tells then where it is.

        Raises:
            TryAgain: The brokers do not answer.
            MillpondError: They refuse.
        """
        if self._next != (place, first):
            self._seek(place, first)
        self._next = None  # whoever leaves in the middle has to seek again
        while first < end:
            due = [message for message in self._held if _offset(message) < end]
            self._held = self._held[len(due) :]
            if due:
                yield due
            if self._held or self._reached >= end:
                break
            self._fetch(place)
        self._next = place, end

    def _fetch(self, place: Place) -> None:
        """Until there are records, or it is known that none come before a later offset."""
        deadline, before = time.monotonic() + _WITHIN_S, self._reached
        while self._reached == before:
            found = self._consumer.consume(_AT_ONCE, _WAIT_S)
            self._held = self._records(place, found) if any(map(Message.error, found)) else found
            if self._held:
                self._reached = max(self._reached, _offset(self._held[-1]) + 1)
            elif self._reached == before and time.monotonic() > deadline:
                raise TryAgain("{}-{} gave nothing at offset {} for {:.0f} s".format(*place, before, _WITHIN_S))

    def rows(self, place: Place, first: int, end: int) -> Iterator[tuple[Row, int, bool]]:
        """The same one by one, as records: each with the client's number of its timestamp type, and whether its headers
        could be read; those that could not are left out."""
        for batch in self.batches(place, first, end):
            for message in batch:
                readable = has_text_names(message)
                kind, stamp = message.timestamp()
                headers = message.headers() or () if readable else ()
                named = tuple((name.encode(), value) for name, value in headers)  # type: ignore[str-unpack]
                yield (_offset(message), stamp, message.key(), message.value(), named), kind, readable  # type: ignore[misc]

    def _seek(self, place: Place, offset: int) -> None:
        self._held, self._reached = [], offset
        self._consumer.assign([position(place, offset)])

    def _records(self, place: Place, found: list[Message]) -> list[Message]:
        """The records among these; the end of the partition and a log start that moved are noted."""
        records = []
        for message in found:
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                # It lies behind control records and aborted ones, which are never delivered.
                self._reached = max(self._reached, _offset(message))
            elif error.code() in _POSITION_GONE:
                self._go_on_at_start(place, error)
            elif not error.retriable() and message.topic() is not None:
                # What concerns no topic is about a group, which is never joined: it needs no rights.
                raise explained(error, "cannot read {}-{}".format(*place), self._cluster.address.brokers)
        return records

    def _go_on_at_start(self, place: Place, error: KafkaError) -> None:
        start = self._cluster.log_starts([place])[place]
        if start <= self._reached:
            raise explained(error, "cannot read {}-{}".format(*place), self._cluster.address.brokers)
        self.starts[place] = start
        self._seek(place, start)

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()


def _offset(message: Message) -> int:
    found: int = message.offset()  # type: ignore[assignment]  # records and ends of partitions have offsets
    return found
