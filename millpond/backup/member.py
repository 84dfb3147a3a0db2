"""This process as a member of the consumer group: what it reads and holds back, what it commits and what it hears."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from millpond.backup.commits import CommitNote
from millpond.backup.upload import Stored
from millpond.errors import RefusedForSafety, TryAgain
from millpond.kafka.failures import consumer_of, tells_why
from millpond.kafka.places import Place, position
from millpond.kafka.settings import ClusterAddress

_LOG = logging.getLogger(__name__)
_SILENT_S = 30.0
_FENCED = {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}
_COMMITS_WAIT_S = 60.0  # librdkafka's socket.timeout.ms


class FencedByItself(TryAgain):
    """A commit from before the session's end came to Kafka after this static member had joined again.

    librdkafka keeps commits while the coordinator is away, and takes the answer as fatal.
    """


class Member:
    """The Kafka client and what only it knows. For one thread.

    Attributes:
        reading: Partitions that are read.
        paused: Those of them that are held back.
        in_group: Whether the group has given it its share, if only of nothing, and the session has not ended since.
        heard_at: When the brokers last answered anything, by the monotonic clock.
        refused: Whether brokers refuse new connections: credentials or certificates are no longer right.
    """

    def __init__(self, address: ClusterAddress, group_id: str, archive_id: str) -> None:
        self.reading: set[Place] = set()
        self.paused: set[Place] = set()
        self.in_group = False
        self.heard_at = time.monotonic()
        self.refused = False
        self._archive_id = archive_id
        self._unheard: dict[Place, float] = {}
        self._closing = False
        self._lost_at = -_COMMITS_WAIT_S
        told: dict[str, Any] = {"on_commit": self._on_commit, "error_cb": self._on_client_error}
        self._consumer = consumer_of(address.consumer_settings(group_id) | told)

    # -- the group

    def subscribe(
        self,
        topics: list[str],
        given: Callable[[set[Place], float], None],
        taken: Callable[[set[Place], float], None],
    ) -> None:
        """Shares these topics with the group. Partitions that were `taken` are no longer read."""

        def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            # An empty assignment: nothing is read before its position is known.
            consumer.incremental_assign([])
            self.in_group = True
            given({(p.topic, p.partition) for p in partitions}, time.monotonic())

        def on_revoke(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            places = {(p.topic, p.partition) for p in partitions}
            # Called even for none: else the client unassigns all of them itself, and fails at those that are not read.
            self._resume(places & self.paused)
            consumer.incremental_unassign([TopicPartition(*place) for place in places & self.reading])
            self._forget(places)
            if not self._closing:
                taken(places, time.monotonic())

        def on_lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            self.in_group = False
            self._lost_at = time.monotonic()
            on_revoke(consumer, partitions)

        self._consumer.subscribe(topics, on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost)

    def close(self) -> None:
        """Leaves the group."""
        self._closing = True
        self._consumer.close()

    # -- reading

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        """Messages of all partitions, mixed."""
        return self._consumer.consume(count, timeout_s)

    def read(self, place: Place, offset: int, epoch: int) -> None:
        """Reads the partition from there on."""
        self.reading.add(place)
        self._unheard[place] = time.monotonic()
        self._consumer.incremental_assign([position(place, offset, epoch=epoch)])

    def leave(self, place: Place) -> None:
        """Reads no more of the partition."""
        if place in self.reading:
            self._resume({place} & self.paused)
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._forget({place})

    def _forget(self, places: set[Place]) -> None:
        self.reading -= places
        self.paused -= places
        for place in places:
            self._unheard.pop(place, None)

    def hold_back(self, places: set[Place]) -> None:
        """Pauses these of what is read, and resumes all others."""
        if pause := places - self.paused:
            self._consumer.pause([TopicPartition(*place) for place in pause])
        self._resume((self.paused - places) & self.reading)
        self.paused = places

    def _resume(self, places: set[Place]) -> None:
        """What is given up is resumed first: the client would keep it paused when it comes back."""
        if places:
            self._consumer.resume([TopicPartition(*place) for place in places])

    # -- what it hears

    def heard(self, place: Place, now: float) -> None:
        """Kafka has given a record of the partition, or said that there is none."""
        self.heard_at = now
        self.told(place)

    def told(self, place: Place) -> None:
        """Kafka has said something of the partition, if only an error."""
        self._unheard.pop(place, None)

    def silent(self, now: float) -> list[Place]:
        """Partitions of which Kafka has said nothing since they were read first, not even that they are at their end.

        Seen where a topic was made again so fast that the client did not notice: it waits for the old one for ever.
        """
        return [place for place, since in self._unheard.items() if now - since >= _SILENT_S]

    def end_of(self, place: Place) -> int:
        """The end of the log as the client last heard of it, -1 if it has not."""
        _, end = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return max(end, -1)

    def _on_client_error(self, error: KafkaError) -> None:
        self.refused = self.refused or tells_why(error)

    # -- commits

    def commit(self, stored: Iterable[Stored]) -> None:
        """Tells the group; the archive's listing is what counts, so a commit that fails costs nothing."""
        offsets = [self._commit_of(item) for item in stored]
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _commit_of(self, item: Stored) -> TopicPartition:
        incarnation = item.partition.incarnation
        note = CommitNote(self._archive_id, incarnation.topic_id, item.key)
        place = (incarnation.topic, item.partition.partition)
        return position(place, item.next_offset, epoch=item.epoch, metadata=note.text())

    def _on_commit(self, error: KafkaError | None, _: Sequence[TopicPartition]) -> None:
        if error is None:
            return
        if not self._closing:
            self.raise_if_fenced(error)
        _LOG.warning("a commit failed, which costs a listing at the next start: %s", error.str())

    def raise_if_fenced(self, error: KafkaError) -> None:
        """Raises where Kafka has ended this member, for good.

        Raises:
            FencedByItself: Another consumer of this process may go on.
            RefusedForSafety: Another process took this one's place.
        """
        if not error.fatal() and error.code() not in _FENCED:
            return
        ended = f"Kafka ended this member of the group: {error.str()}"
        if time.monotonic() - self._lost_at < _COMMITS_WAIT_S:
            raise FencedByItself(ended)
        raise RefusedForSafety(ended, hint="another process has the same group.instance.id; give each its own")
