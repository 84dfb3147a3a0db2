"""A backup from start to end: checks before anything is written, then reading until told to stop or all is stored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from confluent_kafka import KafkaException

from millpond.archive.identity import Identity, open_or_create, read_identity
from millpond.archive.keys import Layout
from millpond.backup.background import Background, Question
from millpond.backup.budget import allow_many_files
from millpond.backup.commits import CommitNote
from millpond.backup.consumer import BackupConsumer
from millpond.backup.flush import Flush
from millpond.backup.member import FencedByItself
from millpond.backup.options import BackupOptions
from millpond.backup.partitioner import partitioner_of
from millpond.backup.snapshots import SnapshotWatch
from millpond.backup.spool import SpoolFolder
from millpond.backup.standing import Standing
from millpond.backup.status import BackupStatus, starting
from millpond.backup.store_parts import store_parts
from millpond.backup.store_window import store_window
from millpond.backup.upload import StoreWindow
from millpond.backup.waiting import Waiting, targets_of
from millpond.clock import now_ms
from millpond.errors import MillpondError, RefusedForSafety, TryAgain, WrongUsage
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_STATUS_EVERY_S = 1.0
_RENEWED_EVERY_S = 10.0
# A partition that is only slow must not be thrown back again and again.
_FIRST_PATIENCE_S, _LATER_PATIENCE_S = 30.0, 600.0
_REFUSED_PATIENCE_S = 60.0
# A snapshot of groups gives up by itself after two minutes, and one of the cluster is behind it.
_SNAPSHOTS_WITHIN_S = 150.0


def _unobserved(_: BackupStatus) -> None:
    """Nobody looks."""


def _unseen(_done: int, _total: int) -> None:
    """Nobody looks."""


def _unheard(_: Mapping[str, str]) -> None:
    """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who looks at a running backup, and who asks it for something.

    Attributes:
        progress: Told now and then how many of the offsets that `once` waits for are stored.
        observe: Told the status about once a second.
        flush: Requests to store everything now.
        snapshots_failed: Told at the end of `once` which snapshots are not in the archive, and why.
    """

    progress: Callable[[int, int], None] = _unseen
    observe: Callable[[BackupStatus], None] = _unobserved
    flush: Flush = field(default_factory=Flush)
    snapshots_failed: Callable[[Mapping[str, str]], None] = _unheard


def run_backup(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    options: BackupOptions,
    stop: threading.Event,
    watchers: Watchers | None = None,
) -> dict[Place, int]:
    """Backs up until `stop` is set or, with `options.once`, until the ends read at the start are covered.

    A snapshot that fails is no error: records are complete without it.

    Returns:
        With `once`, the end offset of each partition that is covered now.

    Raises:
        WrongUsage: No topic matches, or the surroundings are wrong; nothing was written.
        RefusedForSafety: The archive or the group belongs to others.
        MillpondError: A partition was stopped (`once`), or the store refused.
    """
    watchers, started_ms = watchers or Watchers(), now_ms()
    watchers.observe(starting(started_ms, started_ms))
    allow_many_files()
    topics = matching_topics(cluster, options)
    watchers.observe(starting(started_ms, now_ms()))
    targets = targets_of(cluster, topics) if options.once else {}
    waits = Waiting(store, layout, cluster, targets, watchers.progress)
    with closing(SpoolFolder(options.spool)) as spool, closing(waits) as waiting:
        identity = _identity(store, layout, cluster, options.group_id)
        store_as = _store_as(store, layout, identity, options)
        watchers.observe(starting(started_ms, now_ms()))
        connected: _Connected | None = _Connected(cluster, topics)
        patience_s, standing = _FIRST_PATIENCE_S, Standing()
        while connected:
            session = _Session(store, layout, connected, identity, options, watchers, patience_s)
            consumer = BackupConsumer(
                store,
                layout,
                connected.cluster,
                identity,
                options,
                spool,
                flush=watchers.flush,
                store_as=store_as,
                standing=standing,
            )
            connected, patience_s = session.run(consumer, waiting, stop), _LATER_PATIENCE_S
    waiting.raise_for_gone()
    return {(partition.topic, partition.partition): end for partition, end in targets.items()}


@dataclass(frozen=True, slots=True)
class _Connected:
    """Connections to a cluster, and the selected topics as they were seen through them."""

    cluster: Cluster
    topics: Mapping[str, TopicDescription]


class _Session:
    """One life of the consumer, from its first connection to its renewal, its end by Kafka or that of the backup."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        connected: _Connected,
        identity: Identity,
        options: BackupOptions,
        watchers: Watchers,
        patience_s: float,
    ) -> None:
        self._patience_s = patience_s
        self._cluster, self._topics = connected.cluster, connected.topics
        self._options, self._watchers = options, watchers
        self._pool = Background(1, "snapshots")
        self._snapshots = SnapshotWatch(
            store,
            layout,
            connected.cluster,
            self._pool,
            archive_id=identity.archive_id,
            selection=options.selection,
            every_s=options.snapshot_every_s,
        )
        self._fingerprint, self._began = self._cluster.address.fingerprint(), time.monotonic()
        self._renewals = Background(1, "renewal")
        self._renewal: Question[_Connected] = Question(self._renewals)
        self._next_status = self._next_look = 0.0

    def run(self, consumer: BackupConsumer, waiting: Waiting, stop: threading.Event) -> _Connected | None:
        """None when the backup is over, else new connections to go on with."""
        renewed = None
        try:
            try:
                consumer.subscribe(list(self._topics))
                renewed = self._read(consumer, waiting, stop)
            finally:
                consumer.close(anew=renewed is not None)
            if self._options.once and renewed is None:
                self._watchers.snapshots_failed(self._snapshots.finish(stop, _SNAPSHOTS_WITHIN_S))
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._renewals.shutdown(cancel_futures=True)
        return renewed

    def _read(self, consumer: BackupConsumer, waiting: Waiting, stop: threading.Event) -> _Connected | None:
        if self._options.once:  # which may be over before the first step
            self._snapshots.tick(time.monotonic(), True)
        while not stop.is_set() and not (self._options.once and waiting.over(consumer)):
            try:
                consumer.step()
            except FencedByItself as ended:
                _LOG.warning("connecting anew, because %s", ended.args[0])
                return _Connected(self._cluster, self._topics)
            now = time.monotonic()
            if now >= self._next_status:
                self._next_status = now + _STATUS_EVERY_S
                self._snapshots.tick(now, self._options.once or consumer.leads)
                self._watchers.observe(replace(consumer.status(), snapshots_ms=self._snapshots.newest_ms()))
            if renewed := self._renewed(consumer, now):
                return renewed
        return None

    def _renewed(self, consumer: BackupConsumer, now: float) -> _Connected | None:
        """New connections, if they are called for and could be made; the old ones are kept until then."""
        if now >= self._next_look:
            self._next_look = now + _RENEWED_EVERY_S
            if reason := self._reason(consumer, now):
                self._renewal.ask(partial(self._connect, reason), now)
        renewed = self._renewal.answer(now)
        if renewed is None or not (reason := self._reason(consumer, now)):  # which may have passed meanwhile
            return None
        _LOG.warning("connecting anew, because %s", reason)
        return renewed

    def _connect(self, reason: str) -> _Connected:
        """Takes up to a minute where brokers do not answer. `TryAgain` for every failure: what is connected goes on."""
        try:
            cluster = Cluster(self._cluster.address)
            return _Connected(cluster, matching_topics(cluster, self._options))
        except (MillpondError, KafkaException) as error:
            raise TryAgain(f"would connect anew, because {reason}, but cannot yet: {error.args[0]}") from error

    def _reason(self, consumer: BackupConsumer, now: float) -> str:
        if self._cluster.address.fingerprint() != self._fingerprint:
            return "certificates or secrets were renewed"
        if consumer.member.refused and now - self._began >= _REFUSED_PATIENCE_S:
            return "the brokers refuse connections"
        if now - self._began >= self._patience_s and (silent := consumer.member.silent(now)):
            return f"nothing is heard of {silent[0][0]}-{silent[0][1]}"
        return ""


def _store_as(store: ObjectStore, layout: Layout, identity: Identity, options: BackupOptions) -> StoreWindow:
    """Whole windows, or windows in parts where the operator partitions by content."""
    by = options.parts
    if by is None:
        return store_window
    partitioner = partitioner_of(
        by.expression,
        store,
        layout,
        identity.archive_id,
        key_schema=by.key_schema,
        erasure_policy=by.erasure_policy,
        erasure_secret=by.erasure_secret,
    )
    return partial(store_parts, partitioner=partitioner)


def _identity(store: ObjectStore, layout: Layout, cluster: Cluster, group_id: str) -> Identity:
    """The archive's identity, made only once the group is known to be nobody else's."""
    known = read_identity(store, layout).archive_id if store.head(layout.identity) else ""
    if group_id or known:
        refuse_foreign_group(cluster, group_id or f"millpond-{known}", known)
    return open_or_create(store, layout, cluster_id=cluster.cluster_id(), now_ms=now_ms())


def matching_topics(cluster: Cluster, options: BackupOptions) -> dict[str, TopicDescription]:
    """The selected topics; `WrongUsage` where there is none."""
    names, by_name = cluster.topic_names(), options.selection.names
    # The list lacks what the user may not describe; topics that were told by name are asked for all the same.
    wanted = options.selection.match({*names, *by_name})
    refused: set[str] = set()
    topics = cluster.describe(wanted, refused=refused)
    if not topics:
        told = f"{len(refused)} that match may not be described" if refused else f"the cluster has {len(names)} topics"
        raise WrongUsage(
            f"no topic matches {options.selection.told()}: {told}",
            hint="expressions match whole names; check --topics, --topic-names and --exclude-topics",
        )
    for topic in sorted(refused):
        _LOG.error("topic %s is not backed up: the user may not describe it", topic, extra={"topic": topic})
    for topic in sorted({*wanted} & {*by_name} - refused - topics.keys()):
        _LOG.warning("topic %s is not there; it is backed up once it is made", topic, extra={"topic": topic})
    return topics


def refuse_foreign_group(cluster: Cluster, group_id: str, own_id: str) -> None:
    """`RefusedForSafety` where another archive commits to the group: each would lack half of the records.

    Args:
        own_id: Of this archive, empty while there is none.
    """
    for (topic, number), commit in cluster.group_commits(group_id).items():
        archive_id = CommitNote.parse(commit.metadata).archive_id
        if archive_id and archive_id != own_id:
            raise RefusedForSafety(
                f"group {group_id} commits for archive {archive_id} ({topic}-{number}), not {own_id or 'this new one'}",
                hint="give this archive another --group-id, or leave it out",
            )
