"""Questions to the coordinators of consumer groups, and the clients that they go through.

librdkafka (2.13 to 2.16) ends the whole process at two of them, so they are asked in a way that keeps clear of both
(docs/decisions/0015):

- A client that has asked a coordinator, and lost it, may not survive the next question (its issue 4605; within a minute
  where brokers restart). One that was left without an answer is not asked again.
- No client survives where the broker that it asks for offsets answers that it is not the group's coordinator, as all do
  while a new cluster makes its first group (issue 5040). A description is refused properly then, so it is asked first;
  what is left is a coordinator that moves between the two questions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from millpond.kafka.failures import passes_by_itself


class Coordinators:
    """Lends clients, each to one thread at a time.

    Args:
        make: A new client.
        timeout_s: For each question.
    """

    def __init__(self, make: Callable[[], AdminClient], timeout_s: float) -> None:
        self._make, self._timeout_s = make, timeout_s
        self._spare: deque[AdminClient] = deque()

    @contextmanager
    def asked(self) -> Iterator[Asked]:
        """A client for the block. It is kept for the next one if it had all its answers."""
        try:
            client = self._spare.pop()
        except IndexError:
            client = self._make()
        asked, last = Asked(client, self._timeout_s), [client]
        del client
        try:
            yield asked
        finally:
            del asked.client
            if asked.answered:
                self._spare.append(last.pop())
            else:  # to end such a client may take for ever: nobody waits for it
                threading.Thread(target=last.clear, name="end of a client", daemon=True).start()


class Asked:
    """One client, and whether it got an answer to everything so far. Futures that it returns are done."""

    def __init__(self, client: AdminClient, timeout_s: float) -> None:
        self.answered = True
        self.client, self._more = client, {"request_timeout": timeout_s}

    def describe(self, group_ids: Collection[str], *, rights: bool = False) -> Mapping[str, Future[Any]]:
        """Each group's description, with what the user may do where `rights` are asked for."""
        told = {"include_authorized_operations": rights, **self._more}
        return self._heard(self.client.describe_consumer_groups(list(group_ids), **told))

    def offsets(self, group_id: str, *, stable: bool = False) -> Future[Any]:
        """What a group has committed, to be asked once `describe` was answered.

        Args:
            stable: Do not give the older offset where a transaction is about to replace it.
        """
        request = [ConsumerGroupTopicPartitions(group_id)]
        told = {"require_stable": stable, **self._more}
        return self._heard(self.client.list_consumer_group_offsets(request, **told))[group_id]

    def commit(self, group_id: str, positions: Collection[TopicPartition]) -> Future[Any]:
        """Commits for a group without members."""
        request = [ConsumerGroupTopicPartitions(group_id, list(positions))]
        return self._heard(self.client.alter_consumer_group_offsets(request, **self._more))[group_id]

    def _heard(self, futures: Mapping[str, Future[Any]]) -> Mapping[str, Future[Any]]:
        so_far, self.answered = self.answered, False
        wait(futures.values())
        self.answered = so_far and not any(map(_is_unheard, futures.values()))
        if not self.answered:
            self.client.poll(0)  # it says aside why brokers refuse connections
        return futures


def _is_unheard(future: Future[Any]) -> bool:
    """Whether no coordinator has answered: the client says so itself, or a broker that is none."""
    failure = future.exception()
    if isinstance(failure, KafkaException) and failure.args[0].code() < 0:
        return bool(failure.args[0].code() != KafkaError._INVALID_ARG)  # that is its answer for a group of another kind
    return passes_by_itself(future)
