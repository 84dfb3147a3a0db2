"""`millpond cluster diff`: how a cluster differs from the newest snapshot of the archive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.cluster.diff import Differences, Pair, TopicDifference
from millpond.cluster.run import Compared, compare_cluster
from millpond.cluster.snapshot import TopicSnapshot
from millpond.kafka.acls import Acl
from millpond.settings.cluster import ClusterDiffSettings
from millpond.verify.happenings import moment

Settings = ClusterDiffSettings
_DIFFERENT, _NOT_COMPARED = 3, 1


def run(settings: ClusterDiffSettings) -> Outcome:
    store, layout = settings.open_archive()
    compared = compare_cluster(
        store,
        layout,
        settings.cluster(),
        until_ms=settings.until_ms,
        now_ms=now_ms(),
        selection=settings.selection(),
        prefix=settings.prefix,
    )
    document = compared.document() | compared.differences.document()
    return Outcome(document, "\n".join(_lines(compared)), _exit_code(compared.differences))


def _exit_code(found: Differences) -> int:
    return _DIFFERENT if found.count else _NOT_COMPARED if found.unread else 0


def headline(compared: Compared) -> str:
    """Which two were compared."""
    archived, live = compared.found.snapshot, compared.live
    where = "the same cluster" if archived.cluster_id == live.cluster_id else f"cluster {live.cluster_id}, another one"
    return f"{compared.found.key}, of {moment(archived.at)}, beside {where}"


def _lines(compared: Compared) -> Iterator[str]:
    found = compared.differences
    yield f"{headline(compared)}: {found.count or 'no'} difference{'' if found.count == 1 else 's'}"
    yield from (f"  missing topic {_topic(topic)}" for topic in found.missing)
    yield from (f"  extra topic {_topic(topic)}" for topic in found.extra)
    for topic in found.changed:
        yield from _changed(topic)
    yield from (f"  missing access control: {told_acl(acl)}" for acl in found.acls_missing)
    yield from (f"  extra access control: {told_acl(acl)}" for acl in found.acls_extra)
    for broker, settings in found.brokers.items():
        name = "all brokers" if broker == "all" else f"broker {broker}"
        yield from (f"  {name}: {told}" for told in _settings(settings))
    yield from (f"  not covered by the backup: {name}" for name in found.not_selected)
    for part in found.unread:
        yield f"  NOT COMPARED: {part.side} {part.part}{f' {part.name}' if part.name else ''}: {part.code}"


def _topic(topic: TopicSnapshot) -> str:
    return f"{topic.topic}: {topic.partitions} partitions, {topic.replication} replicas"


def _changed(topic: TopicDifference) -> Iterator[str]:
    held = f" (in the unfinished restore {topic.restoring})" if topic.restoring else ""
    for name in ("partitions", "replication"):
        before, now = getattr(topic.archived, name), getattr(topic.live, name)
        if before != now:
            yield f"  topic {topic.topic}: {name} {before} in the archive, {now} here{held}"
    yield from (f"  topic {topic.topic}: {told}{held}" for told in _settings(topic.settings))


def _settings(settings: Mapping[str, Pair]) -> Iterator[str]:
    for name, pair in settings.items():
        yield f"{name} {_side(pair, 'archived')} in the archive, {_side(pair, 'live')} here"


def _side(pair: Pair, side: str) -> str:
    if side not in pair:
        return "not set"
    return "a secret" if pair[side] is None else str(pair[side])


def told_acl(acl: Acl) -> str:
    """An entry on one line."""
    name = f"{acl.resource_type} {acl.pattern_type} {acl.resource_name}"
    return f"{acl.permission} {acl.principal} from {acl.host}: {acl.operation} on {name}"
