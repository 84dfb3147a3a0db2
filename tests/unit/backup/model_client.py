"""The edges of a backup in a model: a client and an admin of one reference partition, a clock, threads that do not run
by themselves, and a store before which a process can die. What decides is the product's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from confluent_kafka import KafkaError, Message, TopicPartition

from millpond.kafka.admin import Commit, LogEnd, TopicDescription
from millpond.kafka.places import Place
from millpond.kafka.settings import ClusterAddress
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.backup.model_log import Entry, Life

TOPIC, PARTITION = "orders", 3
PLACE: Place = (TOPIC, PARTITION)
GROUP = "backup"


class Crash(BaseException):
    """The process is killed here."""


@dataclass
class Kafka:
    """The topic, the group and the time.

    Attributes:
        life: The topic's present life, None while it is deleted.
        owner: The client to which the group gives the partition.
        on_commit: Told of each commit before it counts.
    """

    life: Life | None
    owner: Client | None = None
    commits: dict[Place, Commit] = field(default_factory=dict)
    now: float = 1000.0
    clients: list[Client] = field(default_factory=list)
    on_commit: Callable[[Commit], None] = lambda commit: None

    def elected(self) -> None:
        """Clients that are told of a new leader ask it whether their position is still on its log."""
        for client in self.clients:
            if client.fetch is not None:
                client.fetch.doubted = True


# -- threads


class AtOnce(Executor):
    """Does what it is given in the thread that gives it."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        _run(future, fn, args, kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


class Later(Executor):
    """Does what it is given when it is told to: a thread that may be slow."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.calls: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.calls.append(lambda: _run(future, fn, args, kwargs))
        return future

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.calls = []


def _run(future: Future[Any], fn: Callable[..., Any], args: Any, kwargs: Any) -> None:
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001  # for whoever waits for the result
        future.set_exception(error)


# -- the store


class Deadly:
    """The store as one process reaches it. It may die before or after the n-th put from now."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.dies_in: int | None = None
        self.dies_after = False

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        if self.dies_in is not None:
            self.dies_in -= 1
        if self.dies_in == 0 and not self.dies_after:
            raise Crash(f"before {key}")
        info = self._store.put_if_absent(key, body, metadata)
        if self.dies_in == 0:
            raise Crash(f"after {key}")
        return info

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        raise AssertionError(f"a backup replaced {key}")

    def delete_version(self, key: str, version: str) -> None:
        raise AssertionError(f"a backup deleted {key}")

    def open(self, key: str, **more: Any) -> BinaryIO:
        return self._store.open(key, **more)

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        return self._store.head(key, version=version)

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        return self._store.list(prefix, after=after, delimiter=delimiter)


# -- the admin


class Admin:
    """Answers as Kafka does, of the one partition."""

    address = ClusterAddress("nobody:9092")

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    def _of(self, places: Iterable[Place], answer: Callable[[Life], Any]) -> dict[Place, Any]:
        life = self._kafka.life
        return {place: answer(life) for place in places if place == PLACE and life is not None}

    def cluster_id(self) -> str:
        return "cluster"

    def topic_names(self) -> list[str]:
        return [TOPIC] if self._kafka.life else []

    def topic_config(self, topic: str) -> dict[str, str]:
        return {}

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        life = self._kafka.life
        found = TopicDescription(TOPIC, life.topic_id, PARTITION + 1, 1, internal=False) if life else None
        return {TOPIC: found} if found and TOPIC in set(topics) else {}

    def log_starts(self, places: Iterable[Place], *, of_some: bool = False) -> dict[Place, int]:
        return self._of(places, lambda life: life.start)

    def log_ends(self, places: Iterable[Place]) -> dict[Place, LogEnd]:
        return self._of(places, lambda life: LogEnd(life.end, life.epoch))

    def ends(self, places: Iterable[Place], *, committed: bool = False, of_some: bool = False) -> dict[Place, int]:
        return self._of(places, lambda life: life.stable_end if committed else life.end)

    def group_commits(self, group_id: str) -> dict[Place, Commit]:
        return dict(self._kafka.commits)

    def settings_of(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        life = self._kafka.life
        policy = "compact" if life and life.compacted else "delete"
        return {topic: {"cleanup.policy": policy, "delete.retention.ms": "86400000"} for topic in topics if life}

    def offsets_at(self, times: Mapping[Place, int]) -> dict[Place, int]:
        return self._of(times, lambda life: life.start)


# -- the client


@dataclass
class Fetch:
    """Where a client reads.

    Attributes:
        epoch: Of the record before the position, -1 where it does not know.
        doubted: There is a new leader, whom it asks first.
        stopped: An error was given, behind which nothing comes.
        end_told: The position at which it last said that nothing is left.
        fetched: What came from the broker and was not given to the application yet.
    """

    position: int
    epoch: int
    doubted: bool = False
    stopped: bool = False
    end_told: int | None = None
    fetched: list[Message] = field(default_factory=list)


class Client:
    """A consumer: in the group with `subscribe`, alone with `assign`.

    Inside a group a position is not checked when it is assigned, only when a new leader appears; alone, only the first
    that is assigned is. A topic that is made
    again is not noticed at all unless the position lies outside of it.
    """

    def __init__(self, kafka: Kafka, settings: Mapping[str, Any]) -> None:
        assert settings["auto.offset.reset"] == "error" and settings["isolation.level"] == "read_committed"
        self._kafka, self.fetch, self._paused, self._given = kafka, None, False, False
        self.fetch: Fetch | None
        self.read_from: set[str] = set()
        self._told_of: Callable[..., None] = settings.get("on_commit", lambda *_: None)
        self._refused: list[Sequence[TopicPartition]] = []
        self._subscribed: list[str] = []
        self.at_most = self.ahead = 0
        self._has_fetched = False
        self.lost = False
        self.dies_at_commit = ""
        kafka.clients.append(self)

    # in a group

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._subscribed, self._on_assign, self._on_revoke, self._on_lost = topics, on_assign, on_revoke, on_lost

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        for one in partitions:
            assert (one.topic, one.partition) == PLACE and self.fetch is None
            self.fetch = Fetch(one.offset, -1 if one.leader_epoch is None else one.leader_epoch)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        if partitions:
            assert self.fetch is not None
            self.fetch = None

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused = self._paused or bool(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused = self._paused and not partitions

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        (one,) = offsets
        if self.dies_at_commit == "before":
            raise Crash("before a commit")
        if self._kafka.owner is not self or self._kafka.life is None:
            self._refused.append(offsets)
            return
        found = Commit(one.offset, one.metadata)
        self._kafka.on_commit(found)
        self._kafka.commits[PLACE] = found
        if self.dies_at_commit:
            raise Crash("after a commit")

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        self._follow_group()
        for offsets in self._refused:
            self._told_of(KafkaError(KafkaError.ILLEGAL_GENERATION), offsets)
        self._refused = []
        if self.fetch is None or self._paused:
            return []
        found = [*self._more(self.fetch, self.at_most)]
        self.fetch.fetched = [*self.fetch.fetched, *self._fetch(self.fetch, self.ahead)]
        return found

    def _follow_group(self) -> None:
        mine = not self.lost and self._kafka.life is not None and TOPIC in self._subscribed
        places = [TopicPartition(*PLACE)]
        if mine and not self._given and self._kafka.owner is self:
            self._given = True
            self._on_assign(self, places)
        elif self._given and self.lost:
            self._given = False
            self._on_lost(self, places)

    def close(self) -> None:
        self._kafka.clients = [one for one in self._kafka.clients if one is not self]

    # alone

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        (one,) = partitions
        epoch = -1 if one.leader_epoch is None else one.leader_epoch
        self.fetch = Fetch(one.offset, epoch, doubted=epoch >= 0 and not self._has_fetched)

    def unassign(self) -> None:
        self.fetch = None

    def poll(self, timeout_s: float) -> Message | None:
        found = self._more(self.fetch, 1) if self.fetch else []
        if not found:
            self._kafka.now += timeout_s
        return found[0] if found else None

    # both

    def _more(self, fetch: Fetch, at_most: int) -> list[Message]:
        given, fetch.fetched = fetch.fetched[:at_most], fetch.fetched[at_most:]
        return given or self._fetch(fetch, at_most)

    def _fetch(self, fetch: Fetch, at_most: int) -> list[Message]:
        """Records, or one word about the position, or nothing."""
        life = self._kafka.life
        if fetch.stopped or at_most == 0 or life is None:
            return []
        if fetch.doubted and (code := _refusal(fetch, life)):
            return [_stop(fetch, code)]
        fetch.doubted, self._has_fetched = False, True
        if not life.start <= fetch.position <= life.end:
            return [_stop(fetch, KafkaError._AUTO_OFFSET_RESET)]
        entries = list(life.visible(fetch.position, life.end))[:at_most]
        if entries:
            self.read_from.add(life.topic_id)
            fetch.position, fetch.epoch = entries[-1].offset + 1, entries[-1].epoch
            return [message_of(entry) for entry in entries]
        fetch.position = max(fetch.position, life.stable_end)
        if fetch.end_told == fetch.position:
            return []
        fetch.end_told = fetch.position
        return [_event(KafkaError._PARTITION_EOF, fetch.position)]


def _refusal(fetch: Fetch, life: Life) -> int:
    """What a client says of its position after it has asked the new leader; 0 where nothing is wrong."""
    if fetch.epoch < 0:
        return 0
    end = life.end_of_epoch(fetch.epoch)
    if end is None:
        return int(KafkaError._AUTO_OFFSET_RESET)
    return int(KafkaError._LOG_TRUNCATION) if end < fetch.position else 0


def _stop(fetch: Fetch, code: int) -> Message:
    fetch.stopped = True
    return _event(code, fetch.position)


def _event(code: int, offset: int) -> Message:
    return Message(topic=TOPIC, partition=PARTITION, offset=offset, error=KafkaError(code))


def message_of(entry: Entry) -> Message:
    found = entry.record
    return Message(
        topic=TOPIC,
        partition=PARTITION,
        offset=found.offset,
        key=found.key,
        value=found.value,
        headers=[(name.decode(), value) for name, value in found.headers],
        timestamp=(entry.kind, found.timestamp),
        leader_epoch=entry.epoch,
    )
