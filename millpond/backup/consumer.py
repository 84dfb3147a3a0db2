"""The consumer's thread: records in, windows closed, stored, committed. It owns Kafka and the windows and never waits.

Partitions are assigned by the group, but read only from the position that the archive gives, found in the background.
A partition that is given up, moved or lost is closed and stored all the same: its topic may be gone, and a range that
two workers store does no harm.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError, Message

from millpond.archive.identity import Identity
from millpond.archive.keys import Layout, PartitionId
from millpond.backup.assignment import Assignment, Stuck, find_each
from millpond.backup.background import Background, Question
from millpond.backup.batches import by_partition
from millpond.backup.budget import close_largest_windows, cut_largest_blocks, spool_limit
from millpond.backup.confirm import Confirmation
from millpond.backup.findings import Findings
from millpond.backup.flush import Flush
from millpond.backup.flushing import Flushing
from millpond.backup.judging import Judging
from millpond.backup.leaving import close_and_confirm, not_surely_in_kafka
from millpond.backup.lives import Lives
from millpond.backup.member import Member
from millpond.backup.options import BackupOptions
from millpond.backup.partition import WAITING, Detour, EpochFell, Jump, PartitionBackup
from millpond.backup.positions import Start, StartFinder
from millpond.backup.spool import SpoolFolder
from millpond.backup.standing import Standing
from millpond.backup.status import BackupStatus
from millpond.backup.store_window import store_window
from millpond.backup.tally import Tally
from millpond.backup.topics import TopicWatch
from millpond.backup.upload import Failed, Stored, StoreWindow, Uploads
from millpond.backup.windows import Windows
from millpond.clock import now_ms
from millpond.errors import DamagedArchive
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.failures import explained
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_BATCH, _BATCH_WAIT_S = 500, 0.2
# A batch is thousands of objects without cycles. To look for some every 700 objects costs a tenth of all CPU.
_COLLECT_AFTER = 50_000
_TICK_S = 0.05
_STOP_WITHIN_S = 8.0
_LAST_COPIES_WITHIN_S = 100.0
_POSITION_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}
_TOPIC_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}


class BackupConsumer:
    """One member of the backup's consumer group.

    Attributes:
        active: Partitions that are being read, by place.
        member: The Kafka client.
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        cluster: Cluster,
        identity: Identity,
        options: BackupOptions,
        spool: SpoolFolder,
        *,
        flush: Flush | None = None,
        store_as: StoreWindow = store_window,
        standing: Standing | None = None,
    ) -> None:
        self._cluster, self._options = cluster, options
        standing = standing or Standing()
        self.active: dict[Place, PartitionBackup] = {}
        self._leaving: list[PartitionBackup] = []
        self._subscribed: list[str] = []
        self._next_tick = 0.0
        self._spool_limit = spool_limit(options.spool, options.spool_bytes)
        self._spooled = 0
        self._pool, self._judges = Background(4, "questions"), Background(2, "judges")
        self._windows = Windows(spool, options)
        self._assignment = Assignment(options.settle_s, options.retry_stopped_s)
        self._flushing = Flushing(flush or Flush())
        self._group_id = group_id = options.group_id or f"millpond-{identity.archive_id}"
        findings, patient = Findings(store, layout), not options.once
        self._finder = StartFinder(findings, cluster, identity.archive_id, group_id)
        self._starts: Question[list[Start | Stuck]] = Question(self._pool, patient=patient)
        self._confirmation = Confirmation(cluster, self._pool, options.confirm_after_s, patient=patient)
        self._judging = Judging(Lives(findings, cluster, group_id, self._windows.reopen), self._judges)
        self._uploads = Uploads(store, layout, identity, patient=patient, store_as=store_as)
        self._tally = Tally(findings, self._windows.blocks, self._uploads, standing)
        every_s, selection = options.discover_every_s, options.selection
        self._topics = TopicWatch(cluster, selection, standing.topics, self._pool, every_s, patient=patient)
        self.member = Member(cluster.address, group_id, identity.archive_id)
        gc.set_threshold(_COLLECT_AFTER)

    # -- the loop

    def step(self) -> None:
        """Reads one batch and does what is due.

        Raises:
            FencedByItself: Another consumer can go on.
            MillpondError: The backup cannot go on: another member took this one's place, or (`once`) somebody refuses.
        """
        messages = self.member.consume(_BATCH, _BATCH_WAIT_S)
        now = time.monotonic()
        for place, run in by_partition(messages):
            self._take(place, run, now)
        if self._windows.blocks.size_bytes > self._options.open_bytes:
            cut_largest_blocks(self.active.values(), self._windows.blocks, self._options.open_bytes)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_S
            self._tick(now)

    def _take(self, place: Place, run: Sequence[Message], now: float) -> None:
        error = run[0].error()
        if error is not None:
            self._on_error(place, run[0], error, now)
            return
        self.member.heard(place, now)
        while run and (partition := self.active.get(place)):
            try:
                detour = partition.take(run, now)
            except DamagedArchive as problem:
                self._stop_partition(place, str(problem.args[0]), now)
                return
            except OSError as full:  # no file can be made for a new window
                self._read_again(partition, f"cannot spool: {full.strerror}", now)
                return
            run = self._follow(partition, detour, run, now) if detour else ()

    def _follow(
        self, partition: PartitionBackup, detour: Detour, run: Sequence[Message], now: float
    ) -> Sequence[Message]:
        """Goes around what could not be taken; returns what is left to take."""
        if isinstance(detour, Jump):
            self._relocate(partition.place, now)
        elif isinstance(detour, EpochFell):
            self._seek(partition, f"the leader epoch fell at offset {detour.offset}", now)
        elif not self._options.skip_unreadable:
            reason = f"offset {detour.offset} cannot be read: {detour.reason}; --skip-unreadable leaves it out"
            self._stop_partition(partition.place, reason, now)
        else:
            _LOG.error("left out offset %d of %s: %s", detour.offset, partition.partition, detour.reason)
            self._tally.topic_error(partition.place[0])
            partition.pass_over(detour.offset, now)
            return [message for message in run if message.offset() > detour.offset]  # type: ignore[operator]
        return ()

    def _tick(self, now: float) -> None:
        if (topics := self._topics.tick(now)) is not None:
            self.member.heard_at = now
            self._follow_topics(topics, now)
        if not self._options.once:
            self._assignment.try_stopped_again(now)
        self._find_starts(now)
        if self._windows.writer.failed:
            self._drop_broken(now)
        for partition in self.active.values():
            if partition.due(now, self._options.rotation):
                partition.close(now)
        self._flushing.tick(self._everything(), now)
        self._store_while_brokers_are_lost(now)
        for partition in self._confirmation.tick(self._everything(), now):
            self._judge(partition, now)
        self._settle_judgements(now)
        self._account(self._uploads.tick((p for p in self._everything() if not p.judged), now), now)
        self._leaving = [partition for partition in self._leaving if partition.closed]
        self._hold_back(now)

    def holds(self, partition: PartitionId) -> bool:
        """Whether something that was read of it is still to be stored."""
        return any(p.partition == partition and p.stored < p.position for p in self._everything())

    @property
    def failed(self) -> dict[Place, str]:
        """Why a partition was stopped; the others go on."""
        return {place: stopped.reason for place, stopped in self._assignment.stopped.items()}

    @property
    def leads(self) -> bool:
        """Whether this member does what only one of the group should: it has the first topic's first partition, be it
        read or stopped."""
        first = (self._subscribed[0], 0) if self._subscribed else None
        return first is not None and (first in self.active or self._assignment.has(first))

    def status(self) -> BackupStatus:
        """Everything at this moment; costs some microseconds a partition."""
        return self._tally.status(
            self.active.values(),
            self.member.paused,
            self._assignment.without_start,
            self._assignment.stopped,
            end_of=self.member.end_of,
            spool=(self._spooled, self._spool_limit),
            silent_s=time.monotonic() - self.member.heard_at,
            in_group=self.member.in_group,
            rebalances=self._assignment.rebalances,
        )

    def _everything(self) -> list[PartitionBackup]:
        return [*self.active.values(), *self._leaving]

    # -- topics and assignment

    def subscribe(self, topics: list[str]) -> None:
        """Reads these topics from now on, together with the group."""
        self._subscribed = sorted(topics)
        self.member.subscribe(self._subscribed, self._assignment.give, self._taken)

    def _follow_topics(self, topics: dict[str, TopicDescription], now: float) -> None:
        for place, partition in list(self.active.items()):
            found = topics.get(place[0])
            if found is None:
                self._relocate(place, now)
            elif found.topic_id != partition.partition.incarnation.topic_id:
                _LOG.warning("topic %s was made again as %s", place[0], found.topic_id)
                self._relocate(place, now)
        self._assignment.follow(topics)
        if topics and sorted(topics) != self._subscribed:
            _LOG.info("topics are now %s", ", ".join(sorted(topics)))
            self.subscribe(list(topics))

    def _taken(self, places: set[Place], now: float) -> None:
        self._assignment.take(places, now)
        for place in places & self.active.keys():
            self._leave(place, now)

    def _give_up(self, place: Place, now: float) -> None:
        """Stops reading; what was read is stored."""
        if place in self.active:
            self.member.leave(place)
            self._leave(place, now)

    def _leave(self, place: Place, now: float) -> None:
        partition = self.active.pop(place)
        partition.close(now)
        self._leaving.append(partition)

    def _seek(self, partition: PartitionBackup, reason: str, now: float) -> None:
        """Goes on where the archive says. Refused there again and again, nobody knows where that is."""
        self._tally.topic_error(partition.place[0])
        at = partition.position
        if self._assignment.refused(partition.partition, at, now):
            self._stop_partition(partition.place, f"Kafka does not go on behind offset {at - 1}: {reason}", now)
        else:
            _LOG.warning("looking for the position of %s again: %s", partition.partition, reason)
            self._relocate(partition.place, now)

    def _relocate(self, place: Place, now: float) -> None:
        """Stops reading, and goes on where the archive says once it holds what was read so far."""
        self._give_up(place, now)
        self._assignment.without_start.add(place)

    def _stop_partition(self, place: Place, reason: str, now: float) -> None:
        """Reads no more of it for a while; what was read of it is confirmed and stored like anything else."""
        _LOG.error("stopped %s-%d: %s", *place, reason, extra={"topic": place[0], "partition": place[1]})
        self._tally.topic_error(place[0])
        self._give_up(place, now)
        self._assignment.stop(place, reason, now)

    def _find_starts(self, now: float) -> None:
        found = self._starts.answer(now)
        for start in found or []:
            self._begin(start, now)
        if found is not None:
            self._assignment.searched(now)
        wanted = self._assignment.next_search({partition.place for partition in self._leaving}, now)
        if wanted:
            self._starts.ask(lambda: find_each(self._finder, wanted, now_ms()), now)

    def _begin(self, start: Start | Stuck, now: float) -> None:
        problem = start.reason if isinstance(start, Stuck) else start.problem
        place = start.place
        if place not in self._assignment.without_start:
            return
        if problem or isinstance(start, Stuck):
            self._stop_partition(place, problem, now)
            return
        self._assignment.without_start.discard(place)
        self.active[place] = PartitionBackup(start, self._windows.open)
        self.member.read(place, start.position, max(start.epoch, start.least_epoch))
        _LOG.info("reading %s from offset %d", start.partition, start.position)

    # -- windows

    def _drop_broken(self, now: float) -> None:
        """What cannot be spooled, on a full disk say, is forgotten and read again a little later."""
        self._windows.writer.failed = False
        for partition in self._everything():
            if (error := next((w.broken for w in partition.windows() if w.broken), None)) is not None:
                self._read_again(partition, f"cannot spool: {error.strerror}", now)

    def _read_again(self, partition: PartitionBackup, reason: str, now: float) -> None:
        _LOG.error("%s is read again from offset %d: %s", partition.partition, partition.stored, reason)
        self._tally.topic_error(partition.place[0])
        place = partition.place
        if self.active.get(place) is partition:
            self._relocate(place, now)
        if not partition.judged and not self._uploads.busy_with(partition):
            partition.discard()

    def _judge(self, partition: PartitionBackup, now: float) -> None:
        """Its topic was made again, and what was read last may be of either life."""
        if self.active.get(partition.place) is partition:
            self._relocate(partition.place, now)
        self._judging.begin(partition)

    def _settle_judgements(self, now: float) -> None:
        for partition in self._judging.tick():
            self._read_again(partition, "its spool is lost", now)

    def _store_while_brokers_are_lost(self, now: float) -> None:
        """Nobody can confirm anything then, and nothing can be read twice: what was read goes to the store."""
        if now - self.member.heard_at < self._options.brokers_lost_s:
            return
        for partition in self._everything():
            if partition.window or any(not closed.confirmed for closed in partition.closed):
                _LOG.warning("the brokers are silent: storing what was read of %s", partition.partition)
            close_and_confirm(partition, now)

    # -- what Kafka says besides records

    def _on_error(self, place: Place, message: Message, error: KafkaError, now: float) -> None:
        self.member.raise_if_fenced(error)
        self.member.told(place)
        partition = self.active.get(place)
        if error.code() == KafkaError._PARTITION_EOF:
            self.member.heard(place, now)
            if partition is not None and partition.reached_end(message.offset(), now):  # type: ignore[arg-type]  # has one
                self._relocate(place, now)
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            raise explained(error, f"cannot be a member of group {self._group_id}", self._cluster.address.brokers)
        elif partition is not None and error.code() in _POSITION_GONE:
            self._seek(partition, error.str(), now)
        elif partition is None or error.retriable() or error.code() in _TOPIC_GONE:
            _LOG.warning("Kafka says: %s", error.str())
        else:
            self._stop_partition(place, error.str(), now)

    # -- behind the store

    def _account(self, ended: Iterable[Stored | Failed], now: float) -> None:
        stored = []
        for item in ended:
            if isinstance(item, Stored):
                self._tally.stored(item)
                stored.append(item)
            elif item.spool:
                self._read_again(item.partition, item.reason, now)
            else:
                self._give_up_storing(item, now)
        self.member.commit(item for item in stored if self._is_read(item.partition))
        for item in stored:
            item.spent.discard()

    def _give_up_storing(self, item: Failed, now: float) -> None:
        place = item.partition.place
        if place in self.active or self._assignment.has(place):
            self._stop_partition(place, item.reason, now)
        else:  # another member's by now
            _LOG.error("left out what was read of %s: %s", item.partition.partition, item.reason)
        item.partition.discard()

    def _is_read(self, partition: PartitionId) -> bool:
        """Only its owner commits, and only of the topic's present life."""
        mine = self.active.get((partition.topic, partition.partition))
        return mine is not None and mine.partition == partition

    def _hold_back(self, now: float) -> None:
        """Pauses partitions that read faster than the store takes, and all of them while the spool is full."""
        self._spooled = sum(partition.spooled_bytes for partition in self._everything())
        if close_largest_windows(self._everything(), self._spooled, self._spool_limit, now):
            full = set(self.active)
        else:
            full = {place for place, partition in self.active.items() if len(partition.closed) >= WAITING}
        self.member.hold_back(full)

    # -- the end

    def close(self, *, anew: bool = False) -> None:
        """Stores what Kafka may not have any more, forgets the rest, leaves the group.

        Takes less than ten seconds, or up to a hundred where what is stored is the last copy.

        Args:
            anew: Whether the backup goes on with another consumer.

        Raises:
            TryAgain: The store does not answer or refuses.
            MillpondError: A last copy could not be stored.
        """
        try:
            self._store_the_last(time.monotonic())
        finally:
            self._flushing.close(anew=anew)
            self.member.close()
            self._uploads.close()
            for partition in self._everything():
                partition.discard()
            self._windows.writer.close()
            self._pool.shutdown(cancel_futures=True)
            self._judges.shutdown(cancel_futures=True)

    def _store_the_last(self, began: float) -> None:
        """Raises `MillpondError` where not all is stored that has to be."""
        self._uploads.patient = True
        kept = not_surely_in_kafka(self._cluster, self._everything(), began)
        while True:
            now = time.monotonic()
            for partition in self._confirmation.tick(kept.partitions, now):
                self._judging.begin(partition)
            self._settle_judgements(now)
            self._account(self._uploads.tick((p for p in kept.partitions if not p.judged), now), now)
            within_s = _LAST_COPIES_WITHIN_S if kept.only_here() else _STOP_WITHIN_S
            if not kept.left() or now - began >= within_s:
                break
            time.sleep(_TICK_S)
        kept.raise_for_left()
