"""Looks whether a planned restore would work, before anything is made or written.

Brokers are asked to make the missing topics and to change the others without doing it: they check rights, rules and
settings as they would when it is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.clock import now_ms as clock_ms
from millpond.errors import RefusedForSafety, WrongUsage
from millpond.findings import Finding, State, failed, named, passed, reporting
from millpond.groups.take import GroupChoice
from millpond.kafka.admin import Cluster
from millpond.kafka.answers import Refusal
from millpond.kafka.metadata import broker_settings, describe_cluster
from millpond.kafka.topic_changes import Denial, change_settings, creation_denied
from millpond.restore.groups.snapshots import planned_snapshot
from millpond.restore.planning.plan import KIND
from millpond.restore.request import RestoreRequest
from millpond.restore.targets import judge, rights
from millpond.restore.targets.ages import Ages, count_objects, count_topics
from millpond.restore.targets.judge import BrokerFacts
from millpond.restore.targets.safety import SAFE_CONFIG, Accepted, accepted, made_with
from millpond.restore.targets.topics import TargetTopic, request_of, target_topics
from millpond.storage.contract import ObjectStore

_SAFETY = (judge.TARGETS, judge.PARTITIONS, judge.EXISTING)


def preflight_restore(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str) -> list[Finding]:
    """All findings of a planned run.

    Raises:
        RefusedForSafety, WrongUsage: Some are `FAILED`; all of them are named.
        TryAgain: The brokers do not answer.
    """
    run = Run(store, layout, KIND, run_id)
    cluster.cluster_id()
    lines = (_whole(run, line) for _, line in run.lines())
    findings = preflight_plan(store, layout, cluster, run.plan(), lines, now_ms=clock_ms())
    refuse_failed(findings)
    return findings


def _whole(run: Run, line: Json) -> Json:
    """The line with all its objects, also where it has several sources."""
    return line | {"sources": [run.whole_line(source) for source in line.get("sources", ())]}


def refuse_failed(findings: Iterable[Finding]) -> None:
    """Raises with the reasons and hints of all that are `FAILED`: `RefusedForSafety` where data is at stake."""
    bad = [finding for finding in findings if finding.state is State.FAILED]
    if bad:
        kind = RefusedForSafety if any(finding.probe in _SAFETY for finding in bad) else WrongUsage
        hints = dict.fromkeys(finding.hint for finding in bad if finding.hint)
        raise kind("; ".join(finding.text for finding in bad), hint="; ".join(hints))


def preflight_plan(
    store: ObjectStore, layout: Layout, cluster: Cluster, plan: Json, lines: Iterable[Json] | None, *, now_ms: int
) -> list[Finding]:
    """All findings of a plan, also of one that was not written. What needs an answer that did not come is left out.

    Args:
        lines: With all their `objects`, or those of their `sources`. None where they are not at hand: then a topic
            counts as too old only if all of its objects are.
    """
    findings: list[Finding] = []
    with reporting("brokers", findings):
        cluster_id = cluster.cluster_id()
        findings += [passed("brokers", f"they answer; cluster {cluster_id}"), _cluster(cluster_id, plan)]
        with reporting(judge.TARGETS, findings):
            topics = target_topics(store, layout, cluster, plan, cluster_id=cluster_id)
            findings.append(judge.targets(topics, cluster_id))
            _Look(cluster, topics, request_of(plan), findings).all(store, layout, lines, plan, now_ms)
    return findings


def _cluster(cluster_id: str, plan: Json) -> Finding:
    archived = plan["cluster_id"]
    return passed("cluster", "the one that was backed up" if cluster_id == archived else f"another than {archived}")


@dataclass(slots=True)
class _Look:
    """One look at a cluster. Topics that the run has prepared already are asked for rights alone."""

    cluster: Cluster
    topics: Sequence[TargetTopic]
    request: RestoreRequest
    findings: list[Finding]
    brokers: BrokerFacts = field(init=False)

    def all(self, store: ObjectStore, layout: Layout, lines: Iterable[Json] | None, plan: Json, now_ms: int) -> None:
        fresh = [topic for topic in self.topics if topic.prepared is None and not topic.hidden]
        self.findings += rights.findings(self.cluster, self.topics, self._groups(store, plan), acls=self.request.acls)
        self.findings.append(judge.partition_counts(fresh, self.request))
        with reporting(judge.EXISTING, self.findings):
            self.findings.append(existing_finding(self.cluster, fresh, self.request))
        with reporting("replication", self.findings):
            self.brokers = _broker_facts(self.cluster)
            self.findings.append(self._in_sync() or judge.replication(fresh, self.request, self.brokers))
            self._settings(fresh)
            self._ages(layout, lines, plan, now_ms)
        self.findings.append(judge.space(plan["bytes"]))

    def _groups(self, store: ObjectStore, plan: Json) -> list[str]:
        """Groups of the target that get offsets."""
        asked = self.request.groups
        if asked is None:
            return []
        choice = GroupChoice.of(plan["archive_id"], asked.include, asked.exclude)
        known = (group.group_id for group in planned_snapshot(store, plan["groups"]).groups)
        return [asked.prefix + group_id for group_id in choice.match(known)]

    def _in_sync(self) -> Finding | None:
        """Topics that are there and take no record, as more replicas must be in sync than there are."""
        there = {topic.target: topic.there for topic in self.topics if topic.there is not None}
        settings = self.cluster.settings_of(there)
        few = [
            f"{name} ({settings[name]['min.insync.replicas']})"
            for name, found in there.items()
            if int(settings.get(name, {}).get("min.insync.replicas", 1)) > found.replication
        ]
        text = f"more replicas must be in sync than there are: {named(few)}"
        return failed("replication", text, "lower min.insync.replicas of these topics") if few else None

    def _settings(self, fresh: Sequence[TargetTopic]) -> None:
        taken = {topic.target: safe_settings(self.cluster, topic, self.request, self.brokers.count) for topic in fresh}
        self.findings.append(judge.changes(taken))
        self.findings.append(judge.message_size(fresh, taken, self.brokers))
        self.findings.append(judge.timestamps(taken))
        willing = [topic for topic in fresh if topic.there is None and taken[topic.target].denial is None]
        self.findings.append(judge.final_settings({topic.target: self._final_refused(topic) for topic in willing}))

    def _final_refused(self, topic: TargetTopic) -> Mapping[str, str]:
        count, replicas = topic.partitions(self.request), topic.replication(self.request, self.brokers.count)
        final = topic.final(self.request, replicas)

        def ask(config: Mapping[str, str]) -> Denial | None:
            return creation_denied(self.cluster, topic.target, count, config, replication=replicas)

        return accepted(ask, final, essential={}).refused

    def _ages(self, layout: Layout, lines: Iterable[Json] | None, plan: Json, now_ms: int) -> None:
        finals = {topic.target: self._final(topic) for topic in self.topics}
        ages = {name: Ages(self._limit(final, now_ms)) for name, final in finals.items()}
        if lines is not None:
            count_objects(layout, lines, ages)
        else:
            count_topics(plan, ages)
        known = self.brokers.settings is not None or all("retention.ms" in final for final in finals.values())
        self.findings.append(judge.compaction(finals))
        self.findings.append(judge.retention(finals, ages, self.request, known=known))

    def _final(self, topic: TargetTopic) -> Mapping[str, str]:
        if topic.prepared is not None:
            found: Mapping[str, str] = topic.prepared["final"]
            return found
        return topic.final(self.request, topic.replication(self.request, self.brokers.count))

    def _limit(self, final: Mapping[str, str], now_ms: int) -> int | None:
        """The time before which the final settings let records go; None where they never do."""
        if "delete" not in final.get("cleanup.policy", "delete"):
            return None
        own = final.get("retention.ms")
        kept = self.brokers.retention_ms if own is None else int(own)
        if kept is None or kept < 0 or (own is None and self.brokers.settings is None):
            return None
        return now_ms - kept


def safe_settings(cluster: Cluster, topic: TargetTopic, request: RestoreRequest, brokers: int) -> Accepted:
    """Which of the safe settings brokers take for this topic; nothing is made or changed."""
    if topic.there is not None:
        return accepted(lambda config: change_settings(cluster, topic.target, config, only_ask=True), SAFE_CONFIG)
    count, replicas = topic.partitions(request), topic.replication(request, brokers)
    return accepted(
        lambda config: creation_denied(cluster, topic.target, count, config, replication=replicas),
        made_with(topic.final(request, replicas)),
    )


def existing_finding(cluster: Cluster, fresh: Iterable[TargetTopic], request: RestoreRequest) -> Finding:
    """Whether topics that this run has not prepared hold records."""
    topics = list(fresh)
    there = [topic.there for topic in topics if topic.there is not None]
    places = [(found.name, number) for found in there for number in range(found.partitions)]
    return judge.existing_data(topics, cluster.log_starts(places), cluster.ends(places), request)


def _broker_facts(cluster: Cluster) -> BrokerFacts:
    told = describe_cluster(cluster)
    found = broker_settings(cluster, sorted(told.racks))
    readable = [one for one in found.values() if not isinstance(one, Refusal)]
    if not readable:
        return BrokerFacts(len(told.racks), None)
    one = readable[0]
    texts = {**one.static, **one.dynamic_defaults, **one.dynamic}
    return BrokerFacts(len(told.racks), {name: text for name, text in texts.items() if text is not None})
