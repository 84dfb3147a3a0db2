"""Takes a snapshot of all that a cluster tells of itself. A part that cannot be read is named; the rest is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from millpond.archive.documents import Json
from millpond.cluster.snapshot import TopicSnapshot
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.answers import Refusal
from millpond.kafka.metadata import (
    NOT_ALLOWED,
    BrokerSettings,
    ClusterDescription,
    broker_settings,
    describe_cluster,
    known_acls,
    own_topic_configs,
    scram_users,
)
from millpond.kafka.selection import INTERNAL, Selection

NOT_READABLE = ("quotas", "feature_levels", "delegation_tokens", "scram_secrets")
"""What the client has no call for, or what no broker gives away."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that could not be read.

    Attributes:
        part: topic, broker_config, acls or scram_users.
        code: Kafka's name of the error, or the client's, which begins with an underscore.
        name: Of the topic or broker, else "".
    """

    part: str
    code: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class WholeSnapshot:
    """A cluster at one moment.

    Attributes:
        at: Epoch ms, before the first question.
        topics: Without internal ones, by name. One whose settings could not be read is left out and in `failed`.
        brokers: Documents of the brokers, by id.
        acls, scram_users: None where they could not be read.
    """

    at: int
    cluster_id: str
    topics: tuple[TopicSnapshot, ...]
    brokers: tuple[Json, ...]
    broker_defaults: Json | None
    versions: tuple[str, ...]
    acls: tuple[Json, ...] | None
    scram_users: tuple[Json, ...] | None
    failed: tuple[Missing, ...] = ()

    @property
    def not_selected(self) -> list[str]:
        return [topic.topic for topic in self.topics if topic.selected is False]

    def document(self) -> Json:
        """As it is stored; what could not be read is absent."""
        found = {
            "at": self.at,
            "cluster_id": self.cluster_id,
            "topics": [_without_none(asdict(topic)) for topic in self.topics],
            "brokers": list(self.brokers),
            "broker_defaults": self.broker_defaults,
            "inter_broker_protocol_versions": list(self.versions),
            "acls": None if self.acls is None else list(self.acls),
            "scram_users": None if self.scram_users is None else list(self.scram_users),
            "failed": [_without_empty(asdict(missing)) for missing in self.failed],
            "not_readable": list(NOT_READABLE),
        }
        return _without_none(found)


@dataclass(slots=True)
class _Failed:
    """What could not be read so far."""

    parts: list[Missing] = field(default_factory=list)

    def add(self, part: str, code: str, name: str = "") -> None:
        self.parts.append(Missing(part, code, name))


def take_whole(cluster: Cluster, selection: Selection | None, *, now_ms: int) -> WholeSnapshot:
    """The cluster as it is now.

    Args:
        selection: The topics of the backup; the others are marked. None: nobody asks.

    Raises:
        TryAgain: The brokers do not answer.
        WrongUsage: They refuse the client.
    """
    failed = _Failed()
    told = describe_cluster(cluster)
    topics = tuple(_topics(cluster, selection, failed))
    settings = _broker_settings(cluster, told, failed)
    readable = list(settings.values())
    return WholeSnapshot(
        now_ms,
        told.cluster_id,
        topics,
        tuple(_broker(broker_id, rack, settings.get(broker_id)) for broker_id, rack in sorted(told.racks.items())),
        readable[0].dynamic_defaults if readable else None,
        tuple(sorted({one.version for one in readable if one.version})),
        _acls(cluster, told, readable, failed),
        _scram_users(cluster, told, failed),
        tuple(failed.parts),
    )


def _topics(cluster: Cluster, selection: Selection | None, failed: _Failed) -> Iterator[TopicSnapshot]:
    names = [name for name in cluster.topic_names() if name not in INTERNAL]
    refused: set[str] = set()
    found = {topic.name: topic for topic in cluster.describe(names, refused=refused).values() if not topic.internal}
    for name in sorted(refused):
        failed.add("topic", "TOPIC_AUTHORIZATION_FAILED", name)
    selected = None if selection is None else set(selection.match(found))
    for name, config in sorted(own_topic_configs(cluster, sorted(found)).items()):
        if isinstance(config, Refusal):
            failed.add("topic", config.code, name)
        else:
            yield _topic(found[name], config, None if selected is None else name in selected)


def _topic(topic: TopicDescription, config: dict[str, str], selected: bool | None) -> TopicSnapshot:
    ordered = dict(sorted(config.items()))
    return TopicSnapshot(topic.name, topic.topic_id, topic.partitions, topic.replication, ordered, selected)


def _broker_settings(cluster: Cluster, told: ClusterDescription, failed: _Failed) -> dict[int, BrokerSettings]:
    found: dict[int, BrokerSettings] = {}
    for broker_id, settings in sorted(broker_settings(cluster, sorted(told.racks)).items()):
        if isinstance(settings, Refusal):
            failed.add("broker_config", settings.code, str(broker_id))
        else:
            found[broker_id] = settings
    return found


def _broker(broker_id: int, rack: str | None, settings: BrokerSettings | None) -> Json:
    known = {"dynamic": settings.dynamic, "static": settings.static} if settings else {}
    return {"id": broker_id, "rack": rack, **known}


def _acls(
    cluster: Cluster, told: ClusterDescription, readable: list[BrokerSettings], failed: _Failed
) -> tuple[Json, ...] | None:
    answer = known_acls(cluster, told, readable)
    if not isinstance(answer, Refusal):
        return tuple(answer)
    failed.add("acls", answer.code)
    return None


def _scram_users(cluster: Cluster, told: ClusterDescription, failed: _Failed) -> tuple[Json, ...] | None:
    answer = scram_users(cluster) if told.may_describe else Refusal(NOT_ALLOWED)
    if not isinstance(answer, Refusal):
        return tuple(asdict(user) for user in answer)
    failed.add("scram_users", answer.code)
    return None


def _without_none(fields: Json) -> Json:
    return {name: content for name, content in fields.items() if content is not None}


def _without_empty(fields: Json) -> Json:
    return {name: content for name, content in fields.items() if content != ""}
