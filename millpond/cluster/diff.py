"""A snapshot of the archive beside a cluster as it is. Two values in, their differences out; nobody is asked here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from millpond.archive.documents import Json
from millpond.cluster.acls import Names, wanted_acls
from millpond.cluster.snapshot import TopicSnapshot
from millpond.cluster.whole import Missing, WholeSnapshot
from millpond.kafka.acls import Acl
from millpond.kafka.metadata import NO_AUTHORIZER
from millpond.kafka.selection import OWN

FOR_ALL = "all"
"""In place of a broker's id: what was set for all brokers."""

Pair = dict[str, str | None]
"""`archived` and `live`; a side that lacks the setting is absent, null stands for a secret."""


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """A topic that is there, but not as it was.

    Attributes:
        archived: With its name on the cluster.
        settings: Own ones that differ, by name.
        restoring: The unfinished restore that holds the topic in its safe settings, or "".
    """

    archived: TopicSnapshot
    live: TopicSnapshot
    settings: Mapping[str, Pair]
    restoring: str = ""

    @property
    def topic(self) -> str:
        return self.live.topic

    def document(self) -> Json:
        numbers = {
            name: {"archived": archived, "live": live}
            for name in ("partitions", "replication")
            if (archived := getattr(self.archived, name)) != (live := getattr(self.live, name))
        }
        settings = {"settings": dict(self.settings)} if self.settings else {}
        return {"topic": self.topic, **numbers, **settings, **({"restoring": self.restoring} if self.restoring else {})}


@dataclass(frozen=True, slots=True)
class Unread:
    """A part that one side could not read, so that nobody knows whether it differs."""

    side: str
    part: str
    code: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs.

    Attributes:
        missing: Archived topics that are not there, with their names on the cluster.
        extra: Topics that the archive does not know.
        brokers: Settings that differ by the broker's id, or `FOR_ALL`.
        not_selected: Topics that the backup does not cover. They are no difference.
        begun: Topics that an unfinished restore set out to make, perhaps just now.
    """

    missing: tuple[TopicSnapshot, ...]
    extra: tuple[TopicSnapshot, ...]
    changed: tuple[TopicDifference, ...]
    acls_missing: tuple[Acl, ...]
    acls_extra: tuple[Acl, ...]
    brokers: Mapping[str, Mapping[str, Pair]]
    not_selected: tuple[str, ...]
    unread: tuple[Unread, ...]
    begun: Collection[str] = ()

    @property
    def count(self) -> int:
        acls = len(self.acls_missing) + len(self.acls_extra)
        brokers = sum(map(len, self.brokers.values()))
        return len(self.missing) + len(self.extra) + len(self.changed) + acls + brokers

    def document(self) -> Json:
        return {
            "differences": self.count,
            "topics": {
                "missing": [_known(topic) for topic in self.missing],
                "extra": [_known(topic) for topic in self.extra],
                "changed": [topic.document() for topic in self.changed],
            },
            "acls": {
                "missing": [acl.document() for acl in self.acls_missing],
                "extra": [acl.document() for acl in self.acls_extra],
            },
            "brokers": {broker: dict(settings) for broker, settings in self.brokers.items()},
            "not_selected": list(self.not_selected),
            "unread": [asdict(part) for part in self.unread],
        }


def _known(topic: TopicSnapshot) -> Json:
    return {
        "topic": topic.topic,
        "partitions": topic.partitions,
        "replication": topic.replication,
        "config": topic.config,
    }


def differences(
    archived: WholeSnapshot,
    live: WholeSnapshot,
    *,
    prefix: str = "",
    busy: Mapping[tuple[str, str], str] | None = None,
) -> Differences:
    """How the cluster differs from the snapshot.

    Args:
        prefix: What archived topics have in front of their names on the cluster. With it, only topics that begin so
            can be extra, and access control never is.
        busy: Topics of the cluster in an unfinished restore, see `busy`.
    """
    wanted = {prefix + topic.topic: replace(topic, topic=prefix + topic.topic) for topic in _data(archived.topics)}
    there = {topic.topic: topic for topic in _data(live.topics)}
    unknown = {prefix + name for name in _names(archived.failed)} | set(_names(live.failed))
    busy = busy or {}
    begun = {name: run_id for (name, topic_id), run_id in busy.items() if not topic_id}
    changed = (
        _topic_difference(wanted[name], there[name], busy.get((name, there[name].topic_id), "") or begun.get(name, ""))
        for name in sorted(wanted.keys() & there.keys())
    )
    acls_missing, acls_extra = _acl_differences(archived, live, prefix)
    return Differences(
        tuple(wanted[name] for name in sorted(wanted.keys() - there.keys() - unknown)),
        tuple(there[name] for name in sorted(there.keys() - wanted.keys() - unknown) if name.startswith(prefix)),
        tuple(found for found in changed if found is not None),
        acls_missing,
        acls_extra,
        _broker_differences(archived, live),
        tuple(_not_selected(archived, live)),
        (*_unread("archived", archived.failed), *_unread("live", live.failed)),
        begun,
    )


def _data(topics: Iterable[TopicSnapshot]) -> Iterator[TopicSnapshot]:
    return (topic for topic in topics if not topic.topic.startswith(OWN))


def _names(failed: Iterable[Missing]) -> Iterator[str]:
    return (missing.name for missing in failed if missing.part == "topic")


def _topic_difference(archived: TopicSnapshot, live: TopicSnapshot, restoring: str) -> TopicDifference | None:
    settings = _pairs(archived.config, live.config)
    same = (archived.partitions, archived.replication) == (live.partitions, live.replication)
    return None if same and not settings else TopicDifference(archived, live, settings, restoring)


def _pairs(archived: Mapping[str, str | None], live: Mapping[str, str | None]) -> dict[str, Pair]:
    sides = {"archived": archived, "live": live}
    differing = (name for name in sorted(archived.keys() | live.keys()) if not _equal(name, archived, live))
    return {name: {side: settings[name] for side, settings in sides.items() if name in settings} for name in differing}


def _equal(name: str, archived: Mapping[str, str | None], live: Mapping[str, str | None]) -> bool:
    return name in archived and name in live and archived[name] == live[name]


def _acl_differences(
    archived: WholeSnapshot, live: WholeSnapshot, prefix: str
) -> tuple[tuple[Acl, ...], tuple[Acl, ...]]:
    """Missing ones and extra ones; none where a side could not read them."""
    before, now = _acls(archived), _acls(live)
    if before is None or now is None:
        return (), ()
    topics = {topic.topic: prefix + topic.topic for topic in archived.topics}
    wanted = wanted_acls(before, Names(topics if prefix else None))
    extra = set() if prefix else now - before
    return tuple(acl for acl in wanted.acls if acl not in now), tuple(sorted(extra))


def _acls(snapshot: WholeSnapshot) -> set[Acl] | None:
    """A cluster that checks no rights has none."""
    if snapshot.acls is not None:
        return set(map(Acl.of, snapshot.acls))
    return set() if Missing("acls", NO_AUTHORIZER) in snapshot.failed else None


def _broker_differences(archived: WholeSnapshot, live: WholeSnapshot) -> dict[str, dict[str, Pair]]:
    """Of what was set while brokers ran. A broker without such settings is as good as one that is not there."""
    before, now = _dynamic(archived), _dynamic(live)
    unread = {missing.name for missing in (*archived.failed, *live.failed) if missing.part == "broker_config"}
    if archived.broker_defaults is None or live.broker_defaults is None:
        unread.add(FOR_ALL)
    compared = sorted((before.keys() | now.keys()) - unread)
    found = {broker: _pairs(before.get(broker, {}), now.get(broker, {})) for broker in compared}
    return {broker: pairs for broker, pairs in found.items() if pairs}


def _dynamic(snapshot: WholeSnapshot) -> dict[str, Mapping[str, str | None]]:
    of_brokers = {str(broker["id"]): broker["dynamic"] for broker in snapshot.brokers if "dynamic" in broker}
    return of_brokers | {FOR_ALL: snapshot.broker_defaults or {}}


def _not_selected(archived: WholeSnapshot, live: WholeSnapshot) -> list[str]:
    """As the live snapshot was asked to mark them, else as the archived one did."""
    marked = live if any(topic.selected is not None for topic in live.topics) else archived
    there = {topic.topic for topic in live.topics}
    return sorted(name for name in marked.not_selected if name in there and not name.startswith(OWN))


def _unread(side: str, failed: Iterable[Missing]) -> Iterator[Unread]:
    """Without what is no gap: a cluster that checks no rights. Users are not compared."""
    for missing in failed:
        if missing.part != "scram_users" and missing != Missing("acls", NO_AUTHORIZER):
            yield Unread(side, missing.part, missing.code, missing.name)
