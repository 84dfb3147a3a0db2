"""What the facts of topics mean for a backup. Values in, findings out; nothing is asked of a cluster here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from millpond.findings import Finding, failed, named, passed, warned

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
OPEN_TOO_LONG_MS = 15 * 60_000
"""Kafka's default of transaction.max.timeout.ms: brokers end what a live producer leaves open for longer."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What a cluster tells of a topic.

    Attributes:
        topic_id: "" where the brokers give none.
        may_read, may_see_settings: None where the brokers do not say.
        settings: All that count, inherited ones too; empty where they may not be seen.
    """

    name: str
    topic_id: str
    partitions: int
    may_read: bool | None = None
    may_see_settings: bool | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def number(self, name: str) -> int | None:
        text = self.settings.get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else None

    @property
    def policies(self) -> set[str]:
        return {policy.strip() for policy in self.settings.get("cleanup.policy", "delete").split(",")}

    @property
    def limited_by_size(self) -> bool:
        kept = self.number("retention.bytes")
        return "delete" in self.policies and kept is not None and kept >= 0

    @property
    def retention_ms(self) -> int | None:
        """How long Kafka keeps a record by its age; None for ever."""
        kept = self.number("retention.ms")
        return None if "delete" not in self.policies or kept is None or kept < 0 else kept


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """Records of a partition that read_committed does not reach.

    Attributes:
        records: High watermark minus last stable offset.
        age_ms: How long ago the first of them was written; None where that cannot be read.
    """

    topic: str
    partition: int
    records: int
    age_ms: int | None


def matched(by_expression: Mapping[str, int], chosen: int, others: Sequence[str]) -> Finding:
    """Whether every expression finds a topic, and which topics neither an expression takes nor one leaves out."""
    idle = [expression for expression, count in by_expression.items() if not count]
    if not chosen:
        return failed(
            "topics",
            f"no topic matches {', '.join(by_expression)}",
            "correct --topics; topics that the user may not describe are not seen",
        )
    left = f"; not in the backup: {named(others)}" if others else ""
    if idle:
        return warned("topics", f"{chosen} topics match, but none matches {', '.join(idle)}{left}", "correct --topics")
    return passed("topics", f"{chosen} topics match{left}")


def rights(topics: Iterable[TopicFacts]) -> Finding:
    found = list(topics)
    unreadable = [topic.name for topic in found if topic.may_read is False]
    if unreadable:
        return failed("rights", f"Read is missing on {named(unreadable)}", "grant the user Read on these topics")
    hidden = [topic.name for topic in found if topic.may_see_settings is False]
    if hidden:
        return warned(
            "rights",
            f"DescribeConfigs is missing on {named(hidden)}: their retention and compaction cannot be judged",
            "grant the user DescribeConfigs on these topics",
        )
    return passed("rights", f"{len(found)} topics may be read")


def topic_ids(topics: Iterable[TopicFacts]) -> Finding:
    without = [topic.name for topic in topics if not topic.topic_id]
    if without:
        return failed(
            "topic ids", f"the brokers give no id for {named(without)}", "topic ids need Apache Kafka 2.8 or newer"
        )
    return passed("topic ids", "every topic has one")


def retention(topics: Iterable[TopicFacts], *, longest_stop_ms: int) -> Finding:
    """Whether Kafka keeps records at least as long as the backup may stand still."""
    known = [topic for topic in topics if topic.settings]
    short = [topic for topic in known if topic.retention_ms is not None and topic.retention_ms < longest_stop_ms]
    sized = [topic for topic in known if topic.limited_by_size]
    hours = longest_stop_ms / HOUR_MS
    if short:
        return warned(
            "retention",
            f"Kafka deletes records within {hours:g} hours, the longest stop: {named([_kept(t) for t in short])}",
            "raise retention.ms, or see that the backup never stands still that long (--longest-stop-hours)",
        )
    if sized:
        return warned(
            "retention",
            f"limited by size, so that nobody can tell how long a stop may be: {named([t.name for t in sized])}",
            "compare retention.bytes with the traffic of these topics",
        )
    return passed("retention", f"Kafka keeps records for {hours:g} hours and more")


def erasure_term(topics: Iterable[TopicFacts], *, days: int) -> Finding:
    """Whether Kafka lets go of a record in time; erasing it from the archive does not erase it there."""
    known = [topic for topic in topics if topic.settings]
    late = [topic for topic in known if topic.retention_ms is None or topic.retention_ms > days * DAY_MS]
    if late:
        return warned(
            "erasure term",
            f"Kafka itself keeps records for more than {days} days: {named([_kept(topic) for topic in late])}",
            "lower retention.ms where persons may ask for erasure, or erase there by other means (--erasure-days)",
        )
    return passed("erasure term", f"Kafka lets go of every record within {days} days")


def tombstones(topics: Iterable[TopicFacts], *, longest_stop_ms: int) -> Finding:
    """Whether a deletion in a compacted topic can be compacted away before it is read."""
    compacted = [topic for topic in topics if "compact" in topic.policies]
    short = [topic.name for topic in compacted if (topic.number("delete.retention.ms") or 0) < longest_stop_ms]
    if short:
        return warned(
            "tombstones",
            f"after a stop of {longest_stop_ms / HOUR_MS:g} hours deletions may be gone unread: {named(short)}",
            "raise delete.retention.ms above the longest stop (--longest-stop-hours)",
        )
    return passed("tombstones", f"{len(compacted)} compacted topics keep deletions long enough")


def transactions(opened: Sequence[OpenTransaction]) -> Finding:
    """Open transactions hold up read_committed. One that is older than any may be was left hanging."""
    hanging = [one for one in opened if one.age_ms is None or one.age_ms > OPEN_TOO_LONG_MS]
    if hanging:
        return warned(
            "transactions",
            f"the backup cannot pass transactions that were never ended: {named([_open(one) for one in hanging])}",
            "find and abort them with kafka-transactions.sh find-hanging and abort",
        )
    return passed("transactions", f"{len(opened)} partitions have open transactions, none for long")


def creation(properties: Mapping[str, str]) -> Finding:
    """A client never asks for a topic to be made unless it is told to."""
    if properties.get("allow.auto.create.topics", "false").lower() == "true":
        return warned(
            "creation",
            "allow.auto.create.topics=true lets the client make topics on the source cluster",
            "leave that property out",
        )
    return passed("creation", "nothing is made on the source cluster")


def _kept(topic: TopicFacts) -> str:
    kept = topic.retention_ms
    if kept is None:
        return f"{topic.name} (for ever{'' if 'delete' in topic.policies else ': compacted'})"
    return f"{topic.name} ({kept / HOUR_MS:g} hours)" if kept < 3 * DAY_MS else f"{topic.name} ({kept / DAY_MS:g} days)"


def _open(one: OpenTransaction) -> str:
    age = "age unknown" if one.age_ms is None else f"for {one.age_ms // 60_000} minutes"
    return f"{one.topic}-{one.partition} ({one.records} records, {age})"
