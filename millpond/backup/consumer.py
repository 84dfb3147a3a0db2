"""The consumer's thread: records in, windows closed, stored, committed. It owns Kafka and the windows and never waits.

Partitions are assigned by the group, but read only from the position that the archive gives, found in the background.
A partition that is given up, moved or lost is closed and stored all the same: its topic may be gone, and a range that
two workers store does no harm.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from millpond.archive.identity import Identity
from millpond.archive.keys import Layout, PartitionId
from millpond.archive.schema import TimestampType
from millpond.backup.background import Question
from millpond.backup.commits import CommitNote, archived_before
from millpond.backup.confirm import Confirmation, belongs, look
from millpond.backup.options import BackupOptions
from millpond.backup.partition import WAITING, PartitionBackup
from millpond.backup.positions import Start, find_starts
from millpond.backup.spool import SpoolFolder
from millpond.backup.topics import TopicWatch
from millpond.backup.upload import Stored, Uploads
from millpond.backup.window import BlockWriter, OpenWindow
from millpond.clock import now_ms
from millpond.errors import MillpondError
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place, position
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_BATCH, _BATCH_WAIT_S = 500, 0.2
# A batch is thousands of objects without cycles. To look for some every 700 objects costs a tenth of all CPU.
_COLLECT_AFTER = 50_000
_TICK_S = 0.05
_SEARCH_EVERY_S = 1.0
_STOP_WITHIN_S = 8.0
_REFUSALS, _REMEMBER_REFUSALS_S = 3, 30.0
_POSITION_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_TOPIC_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class BackupConsumer:
    """One member of the backup's consumer group.

    Attributes:
        active: Partitions that are being read, by place.
        failed: Why a partition was stopped; the others go on.
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        cluster: Cluster,
        identity: Identity,
        options: BackupOptions,
        spool: SpoolFolder,
        stop: threading.Event,
    ) -> None:
        self._store, self._layout, self._cluster, self._options = store, layout, cluster, options
        self._identity, self._spool, self._stop = identity, spool, stop
        self.active: dict[Place, PartitionBackup] = {}
        self.failed: dict[Place, str] = {}
        self._leaving: list[PartitionBackup] = []
        self._without_start: set[Place] = set()
        self._refusals: Counter[tuple[PartitionId, int]] = Counter()
        self._paused: set[Place] = set()
        self._subscribed: list[str] = []
        self._closing = False
        self._next_tick = self._next_search = self._forget_refusals = 0.0
        self._writer = BlockWriter()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="questions")
        self._starts: Question[list[Start]] = Question(self._pool)
        self._confirmation = Confirmation(cluster, self._pool, options.confirm_after_s)
        self._uploads = Uploads(store, layout, identity, stop)
        self._topics = TopicWatch(store, layout, cluster, options.selection, self._pool, options.discover_every_s)
        self._group_id = options.group_id or f"millpond-{identity.archive_id}"
        settings = cluster.address.consumer_settings(self._group_id)
        self._consumer = Consumer({**settings, "on_commit": self._on_commit})
        gc.set_threshold(_COLLECT_AFTER)

    # -- the loop

    def step(self) -> None:
        """Reads one batch and does what is due."""
        messages = self._consumer.consume(_BATCH, _BATCH_WAIT_S)
        now = time.monotonic()
        for place, run in _runs(messages):
            self._take(place, run, now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._tick(now)

    def _take(self, place: Place, run: Sequence[Message], now: float) -> None:
        error = run[0].error()
        partition = self.active.get(place)
        if error is not None:
            self._on_error(place, run[0], error, now)
        elif partition is not None and not partition.take(run, now):
            self._seek(partition, "the leader epoch fell", now)

    def _tick(self, now: float) -> None:
        if (topics := self._topics.tick(now)) is not None:
            self._follow_topics(topics, now)
        self._find_starts(now)
        for partition in self.active.values():
            if partition.due(now, max_age_s=self._options.max_age_s, max_bytes=self._options.max_bytes):
                partition.close(now)
        for partition in self._confirmation.tick(self._everything(), now):
            self._drop_mixed(partition, now)
        self._commit(self._uploads.tick(self._everything()))
        self._leaving = [partition for partition in self._leaving if partition.closed]
        self._hold_back()

    def holds(self, partition: PartitionId) -> bool:
        """Whether something that was read of it is still to be stored."""
        return any(p.partition == partition and p.stored < p.position for p in self._everything())

    def _everything(self) -> list[PartitionBackup]:
        return [*self.active.values(), *self._leaving]

    # -- topics and assignment

    def subscribe(self, topics: list[str]) -> None:
        """Reads these topics from now on, together with the group."""
        self._subscribed = sorted(topics)
        callbacks = {"on_assign": self._on_assign, "on_revoke": self._on_revoke, "on_lost": self._on_revoke}
        self._consumer.subscribe(self._subscribed, **callbacks)

    def _follow_topics(self, topics: dict[str, TopicDescription], now: float) -> None:
        for place, partition in list(self.active.items()):
            found = topics.get(place[0])
            if found is None:
                partition.close(now)
            elif found.topic_id != partition.partition.incarnation.topic_id:
                _LOG.warning("topic %s was made again as %s", place[0], found.topic_id)
                self._relocate(place, now)
        if topics and sorted(topics) != self._subscribed:
            _LOG.info("topics are now %s", ", ".join(sorted(topics)))
            self.subscribe(list(topics))

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # An empty assignment: nothing is read before its position is known.
        consumer.incremental_assign([])
        self._without_start |= {(p.topic, p.partition) for p in partitions} - self.failed.keys()

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(p.topic, p.partition) for p in partitions}
        # Called even for none: else the client unassigns all of them itself, and fails at those that are not read.
        consumer.incremental_unassign([TopicPartition(*place) for place in places & self.active.keys()])
        if self._closing:
            return
        self._without_start -= places
        for place in places & self.active.keys():
            self._leave(place, time.monotonic())

    def _give_up(self, place: Place, now: float) -> None:
        """Stops reading; what was read is stored."""
        if place in self.active:
            self._consumer.incremental_unassign([TopicPartition(*place)])
            self._leave(place, now)

    def _leave(self, place: Place, now: float) -> None:
        partition = self.active.pop(place)
        partition.close(now)
        self._leaving.append(partition)
        self._paused.discard(place)

    def _seek(self, partition: PartitionBackup, reason: str, now: float) -> None:
        """Goes on where the archive says. Refused there again and again, the log was cut and has grown since."""
        if now >= self._forget_refusals:
            self._refusals.clear()
            self._forget_refusals = now + _REMEMBER_REFUSALS_S
        where = partition.partition, partition.position
        self._refusals[where] += 1
        if self._refusals[where] > _REFUSALS:
            self._fail(partition.place, f"Kafka does not go on behind offset {where[1] - 1}: {reason}", now)
        else:
            _LOG.warning("looking for the position of %s again: %s", partition.partition, reason)
            self._relocate(partition.place, now)

    def _relocate(self, place: Place, now: float) -> None:
        """Stops reading, and goes on where the archive says once it holds what was read so far."""
        self._give_up(place, now)
        self._without_start.add(place)

    def _drop_mixed(self, partition: PartitionBackup, now: float) -> None:
        """Forgets what may be of either life of a topic that was made again; the new life is read from its start."""
        _LOG.error(
            "%s was made again: offsets from %d on were read before that was known, may be of either life, are dropped",
            partition.partition,
            partition.unconfirmed_from,
        )
        if self.active.get(partition.place) is partition:
            self._relocate(partition.place, now)
        partition.discard_unconfirmed()

    def _fail(self, place: Place, reason: str, now: float) -> None:
        """Stops the partition for good; nothing unconfirmed of it is stored."""
        _LOG.error("stopped %s-%d: %s", *place, reason)
        self.failed[place] = reason
        self._without_start.discard(place)
        self._give_up(place, now)
        for partition in self._leaving:
            if partition.place == place:
                partition.discard_unconfirmed()

    def _find_starts(self, now: float) -> None:
        found = self._starts.answer(now)
        for start in found or []:
            self._begin(start, now)
        if found is not None and self._without_start:
            self._next_search = now + _SEARCH_EVERY_S  # some topics are gone; the group will take them from us
        pending = {partition.place for partition in self._leaving}
        wanted = sorted(self._without_start - pending)
        if wanted and now >= self._next_search:
            self._starts.ask(lambda: self._look_for_starts(wanted), now)

    def _look_for_starts(self, wanted: Sequence[Place]) -> list[Start]:
        commits = self._cluster.group_commits(self._group_id)
        before = partial(archived_before, commits, self._identity.archive_id)
        return find_starts(self._store, self._layout, self._cluster, wanted, now_ms(), before)

    def _begin(self, start: Start, now: float) -> None:
        place = start.partition.topic, start.partition.partition
        if place not in self._without_start:
            return
        self._without_start.discard(place)
        if start.position > start.log_end:
            self._fail(
                place, f"the archive covers offsets up to {start.position - 1}, Kafka ends at {start.log_end}", now
            )
            return
        self.active[place] = PartitionBackup(start, self._open_window)
        self._consumer.incremental_assign([position(place, start.position, epoch=start.epoch)])
        _LOG.info("reading %s from offset %d", start.partition, start.position)

    def _open_window(self, first: int, epoch: int, kind: TimestampType, now: float) -> OpenWindow:
        return OpenWindow(
            self._spool.new_path(),
            self._writer,
            codec=self._options.codec,
            block_bytes=self._options.block_bytes,
            first=first,
            epoch=epoch,
            timestamp_type=kind,
            opened_at=now,
        )

    def _on_error(self, place: Place, message: Message, error: KafkaError, now: float) -> None:
        partition = self.active.get(place)
        if error.code() == KafkaError._PARTITION_EOF:
            if partition is not None:
                partition.reached_end(message.offset(), now)  # type: ignore[arg-type]  # the event has one
        elif partition is not None and error.code() in _POSITION_GONE:
            self._seek(partition, error.str(), now)
        elif partition is None or error.retriable() or error.code() in _TOPIC_GONE:
            _LOG.warning("Kafka says: %s", error.str())
        else:
            self._fail(place, error.str(), now)

    # -- behind the store

    def _commit(self, stored: Iterable[Stored]) -> None:
        """Tells the group; the archive's listing is what counts, so a commit that fails costs nothing."""
        offsets = []
        for item in stored:
            incarnation = item.partition.incarnation
            note = CommitNote(self._identity.archive_id, incarnation.topic_id, item.key)
            where = (incarnation.topic, item.partition.partition)
            if where in self.active and self.active[where].partition == item.partition:
                offsets.append(position(where, item.next_offset, epoch=item.epoch, metadata=note.text()))
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        if error is not None:
            _LOG.warning("a commit failed, which costs a listing at the next start: %s", error.str())

    def _hold_back(self) -> None:
        """Pauses partitions that read faster than the store takes."""
        full = {place for place, partition in self.active.items() if len(partition.closed) >= WAITING}
        if pause := full - self._paused:
            self._consumer.pause([TopicPartition(*place) for place in pause])
        if resume := (self._paused - full) & self.active.keys():
            self._consumer.resume([TopicPartition(*place) for place in resume])
        self._paused = full

    # -- the end

    def close(self) -> None:
        """Stores what only this process has, forgets the rest (Kafka has it), leaves the group. Takes seconds.

        Raises:
            TryAgain: The store does not answer.
        """
        try:
            self._store_the_last()
        finally:
            self._closing = True
            self._consumer.close()
            self._uploads.close()
            for partition in self._everything():
                partition.discard()
            self._writer.close()
            self._pool.shutdown(cancel_futures=True)

    def _store_the_last(self) -> None:
        now = time.monotonic()
        for partition in self._only_here(now):
            partition.close(now)
            for closed in partition.closed:
                closed.confirmed = True
        deadline = now + _STOP_WITHIN_S
        while time.monotonic() < deadline:
            self._commit(self._uploads.tick(p for p in self._everything() if p.closed and p.closed[0].confirmed))
            if self._uploads.idle:
                break
            time.sleep(_TICK_S)

    def _only_here(self, now: float) -> list[PartitionBackup]:
        """Partitions of lives of topics that are over, or all where the brokers do not answer."""
        everything = [partition for partition in self._everything() if partition.place not in self.failed]
        expected = {partition.place: partition.partition.incarnation.topic_id for partition in everything}
        try:
            seen = look(self._cluster, expected, now)
        except MillpondError as error:
            _LOG.warning("storing all that was read, because the brokers do not answer: %s", error.args[0])
            return everything
        over = [p for p in everything if seen.ids.get(p.place[0]) != p.partition.incarnation.topic_id]
        return [partition for partition in over if belongs(partition, seen)]


def _runs(messages: Sequence[Message]) -> Iterator[tuple[Place, list[Message]]]:
    """Neighbouring records of one partition together; what is no record stands alone."""
    for _, neighbours in groupby(messages, key=Message.partition):  # what can be asked without a Python function is
        run = list(neighbours)
        if any(map(Message.error, run)) or len(set(map(Message.topic, run))) > 1:
            yield from _told_apart(run)
        else:
            yield _place(run[0]), run


def _told_apart(messages: Sequence[Message]) -> Iterator[tuple[Place, list[Message]]]:
    for is_event, batch in groupby(messages, key=_is_event):
        if is_event:
            yield from ((_place(message), [message]) for message in batch)
        else:
            yield from ((place, list(run)) for place, run in groupby(batch, key=_place))


def _is_event(message: Message) -> bool:
    return message.error() is not None


def _place(message: Message) -> Place:
    topic, number = message.topic(), message.partition()
    return topic or "", -1 if number is None else number
