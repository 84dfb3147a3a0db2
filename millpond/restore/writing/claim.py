"""Only one worker writes to a target partition: it is a static member of a group of the target cluster meanwhile.

The group's coordinator gives each place to one member at a time, and tells the one before that it has lost it. This
keeps workers apart that know nothing of each other. It is no proof: what a worker gave its client before it was stopped
is still sent if it goes on before it is killed for standing still. The ends of the partitions, which the count must
meet, are the fence.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from millpond.errors import MillpondError, RefusedForSafety, TryAgain
from millpond.kafka.admin import Cluster
from millpond.kafka.failures import consumer_of
from millpond.kafka.members import GroupMember, members_of
from millpond.kafka.places import Place

_LOG = logging.getLogger(__name__)
_SESSION_S = 6
"""The shortest that brokers allow unless they are told otherwise."""
_GONE_S = _SESSION_S + 4.0
"""After this a member that has ended without leaving is no longer shown, even if it ended while the group waited for
more members, 3 s by default."""
_LOOK_S, _STEP_S, _LEAVE_S = 0.5, 0.1, 0.1
_JOIN_AFTER_S = 0.5
"""A partition that is done by then is not worth a client: clusters allow only so many new connections a second."""
_AWAY_S = 1.5
"""Less than another worker needs before it writes: it watches the end of the partition for two seconds first."""
_HOPELESS = {
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INVALID_GROUP_ID,
}
_FENCED = {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}


def group_of(topic: str) -> str:
    """The group that keeps a target topic's workers apart."""
    return f"millpond-restore-{topic}"


class Claims:
    """The claims of one worker, which has one partition at a time."""

    def __init__(self, cluster: Cluster, run_id: str) -> None:
        self._cluster, self._run_id = cluster, run_id
        self._refused: set[str] = set()
        self._warned = False
        self._leaving: list[Claim] = []

    @contextmanager
    def hold(self, place: Place) -> Iterator[Claim | None]:
        """Claims the partition within the block; None where the user has no right to the group.

        Raises:
            RefusedForSafety: A worker of another run has a partition of the topic.
        """
        if not self._may_know(place[0]):
            yield None
            return
        claim = Claim(self._cluster, self._run_id, place)
        try:
            yield claim
        finally:
            claim.let_go()
            self._leaving = [one for one in self._leaving if one.is_leaving()] + [claim]

    def close(self) -> None:
        """Waits until all claims have left their groups. The client takes half a second where one is still joining."""
        for claim in self._leaving:
            claim.join()
        self._leaving.clear()

    def _may_know(self, topic: str) -> bool:
        """Whether members of the topic's group are shown. A worker that has just ended is waited for, once."""
        deadline = time.monotonic() + (0 if topic in self._refused else _GONE_S)
        while (members := members_of(self._cluster, group_of(topic))) is not None:
            others = sorted({member.client_id for member in members} - {self._run_id})
            if not others:
                return True
            if time.monotonic() > deadline:
                self._refused.add(topic)
                raise RefusedForSafety(
                    f"restore run {others[0]} writes to {topic} now", hint="let it finish, or end it, and start again"
                )
            time.sleep(_LOOK_S)
        self._warn(topic)
        return False

    def _warn(self, topic: str) -> None:
        if not self._warned:
            self._warned = True
            _LOG.warning(
                "the user has no right to group %s, so nothing keeps other workers away; the ends of partitions show "
                "what they write",
                group_of(topic),
            )


class Claim:
    """One partition's, joined and kept by a thread of its own, so that nothing waits for it."""

    def __init__(self, cluster: Cluster, run_id: str, place: Place) -> None:
        self._cluster, self._run_id, self._place = cluster, run_id, place
        self._over = threading.Event()
        self._fenced = self._hopeless = self._stood_still = False
        self._member_id = ""
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="claim of {}-{}".format(*place), daemon=True)
        self._thread.start()

    def check(self) -> bool:
        """Whether the process has stood still, so that another may have gone on with the partition and left it again:
        the partition's end tells.

        Raises:
            TryAgain: Another worker of this run has the partition, or a coordinator that was silent says so.
            RefusedForSafety: One of another run has.
        """
        away = self._stood_still or time.monotonic() - self._beat_at > _AWAY_S
        self._stood_still = False
        if self._fenced or away:
            holder = self._holder()
            if self._fenced or (holder is not None and holder.member_id != self._member_id):
                raise self._taken_over(holder)
        return away

    def _taken_over(self, holder: GroupMember | None) -> MillpondError:
        if holder is None or holder.client_id == self._run_id:
            return TryAgain(
                "another worker of this run has taken over {}-{}".format(*self._place),
                hint="let it finish: it goes on where this one stopped; if there is none, start the run again",
            )
        return RefusedForSafety(
            "restore run {} has taken over {}-{}".format(holder.client_id, *self._place),
            hint="restore to another topic",
        )

    def let_go(self) -> None:
        """Has the thread leave the group and end."""
        self._over.set()

    def is_leaving(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Waits until it has ended."""
        self._thread.join()

    def _holder(self) -> GroupMember | None:
        members = members_of(self._cluster, group_of(self._place[0])) or []
        return next((member for member in members if member.instance_id == str(self._place[1])), None)

    # -- in the thread

    def _keep(self) -> None:
        join_at, consumer = time.monotonic() + _JOIN_AFTER_S, None
        try:
            while not self._over.is_set():
                self._beat()
                if consumer is None and not self._hopeless and time.monotonic() > join_at:
                    consumer = self._join()
                if consumer is None or self._hopeless or self._fenced:
                    self._over.wait(_STEP_S)
                else:
                    self._hear(consumer.poll(_STEP_S))
        finally:
            if consumer is not None:
                self._leave(consumer)

    def _beat(self) -> None:
        now = time.monotonic()
        self._stood_still = self._stood_still or now - self._beat_at > _AWAY_S
        self._beat_at = now

    def _join(self) -> Consumer | None:
        own = {
            "client.id": self._run_id,
            "group.instance.id": str(self._place[1]),
            "session.timeout.ms": _SESSION_S * 1000,
            "heartbeat.interval.ms": 1000,
        }
        try:
            consumer = consumer_of(self._cluster.address.consumer_settings(group_of(self._place[0])) | own)
            consumer.subscribe([self._place[0]], on_assign=self._given, on_revoke=self._taken, on_lost=self._taken)
        except (MillpondError, KafkaException) as failure:
            self._give_up(str(failure.args[0]))
            return None
        return consumer

    def _given(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        """Nothing is read."""
        consumer.incremental_assign([])
        self._member_id = consumer.memberid() or ""

    def _taken(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        consumer.incremental_unassign([])

    def _hear(self, message: Message | None) -> None:
        error = None if message is None else message.error()
        if error is None:
            return
        if error.fatal() or error.code() in _FENCED:
            self._fenced = True
        elif error.code() in _HOPELESS:
            self._give_up(error.str())

    def _give_up(self, why: str) -> None:
        self._hopeless = True
        _LOG.warning("cannot claim %s-%d, so nothing keeps other workers away: %s", *self._place, why)

    def _leave(self, consumer: Consumer) -> None:
        """A static member that only closes stays in the group until its session ends; one that unsubscribes leaves."""
        if not (self._fenced or self._hopeless):
            consumer.unsubscribe()
            consumer.poll(_LEAVE_S)
        consumer.close()
