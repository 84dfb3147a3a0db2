"""Offsets as they are: for the cluster that the snapshot was taken of, where topics are what they were."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from millpond.archive.identity import identity_of
from millpond.archive.keys import Layout
from millpond.groups.values import Group, PartitionOffset, TopicOffsets
from millpond.kafka.admin import Cluster, TopicDescription
from millpond.restore.groups.values import HIDDEN, Decision, Status
from millpond.storage.contract import ObjectStore


@dataclass(frozen=True, slots=True)
class SameOffsets:
    """Decides without a restore: an offset stays what it is as long as its topic does."""

    archive_id: str
    there: dict[str, TopicDescription]
    hidden: set[str]

    @classmethod
    def open(cls, store: ObjectStore, layout: Layout, cluster: Cluster, groups: Iterable[Group]) -> SameOffsets:
        """Asks for the topics of these groups. `RefusedForSafety` where the archive holds another cluster."""
        identity = identity_of(store, layout, cluster_id=cluster.cluster_id())
        names = {topic.topic for group in groups for topic in group.topics}
        hidden: set[str] = set()
        return cls(identity.archive_id, cluster.describe(names, refused=hidden), hidden)

    def decide(self, topic: TopicOffsets, found: PartitionOffset) -> Decision:
        """Where this offset belongs."""
        there, place = self.there.get(topic.topic), (topic.topic, found.partition)
        if topic.topic in self.hidden:
            return Decision(Status.FAILED, place, reason=HIDDEN)
        if there is None:
            return Decision(Status.SKIPPED, place, reason="target_missing")
        if topic.topic_id != there.topic_id:
            reason = "other_incarnation" if topic.topic_id else "unknown_incarnation"
            return Decision(Status.SKIPPED, reason=reason)
        if found.partition >= there.partitions:
            return Decision(Status.SKIPPED, reason="no_such_partition")
        # With the epoch, the consumer itself notices a log that was cut since.
        return Decision(Status.APPLIED, place, found.offset, found.leader_epoch)
