"""Which topics exist, as the consumer is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any

from millpond.backup.standing import TopicsGone
from millpond.backup.status import Gone
from millpond.backup.topics import TopicWatch
from millpond.kafka.admin import TopicDescription
from millpond.kafka.selection import Selection
from tests.unit.builders import TOPIC_ID


class AtOnce(Executor):
    """Does what it is given in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Topics:
    """A cluster's topics. As brokers do, it lists only those that may be described, and refuses others by name whether
    they are there or not."""

    def __init__(self, *there: str) -> None:
        self.there, self.hidden = set(there), set[str]()
        self.asked: list[set[str]] = []

    def topic_names(self) -> list[str]:
        return sorted(self.there - self.hidden)

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        self.asked.append(set(topics))
        assert refused is not None
        refused |= self.asked[-1] & self.hidden
        found = self.asked[-1] & self.there - self.hidden
        return {topic: TopicDescription(topic, TOPIC_ID, 1, 1, internal=False) for topic in sorted(found)}


def test_topics_that_went_are_told_apart_by_why() -> None:
    cluster, gone = Topics("orders", "prices", "visits", "other"), TopicsGone()
    watch = TopicWatch(cluster, Selection.of(["[opv].*s"]), gone, AtOnce(), 10)  # type: ignore[arg-type]
    assert list(watch.tick(0) or {}) == ["orders", "prices", "visits"]
    cluster.there.remove("visits")
    cluster.hidden.add("prices")
    assert watch.tick(9) is None
    assert list(watch.tick(10) or {}) == ["orders"]
    assert [(one.topic, one.why) for one in gone.told(1)] == [("prices", Gone.REFUSED), ("visits", Gone.DELETED)]
    watch.tick(20)
    assert cluster.asked[-1] == {"orders", "prices"}, "what was refused is asked for by name, for when it comes back"
    cluster.hidden.clear()
    assert list(watch.tick(30) or {}) == ["orders", "prices"]
    assert [one.topic for one in gone.told(1)] == ["visits"]
