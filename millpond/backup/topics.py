"""Which topics exist, asked on a timer: new ones, lost ones, ones made again, and their settings kept with the data."""

from __future__ import annotations

from concurrent.futures import Executor

from millpond.archive.keys import Layout
from millpond.backup.background import Question
from millpond.clock import now_ms
from millpond.cluster import snapshot
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore


class TopicWatch:
    """Looks for the selected topics every so often and writes a cluster snapshot whenever they have changed."""

    def __init__(
        self, store: ObjectStore, layout: Layout, cluster: Cluster, selection: Selection, pool: Executor, every_s: float
    ) -> None:
        self._store, self._layout, self._cluster, self._selection = store, layout, cluster, selection
        self._every_s, self._next = every_s, 0.0
        self._written: dict[str, TopicDescription] | None = None
        self._question: Question[dict[str, TopicDescription]] = Question(pool)

    def tick(self, now: float) -> dict[str, TopicDescription] | None:
        """The selected topics, each time they were looked for; None in between."""
        if now >= self._next and self._question.ask(self._look, now):
            self._next = now + self._every_s
        return self._question.answer(now)

    def _look(self) -> dict[str, TopicDescription]:
        names = self._selection.match(self._cluster.topic_names())
        found = self._cluster.describe(names)
        if found and found != self._written:
            taken = snapshot.take(self._cluster, found, now_ms=now_ms())
            snapshot.write(self._store, self._layout, taken)
            self._written = found
        return found
