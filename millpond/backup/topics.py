"""Which topics exist, asked on a timer: new ones, lost ones, ones made again."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from millpond.backup.background import Question
from millpond.backup.standing import TopicsGone
from millpond.clock import now_ms
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.selection import Selection


@dataclass(frozen=True, slots=True)
class _Seen:
    """The selected topics, and those of them that may not be described."""

    found: dict[str, TopicDescription]
    refused: frozenset[str]


class TopicWatch:
    """Looks for the selected topics every so often. Asks Kafka alone: that it answers tells that the brokers do.

    Args:
        gone: Is told of those that were there and are not any more.
        every_s: Seconds from one look to the next.
    """

    def __init__(
        self,
        cluster: Cluster,
        selection: Selection,
        gone: TopicsGone,
        pool: Executor,
        every_s: float,
        *,
        patient: bool = True,
    ) -> None:
        self._cluster, self._selection, self._gone = cluster, selection, gone
        self._every_s, self._next = every_s, 0.0
        self._question: Question[_Seen] = Question(pool, patient=patient)

    def tick(self, now: float) -> dict[str, TopicDescription] | None:
        """The selected topics, each time they were looked for; None in between."""
        known = self._gone.known
        if now >= self._next and self._question.ask(lambda: self._look(known), now):
            self._next = now + self._every_s
        if (seen := self._question.answer(now)) is None:
            return None
        self._gone.look(seen.found, seen.refused, now_ms())
        return seen.found

    def _look(self, known: frozenset[str]) -> _Seen:
        names = self._selection.match(self._cluster.topic_names())
        refused: set[str] = set()
        return _Seen(self._cluster.describe(known.union(names), refused=refused), frozenset(refused))
