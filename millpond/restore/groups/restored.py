"""What a run of a restore tells of source and target offsets, read as far as it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from millpond.archive.documents import Json
from millpond.archive.keys import Layout, PartitionObject
from millpond.archive.names import WindowName
from millpond.archive.runs import Run
from millpond.errors import RefusedForSafety
from millpond.groups.values import PartitionOffset, TopicOffsets
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.kafka.places import Place
from millpond.restore.groups.chunks import Chunks
from millpond.restore.groups.translate import Stretch, on_the_branch, translated
from millpond.restore.groups.values import HIDDEN, Decision, Status
from millpond.restore.planning.plan import KIND
from millpond.storage.contract import ObjectStore

PAST_THE_RESTORED = "past_the_restored"
"""The group had read what the plan of the restore did not hold: it goes on behind the last restored record."""


@dataclass(slots=True)
class _Partition:
    """A restored partition.

    Attributes:
        end: Of what was restored, None while more may come.
        epochs: As `on_the_branch` wants them.
        planned: The source offset behind the last one that was to be restored.
    """

    stretches: Sequence[Stretch]
    end: int | None
    epochs: dict[int, int]
    planned: int


@dataclass(slots=True)
class RestoredRun:
    """Decides by a run of a restore, as far as that has come when this is made."""

    run: Run
    archive_id: str
    topics: dict[str, Json]
    lines: dict[Place, tuple[int, Json]]
    prepared: dict[str, Json | None]
    there: dict[str, TopicDescription]
    hidden: set[str] = field(default_factory=set)
    _partitions: dict[Place, _Partition] = field(default_factory=dict)

    @classmethod
    def open(cls, store: ObjectStore, layout: Layout, cluster: Cluster, run_id: str) -> RestoredRun:
        """Reads the plan, and what the target has of its topics.

        Raises:
            WrongUsage: There is no such run.
            RefusedForSafety: It wrote to another cluster.
        """
        run = Run(store, layout, KIND, run_id)
        plan = run.plan()
        topics = {topic["topic"]: topic for topic in plan["topics"]}
        targets = [topic["target"] for topic in topics.values()]
        prepared = {target: run.find("prepared", f"{target}.json") for target in targets}
        _refuse_other_cluster(prepared.values(), cluster, run_id)
        of_partitions = ((number, line) for number, line in run.lines() if "partition" in line)
        lines = {(line["topic"], line["partition"]): (number, line) for number, line in of_partitions}
        hidden: set[str] = set()
        there = cluster.describe(targets, refused=hidden)
        return cls(run, plan["archive_id"], topics, lines, prepared, there, hidden)

    def decide(self, topic: TopicOffsets, found: PartitionOffset) -> Decision:
        """Where this offset belongs."""
        planned = self.topics.get(topic.topic)
        if planned is None:
            return Decision(Status.SKIPPED, reason="not_in_the_run")
        if topic.topic_id != planned["topic_id"]:
            return Decision(Status.SKIPPED, reason="other_incarnation" if topic.topic_id else "unknown_incarnation")
        if planned.get("target_partitions", planned["partitions"]) != planned["partitions"]:
            return Decision(Status.SKIPPED, reason="repartitioned")
        if found.partition >= planned["partitions"]:
            return Decision(Status.SKIPPED, reason="no_such_partition")
        place = planned["target"], found.partition
        if (unfit := self._unfit(place)) is not None:
            return unfit
        partition = self._partition((topic.topic, found.partition), place)
        offset = on_the_branch(found.offset, found.leader_epoch, partition.epochs)
        target = translated(offset, partition.stretches, partition.end)
        if target is None:
            return Decision(Status.WAITING, place, reason="not_restored_yet")
        return Decision(Status.APPLIED, place, target, reason=_about_the_end(found.offset, target, partition))

    def _unfit(self, place: Place) -> Decision | None:
        """Why nothing can be committed for the target topic now."""
        prepared, there = self.prepared[place[0]], self.there.get(place[0])
        if place[0] in self.hidden:
            return Decision(Status.FAILED, place, reason=HIDDEN)
        if prepared is None:
            return Decision(Status.WAITING, place, reason="not_prepared_yet")
        if there is None:
            return Decision(Status.SKIPPED, place, reason="target_missing")
        if there.topic_id != prepared["topic_id"]:
            return Decision(Status.SKIPPED, place, reason="target_replaced")
        return None

    def _partition(self, source: Place, target: Place) -> _Partition:
        if target not in self._partitions:
            # The end before the chunks: were it the other way round, chunks written in between would be missed.
            end = self._end(source, target)
            line = self.lines[source][1] if source in self.lines else {"objects": []}
            planned = max((item["last"] + 1 for item in line["objects"]), default=0)
            self._partitions[target] = _Partition(Chunks(self.run, target), end, self._epochs(line), planned)
        return self._partitions[target]

    def _end(self, source: Place, target: Place) -> int | None:
        """Where the restored range ends; a partition without a line in the plan has no records to restore."""
        if source in self.lines:
            result = self.run.result(self.lines[source][0])
            return None if result is None else int(result["end"])
        base = (self.prepared[target[0]] or {})["base"]
        return int(base[str(target[1])])

    def _epochs(self, line: Json) -> dict[int, int]:
        """The first offset of each leader epoch, as the names of the planned windows tell."""
        found: dict[int, int] = {}
        for item in line["objects"]:
            what = self.run.layout.parse(item["key"])
            if isinstance(what, PartitionObject) and isinstance(what.name, WindowName) and what.name.epoch >= 0:
                found[what.name.epoch] = min(item["first"], found.get(what.name.epoch, item["first"]))
        return found


def _about_the_end(offset: int, target: int, partition: _Partition) -> str:
    """A code for a group that has no restored record ahead of it."""
    if target != partition.end:
        return ""
    return PAST_THE_RESTORED if offset > partition.planned else "at_the_end"


def _refuse_other_cluster(prepared: Iterable[Json | None], cluster: Cluster, run_id: str) -> None:
    there = cluster.cluster_id()
    other = {found["cluster_id"] for found in prepared if found is not None} - {there}
    if other:
        raise RefusedForSafety(
            f"run {run_id} restored to cluster {min(other)}, the brokers belong to {there}", hint="check --to-brokers"
        )
