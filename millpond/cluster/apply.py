"""What a snapshot has and a cluster lacks, made on the cluster. Nothing is deleted, and nothing becomes smaller.

`steps_of` decides from values alone what is done and what is left as it is; `take_steps` does it, or asks the brokers
whether they would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from millpond.archive.documents import Json
from millpond.cluster.diff import Differences, TopicDifference
from millpond.cluster.snapshot import TopicSnapshot
from millpond.kafka.admin import Cluster
from millpond.kafka.topic_changes import NO_RIGHT, Denial, change_settings
from millpond.kafka.topic_growth import add_partitions, make_topic

_IN_SYNC = "min.insync.replicas"
_MAY_DELETE = ("retention.ms", "retention.bytes", "cleanup.policy")
"""Records of a topic that was restored are old: these would have them deleted within minutes."""


class Change(StrEnum):
    """What is done to a topic."""

    MAKE = "make"
    SETTINGS = "settings"
    PARTITIONS = "partitions"


class Left(StrEnum):
    """Why something that differs is left as it is."""

    NOT_ASKED_SETTINGS = "needs_configs"
    NOT_ASKED_RETENTION = "needs_apply_retention"
    NOT_ASKED_PARTITIONS = "needs_add_partitions"
    MORE_PARTITIONS = "has_more_partitions"
    REPLICATION = "replication_is_not_changed"
    MORE_SETTINGS = "settings_are_not_removed"
    RESTORING = "in_an_unfinished_restore"


@dataclass(frozen=True, slots=True)
class Asked:
    """What may be changed beside making missing topics.

    Attributes:
        configs: Settings that differ, but for those that may have records deleted.
        retention: Those as well.
    """

    configs: bool = False
    retention: bool = False
    add_partitions: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        partitions: How many in all, where that is what changes.
        replication: Of a topic that is made.
        settings: To be set.
    """

    change: Change
    topic: str
    partitions: int = 0
    replication: int = 0
    settings: dict[str, str] = field(default_factory=dict)

    def document(self) -> Json:
        return {name: content for name, content in asdict(self).items() if content}


@dataclass(frozen=True, slots=True)
class Steps:
    """What is done, and what is left with the reason.

    Attributes:
        warnings: What is done in another way than it was.
    """

    steps: tuple[Step, ...]
    left: tuple[tuple[str, Left], ...]
    warnings: tuple[str, ...]


def steps_of(found: Differences, asked: Asked, *, brokers: int) -> Steps:
    """What makes the differences in topics go away.

    Args:
        brokers: How many there are: no topic is given more replicas.
    """
    made = [_make(topic, brokers) for topic in found.missing if topic.topic not in found.begun]
    changes = [step for topic in found.changed for step in _changes(topic, asked)]
    left = [(topic.topic, Left.RESTORING) for topic in found.missing if topic.topic in found.begun]
    left += [(topic.topic, why) for topic in found.changed for why in _left(topic, asked)]
    warnings = [text for topic in found.missing for text in _warnings(topic, min(topic.replication, brokers))]
    return Steps((*made, *changes), tuple(left), tuple(warnings))


def _make(topic: TopicSnapshot, brokers: int) -> Step:
    replicas = min(topic.replication, brokers)
    return Step(Change.MAKE, topic.topic, topic.partitions, replicas, dict(topic.config))


def _changes(topic: TopicDifference, asked: Asked) -> Iterator[Step]:
    if topic.restoring:
        return
    if asked.add_partitions and topic.live.partitions < topic.archived.partitions:
        yield Step(Change.PARTITIONS, topic.topic, topic.archived.partitions)
    if settings := {name: text for name, text in _to_set(topic).items() if _not_asked(name, asked) is None}:
        yield Step(Change.SETTINGS, topic.topic, settings=settings)


def _to_set(topic: TopicDifference) -> dict[str, str]:
    return {name: topic.archived.config[name] for name in topic.settings if name in topic.archived.config}


def _not_asked(name: str, asked: Asked) -> Left | None:
    """Why a setting stays as it is, or None."""
    if not asked.configs:
        return Left.NOT_ASKED_SETTINGS
    return Left.NOT_ASKED_RETENTION if name in _MAY_DELETE and not asked.retention else None


def _left(topic: TopicDifference, asked: Asked) -> Iterator[Left]:
    if topic.restoring:
        yield Left.RESTORING
        return
    if topic.live.partitions > topic.archived.partitions:
        yield Left.MORE_PARTITIONS
    elif topic.live.partitions < topic.archived.partitions and not asked.add_partitions:
        yield Left.NOT_ASKED_PARTITIONS
    if topic.live.replication != topic.archived.replication:
        yield Left.REPLICATION
    reasons = (_not_asked(name, asked) for name in _to_set(topic))
    yield from dict.fromkeys(reason for reason in reasons if reason is not None)
    if any("archived" not in pair for pair in topic.settings.values()):
        yield Left.MORE_SETTINGS


def _warnings(topic: TopicSnapshot, replicas: int) -> Iterator[str]:
    if replicas < topic.replication:
        yield f"{topic.topic} gets {replicas} replicas, not {topic.replication}: there are no more brokers"
    in_sync = topic.config.get(_IN_SYNC, "")
    if in_sync.isdecimal() and int(in_sync) > replicas:
        yield f"{topic.topic} has {_IN_SYNC} {in_sync}: nobody can write to its {replicas} with acks=all"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the steps.

    Attributes:
        refused: With the brokers' no.
    """

    done: tuple[Step, ...]
    refused: tuple[tuple[Step, Denial], ...]


def take_steps(cluster: Cluster, steps: Iterable[Step], *, dry_run: bool) -> Taken:
    """Takes each step, or asks whether it would be refused. One that is refused holds up no other.

    Where brokers refuse a setting, as one of another version, the rest of the step is taken.

    Raises:
        TryAgain: The brokers do not answer; what was done stays, and the same call does the rest.
    """
    taken = [part for step in steps for part in _taken(cluster, step, dry_run=dry_run)]
    done = tuple(step for step, denial in taken if denial is None)
    return Taken(done, tuple((step, denial) for step, denial in taken if denial is not None))


def _taken(cluster: Cluster, step: Step, *, dry_run: bool) -> Iterator[tuple[Step, Denial | None]]:
    denial = _take(cluster, step, dry_run=dry_run)
    if denial is None or not step.settings or denial.code in NO_RIGHT:
        yield step, denial
        return
    singles = [replace(step, settings={name: text}) for name, text in step.settings.items()]
    refused = [(single, told) for single in singles if (told := _take(cluster, single, dry_run=True)) is not None]
    bad = {name for single, _ in refused for name in single.settings}
    rest = replace(step, settings={name: text for name, text in step.settings.items() if name not in bad})
    if rest.settings or step.change is Change.MAKE:
        again = _take(cluster, rest, dry_run=dry_run)
        if again is not None:  # it is not the settings
            yield step, denial
            return
        yield rest, None
    for single, told in refused:
        yield replace(single, change=Change.SETTINGS, partitions=0, replication=0), told


def _take(cluster: Cluster, step: Step, *, dry_run: bool) -> Denial | None:
    if step.change is Change.MAKE:
        return make_topic(
            cluster, step.topic, step.partitions, step.settings, replication=step.replication, only_ask=dry_run
        )
    if step.change is Change.PARTITIONS:
        return add_partitions(cluster, step.topic, step.partitions, only_ask=dry_run)
    return change_settings(cluster, step.topic, step.settings, only_ask=dry_run)
