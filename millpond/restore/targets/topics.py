"""Target topics: what plan and archive want of each, and what the cluster has of it. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.archive.keys import Incarnation, Layout
from millpond.archive.runs import Run
from millpond.cluster.snapshot import TopicSnapshot, latest_topics
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.answers import Refusal
from millpond.kafka.metadata import own_topic_configs
from millpond.restore.planning.plan import KIND
from millpond.restore.request import RestoreRequest, parse_request
from millpond.restore.targets.safety import left_safe, portable, restored_to
from millpond.restore.targets.unfinished import earlier_state
from millpond.storage.as_of import AsOf
from millpond.storage.contract import ObjectStore

BROKERS_DEFAULT = -1
_IN_SYNC = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class TargetTopic:
    """One target topic.

    Attributes:
        topic: Its name in the archive.
        archived_partitions: As the archive has it.
        archived: Its newest snapshot, or None.
        there: What the cluster has under the target's name, or None.
        hidden: Whether the user may not even describe it.
        prior: The topic's own settings before any restore touched it; None where a restore makes it, or where they may
            not be seen.
        made: Whether it is not there, or a restore made it that was interrupted then.
        prepared: What this run wrote down when it prepared it, or None.
    """

    topic: str
    target: str
    archived_partitions: int
    archived: TopicSnapshot | None = None
    there: TopicDescription | None = None
    hidden: bool = False
    prior: Mapping[str, str] | None = None
    made: bool = True
    prepared: Json | None = None

    @property
    def unreadable(self) -> bool:
        """Whether the topic is there and its settings may not be seen."""
        return self.prepared is None and not self.made and self.prior is None

    def partitions(self, request: RestoreRequest) -> int:
        """How many it has or gets."""
        if request.repartition is None:
            return self.archived_partitions
        if self.there is not None:
            return self.there.partitions
        return request.repartition.partitions or self.archived_partitions

    def replication(self, request: RestoreRequest, brokers: int) -> int:
        """Replicas that it has or gets; `BROKERS_DEFAULT` where nobody says."""
        if self.there is not None:
            return self.there.replication
        if request.replication is not None:
            return request.replication
        return min(self.archived.replication, brokers) if self.archived is not None else BROKERS_DEFAULT

    def final(self, request: RestoreRequest, replication: int) -> dict[str, str]:
        """The settings that it ends with; of a topic that was there, only those that a restore changes."""
        if not self.made:
            return restored_to(self.prior or {})
        if not request.configs or self.archived is None:
            return {}
        found = portable(self.archived.config)
        for name in self.left_out(request, replication):
            del found[name]
        return found

    def left_out(self, request: RestoreRequest, replication: int) -> dict[str, str]:
        """Archived settings that it does not get, and why: nobody could write to it."""
        if not self.made or not request.configs or self.archived is None:
            return {}
        wanted = self.archived.config.get(_IN_SYNC, "")
        too_many = wanted.isdecimal() and 0 < replication < int(wanted)
        return {_IN_SYNC: f"{wanted} is more than the {replication} replicas"} if too_many else {}


def request_of(plan: Json) -> RestoreRequest:
    return parse_request(plan["request"])


def target_topics(
    store: ObjectStore, layout: Layout, cluster: Cluster, plan: Json, *, cluster_id: str
) -> list[TargetTopic]:
    """All of the plan's, in its order. The run of the plan need not have been written."""
    run = Run(store, layout, KIND, plan["run_id"])
    names = [topic["target"] for topic in plan["topics"]]
    hidden: set[str] = set()
    there = cluster.describe(names, refused=hidden)
    configs = own_topic_configs(cluster, sorted(there))
    archived = _archived(store, layout, plan)
    found = []
    for topic in plan["topics"]:
        name = topic["target"]
        described, prepared = there.get(name), run.find("prepared", f"{name}.json")
        state = _state(run, described, configs.get(name), cluster_id) if prepared is None else prepared
        found.append(
            TargetTopic(
                topic["topic"],
                name,
                topic["partitions"],
                archived.get(Incarnation(topic["topic"], topic["topic_id"])),
                described,
                name in hidden,
                None if state["made"] else state["prior"],
                state["made"],
                prepared,
            )
        )
    return found


def _archived(store: ObjectStore, layout: Layout, plan: Json) -> dict[Incarnation, TopicSnapshot]:
    as_of = request_of(plan).as_of
    view = store if as_of is None else AsOf(store, as_of)
    return latest_topics(view, layout, [Incarnation(topic["topic"], topic["topic_id"]) for topic in plan["topics"]])


def _state(run: Run, there: TopicDescription | None, config: dict[str, str] | Refusal | None, cluster_id: str) -> Json:
    """Whether a restore makes or made the topic, and its settings before."""
    if there is None:
        return {"made": True, "prior": {}}
    if config is None or isinstance(config, Refusal):
        return {"made": False, "prior": None}
    earlier = earlier_state(run, there.name, there.topic_id, cluster_id) if left_safe(config) else None
    return earlier or {"made": False, "prior": config}
