"""One target partition: writing in exact order, and reading back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from confluent_kafka import Consumer, KafkaError, Message

from millpond.errors import RefusedForSafety, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.answers import Refusal
from millpond.kafka.failures import explained
from millpond.kafka.metadata import broker_settings, describe_cluster
from millpond.kafka.places import Place, position
from millpond.records import Row
from millpond.restore.writing.claim import Claim
from millpond.restore.writing.session import Session, refusing_properties
from millpond.restore.writing.source_offset import with_source_offsets
from millpond.restore.writing.standstill import LIMIT_S
from millpond.restore.writing.throttle import Throttle

_STEP_S = 0.5
_READ_S = 60
_STILL_S = 2.0
_RESTLESS_S = 30.0
_BEHIND_S = 30.0
_LAG_MS = 30_000
"""Kafka's default of `replica.lag.time.max.ms`."""


def still_ends(cluster: Cluster, places: Iterable[Place]) -> dict[Place, int]:
    """End of each partition once it has not moved for two seconds, longer where records may be hidden; one that goes on
    moving is left out.

    Records of a worker that was killed may land after a first look at the end.
    """
    wanted = list(places)
    ends = cluster.ends(wanted)
    still_s = max(_STILL_S, _hidden_s(cluster, ends))
    deadline = time.monotonic() + max(_RESTLESS_S, 2 * still_s)
    while True:
        time.sleep(still_s)
        again = cluster.ends(wanted)
        if again == ends or time.monotonic() > deadline:
            return {place: end for place, end in again.items() if end == ends[place]}
        ends = again


def _hidden_s(cluster: Cluster, ends: Mapping[Place, int]) -> float:
    """How long records of an earlier worker may be at the leader and not show, as a follower is silent: until it is
    given up, which leaders look for twice in `replica.lag.time.max.ms`. 0 where nothing was written, or has no copies.

    By then a worker that stands still is no more, too.
    """
    starts = cluster.log_starts(ends)
    begun = {place[0] for place, end in ends.items() if end > starts[place]}
    if not any(found.replication > 1 for found in cluster.describe(begun).values()):
        return 0
    told = broker_settings(cluster, describe_cluster(cluster).racks).values()
    texts = [
        text
        for one in told
        if not isinstance(one, Refusal)
        for kind in (one.static, one.dynamic_defaults, one.dynamic)
        if (text := kind.get("replica.lag.time.max.ms"))
    ]
    return max(LIMIT_S, 1.5 * max(map(int, texts), default=_LAG_MS) / 1000)


def refuse_other_ends(cluster: Cluster, due: Mapping[Place, int]) -> None:
    """Partitions must end where our count puts it; all records up to there are acknowledged.

    A leader that has just been elected, or does not know yet that another one was, may tell less: it is asked again.

    Raises:
        RefusedForSafety: Somebody else writes to a partition.
        TryAgain: Acknowledged records are not there, or nobody tells.
    """
    ends = _ends_reached(cluster, due)
    for place, end in due.items():
        if ends[place] > end:
            raise RefusedForSafety(
                "{}-{} ends at {} after writing up to {}: somebody else writes to it".format(*place, ends[place], end),
                hint="stop other producers, delete the target topic and restore again",
            )
        if ends[place] < end:
            raise TryAgain(
                "{}-{} ends at {} although records up to {} are acknowledged".format(*place, ends[place], end),
                hint="see whether the target's brokers are in order; the run writes again what is not there",
            )


def _ends_reached(cluster: Cluster, due: Mapping[Place, int]) -> dict[Place, int]:
    deadline = time.monotonic() + _BEHIND_S
    while True:
        last = time.monotonic() > deadline
        try:
            ends = cluster.ends(due)
        except TryAgain:
            if last:
                raise
        else:
            if last or all(ends[place] >= end for place, end in due.items()):
                return ends
        time.sleep(_STEP_S)


class TargetPartition:
    """Writes records to one partition. Any delivery error ends it: what is written is a prefix of what was given.

    Attributes:
        end: Of the partition, once everything is written.
        source_offsets: Whether each record gets the header that tells its source offset.
    """

    def __init__(
        self,
        cluster: Cluster,
        session: Session,
        place: Place,
        end: int,
        *,
        source_offsets: bool = False,
        throttle: Throttle | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.place, self.end, self.source_offsets = place, end, source_offsets
        self._cluster, self._throttle, self._claim = cluster, throttle or Throttle(None), claim
        self._session = session
        self._first = True

    def write(self, rows: list[Row]) -> None:
        """Hands the records over as fast as it may; they are written once `settle` returns.

        Raises:
            RefusedForSafety: Another worker has the partition, or has written to it.
        """
        given = with_source_offsets(rows) if self.source_offsets else rows
        for portion in self._throttle.portions(given, self._session.wait):
            self._confirm_claim()
            self._write(portion)

    def _write(self, rows: list[Row]) -> None:
        if self._first and rows:
            self._first = False
            self._send(rows[:1])
            self.settle()
            rows = rows[1:]
        self._send(rows)

    def _confirm_claim(self) -> None:
        if self._claim is not None and self._claim.check():
            self.settle()

    def _send(self, rows: list[Row]) -> None:
        self._session.send(self.place, rows)
        self.end += len(rows)

    def settle(self) -> None:
        """Until everything is written; the partition's end must be where our count puts it.

        Raises:
            RefusedForSafety: Somebody else writes to the partition.
        """
        self._session.flush()
        refuse_other_ends(self._cluster, {self.place: self.end})


def read_back(cluster: Cluster, place: Place, start: int, end: int) -> Iterator[list[Message]]:
    """The records of a partition from `start` up to `end` (exclusive), in batches; offsets without one are passed over.

    What this run writes leaves none out: fewer records than offsets means that somebody else wrote a transaction.
    """
    with refusing_properties():
        consumer = Consumer(cluster.address.reading_back_settings())
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
    # What concerns no topic is about a group, which is never joined: it needs no rights.
    if error.code() == KafkaError._PARTITION_EOF or error.retriable() or message.topic() is None:
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


def foreign(place: Place, offset: int) -> RefusedForSafety:
    """The refusal of a record that some other producer wrote."""
    return RefusedForSafety(
        "{}-{} holds a record at offset {} that this run did not write".format(*place, offset),
        hint="stop other producers, delete the target topic and restore again with a new --run-id",
    )


_CHANGED = "the target topic was changed by somebody else; delete it and restore again with a new --run-id"
