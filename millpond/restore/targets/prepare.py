"""Target topics in a safe state: nothing is deleted, compacted or stamped anew while a restore writes to them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import SETTINGS, Run
from millpond.errors import MillpondError, RefusedForSafety, TryAgain, WrongUsage
from millpond.kafka.admin import TIMEOUT_S, Cluster, TopicDescription
from millpond.kafka.metadata import describe_cluster
from millpond.kafka.places import Place
from millpond.kafka.rights import topic_rights
from millpond.restore.planning.plan import KIND
from millpond.restore.request import RestoreRequest
from millpond.restore.targets import judge
from millpond.restore.targets.preflight import existing_finding, refuse_failed, safe_settings
from millpond.restore.targets.rights import missing_rights
from millpond.restore.targets.topics import TargetTopic, request_of, target_topics
from millpond.restore.writing.target import still_ends
from millpond.storage.contract import ObjectStore


def prepare_restore(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str) -> list[Json]:
    """Makes or checks every target topic of the plan, and records what was there before. May be repeated.

    Raises:
        RefusedForSafety: A target topic holds records that this run did not write and that are not allowed, or has
            another partition count, or somebody writes to it.
        WrongUsage: The user lacks a right, or the brokers do not make a topic so.
    """
    run = Run(store, layout, KIND, run_id)
    plan = run.plan()
    request, cluster_id = request_of(plan), cluster.cluster_id()
    topics = target_topics(store, layout, cluster, plan, cluster_id=cluster_id)
    fresh = [topic for topic in topics if topic.prepared is None]
    refuse_failed(
        [
            judge.targets(topics, cluster_id),
            judge.partition_counts(fresh, request),
            existing_finding(cluster, fresh, request),
        ]
    )
    if run.find(SETTINGS) is not None:  # the topics have their final settings, and may be in use
        return [topic.prepared for topic in topics if topic.prepared is not None]
    preparing = _Preparing(run, cluster, cluster_id, request, _bases(cluster, fresh, request))
    return [preparing.prepare(topic) for topic in topics]


def _bases(cluster: Cluster, fresh: list[TargetTopic], request: RestoreRequest) -> Mapping[Place, int]:
    """Where restored records begin in topics that are there."""
    there = [topic.there for topic in fresh if topic.there is not None]
    places = [(found.name, number) for found in there for number in range(found.partitions)]
    starts = cluster.log_starts(places)
    if not request.allow_existing or starts == cluster.ends(places):
        # Not the ends: a record that somebody writes meanwhile must not pass for one that was there before.
        return starts
    ends = still_ends(cluster, places)
    if moving := sorted(set(places) - set(ends)):
        raise RefusedForSafety(
            f"the ends of {len(moving)} partitions do not come to rest, among them {moving[0][0]}-{moving[0][1]}: "
            "somebody writes to them",
            hint="stop everybody who writes to the target topics",
        )
    return ends


class _Preparing:
    """One run's way to its target topics."""

    def __init__(
        self, run: Run, cluster: Cluster, cluster_id: str, request: RestoreRequest, bases: Mapping[Place, int]
    ) -> None:
        self._run, self._cluster, self._cluster_id = run, cluster, cluster_id
        self._request, self._bases = request, bases
        self._brokers = len(describe_cluster(cluster).racks)

    def prepare(self, topic: TargetTopic) -> Json:
        """Makes the topic, or makes it safe. What was there before is written down in between."""
        name = topic.target
        if topic.prepared is not None:
            self._cluster.set_topic_config(name, topic.prepared["safe"])  # an earlier try may have been killed before
            return topic.prepared
        safe = self._safe_settings(topic)
        if topic.there is None:
            made = self._make(topic, safe)
            bases = dict.fromkeys(range(made.partitions), 0)
        else:
            made = topic.there
            bases = {number: self._bases[name, number] for number in range(made.partitions)}
        self._refuse_without_rights(name)
        prepared = self._run.write_once(self._document(topic, made, safe, bases), "prepared", f"{name}.json")
        self._cluster.set_topic_config(name, safe)
        return prepared

    def _safe_settings(self, topic: TargetTopic) -> dict[str, str]:
        if topic.unreadable:
            raise WrongUsage(
                f"the settings of {topic.target} may not be read, so they could not be given back",
                hint="grant the user DescribeConfigs on it",
            )
        found = safe_settings(self._cluster, topic, self._request, self._brokers)
        if found.denial is None:
            return dict(found.config)
        if found.denial.code == "TOPIC_ALREADY_EXISTS":
            raise _made_just_now(topic.target)
        raise WrongUsage(
            f"the brokers would not make or change topic {topic.target}: {found.denial}",
            hint="grant the user Create and AlterConfigs, or see what the target's rules allow",
        )

    def _make(self, topic: TargetTopic, safe: Mapping[str, str]) -> TopicDescription:
        """Says before that it is about to: the next try must know an empty topic that was left behind."""
        name, replicas = topic.target, topic.replication(self._request, self._brokers)
        self._run.write_once({"topic": name, "cluster_id": self._cluster_id}, "making", f"{name}.json")
        try:
            self._cluster.create_topic(name, topic.partitions(self._request), safe, replication=replicas)
        except MillpondError as error:
            if self._cluster.describe([name]):
                raise _made_just_now(name) from error
            raise
        return self._cluster.wait_for(name)

    def _refuse_without_rights(self, name: str) -> None:
        """Rights on a topic that was not there can be asked for only now."""
        deadline = time.monotonic() + TIMEOUT_S
        while (found := topic_rights(self._cluster, [name]).get(name)) is None:
            if time.monotonic() > deadline:
                raise TryAgain(f"topic {name} is gone, or may not be described any more", hint="start the run again")
            time.sleep(0.1)  # one broker has shown it, another may learn of it later
        if told := missing_rights(found):
            raise WrongUsage(f"the user lacks rights on {name}: {told}", hint="grant them and start the same run again")

    def _document(
        self, topic: TargetTopic, made: TopicDescription, safe: Mapping[str, str], bases: Mapping[int, int]
    ) -> Json:
        replicas = made.replication
        return {
            "topic": topic.target,
            "topic_id": made.topic_id,
            "cluster_id": self._cluster_id,
            "made": topic.made,
            "replication": replicas,
            "prior": dict(topic.prior or {}),
            "safe": dict(safe),
            "final": topic.final(self._request, replicas),
            "left_out": topic.left_out(self._request, replicas),
            "base": {str(number): base for number, base in bases.items()},
        }


def _made_just_now(topic: str) -> TryAgain:
    """By somebody else, perhaps the same run started twice; what it is now has to be looked at anew."""
    return TryAgain(f"topic {topic} was made just now by somebody else", hint="start the same run again")
