"""The probes of the source cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from confluent_kafka.admin import AclOperation

from millpond.errors import MillpondError
from millpond.findings import Finding, failed, failed_by, passed, reporting, warned
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.kafka.probe import Probe
from millpond.kafka.rights import may_read_group, topic_rights
from millpond.kafka.selection import Selection
from millpond.preflight import topics as judge
from millpond.preflight.reading import reading
from millpond.preflight.topics import OpenTransaction, TopicFacts

_LOOKED_INTO = 20
"""Partitions with open transactions whose age is read, those with most records first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the backup is meant to do.

    Attributes:
        group_id: "" where the archive that names it does not exist yet.
        archived_cluster_id: Of the archive, "" where there is none yet.
        erasure_days: 0 where there is no term.
    """

    selection: Selection
    group_id: str
    archived_cluster_id: str
    longest_stop_ms: int
    erasure_days: int

    @property
    def reading_group(self) -> str:
        """What a reader that joins no group calls itself."""
        return self.group_id or "millpond-check"


def cluster_findings(cluster: Cluster, wanted: Wanted, now_ms: Callable[[], int]) -> tuple[list[Finding], int]:
    """All findings, and how many partitions a backup would read. Those that need an answer that did not come are left
    out."""
    findings: list[Finding] = []
    try:
        cluster_id = cluster.cluster_id()
    except MillpondError as error:
        return [failed_by("brokers", error)], 0
    findings.append(passed("brokers", f"they answer; cluster {cluster_id}"))
    findings.append(_same_cluster(cluster_id, wanted.archived_cluster_id))
    findings.append(judge.creation(cluster.address.properties))
    findings.append(_group(cluster, wanted.group_id))
    facts: list[TopicFacts] = []
    with reporting("topics", findings):
        facts = _topics(cluster, wanted, findings)
    if facts:
        _about(cluster, facts, wanted, findings, now_ms)
    return findings, sum(topic.partitions for topic in facts)


def _same_cluster(cluster_id: str, archived: str) -> Finding:
    if archived in ("", cluster_id):
        return passed("cluster", "the archive's" if archived else "there is no archive yet: it will be this cluster's")
    return failed(
        "cluster",
        f"the archive holds cluster {archived}, the brokers belong to {cluster_id}",
        "use a new prefix for this cluster; two clusters must never share an archive",
    )


def _group(cluster: Cluster, group_id: str) -> Finding:
    if not group_id:
        return warned(
            "group",
            "its name is not known before the archive exists",
            "the first backup makes it millpond-<archive_id>",
        )
    try:
        may_read = may_read_group(cluster, group_id)
    except MillpondError as error:
        return failed_by("group", error)
    if may_read is False:
        return failed("group", f"Read is missing on the group {group_id}", "grant the user Read on the group")
    return passed("group", f"{group_id} may be read")


def _topics(cluster: Cluster, wanted: Wanted, findings: list[Finding]) -> list[TopicFacts]:
    """The chosen topics with all that the cluster tells of them."""
    names = cluster.topic_names()
    selection = wanted.selection
    chosen = selection.match(names)
    by_expression = {told: len(one.match(names)) for told, one in selection.each().items()}
    said = (*selection.include, *selection.exclude)
    others = [
        name
        for name in Selection.of([".*"]).match(names)
        if name not in selection.names and not any(one.fullmatch(name) for one in said)
    ]
    findings.append(judge.matched(by_expression, len(chosen), others))
    rights = topic_rights(cluster, chosen)
    settings = cluster.settings_of(rights)
    return [
        TopicFacts(
            name,
            told.topic_id,
            told.partitions,
            told.allows(AclOperation.READ),
            told.allows(AclOperation.DESCRIBE_CONFIGS),
            settings.get(name, {}),
        )
        for name, told in sorted(rights.items())
    ]


def _about(
    cluster: Cluster, facts: list[TopicFacts], wanted: Wanted, findings: list[Finding], now_ms: Callable[[], int]
) -> None:
    findings.append(judge.rights(facts))
    findings.append(judge.topic_ids(facts))
    findings.append(judge.retention(facts, longest_stop_ms=wanted.longest_stop_ms))
    if wanted.erasure_days:
        findings.append(judge.erasure_term(facts, days=wanted.erasure_days))
    findings.append(judge.tombstones(facts, longest_stop_ms=wanted.longest_stop_ms))
    readable = [topic for topic in facts if topic.may_read is not False]
    places = [(topic.name, number) for topic in readable for number in range(topic.partitions)]
    with reporting("transactions", findings):
        findings.append(judge.transactions(_open_transactions(cluster, wanted, places, now_ms())))
    with reporting("reading", findings):
        findings.append(reading(cluster.address, wanted.reading_group, _one_of_each(cluster, places)))


def _one_of_each(cluster: Cluster, places: list[Place]) -> dict[Place, int]:
    """For each topic with records a partition that has some, and where they begin."""
    starts, ends = cluster.log_starts(places), cluster.ends(places, committed=True)
    found: dict[str, tuple[Place, int]] = {}
    for place, start in starts.items():
        if ends.get(place, start) > start:
            found.setdefault(place[0], (place, start))
    return dict(found.values())


def _open_transactions(cluster: Cluster, wanted: Wanted, places: list[Place], now_ms: int) -> list[OpenTransaction]:
    stable, ends = cluster.ends(places, committed=True), cluster.ends(places)
    behind = {place: ends[place] - stable[place] for place in places if ends[place] > stable[place]}
    most = sorted(behind, key=lambda place: -behind[place])
    ages = _ages(cluster, wanted, {place: stable[place] for place in most[:_LOOKED_INTO]}, now_ms)
    return [OpenTransaction(*place, behind[place], ages.get(place)) for place in most]


def _ages(cluster: Cluster, wanted: Wanted, at: dict[Place, int], now_ms: int) -> dict[Place, int]:
    """How old the record at each place is: the first one of the oldest open transaction."""
    if not at:
        return {}
    ages: dict[Place, int] = {}
    with Probe(cluster.address, wanted.reading_group, committed=False) as probe:
        for place, offset in at.items():
            with closing(probe.read(place, offset, offset)) as records:  # type: ignore[type-var]
                stamps = [message.timestamp()[1] for message in records]
            if stamps and stamps[0] > 0:
                ages[place] = max(0, now_ms - stamps[0])
    return ages
