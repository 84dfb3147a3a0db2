"""What the user must be allowed to do on the target, as far as brokers tell before anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka.admin import AclOperation

from millpond.errors import MillpondError
from millpond.findings import Finding, failed, failed_by, named, passed, warned
from millpond.kafka.admin import Cluster
from millpond.kafka.metadata import describe_cluster
from millpond.kafka.rights import TopicRights, readable_groups, topic_rights
from millpond.restore.targets.topics import TargetTopic
from millpond.restore.writing.claim import group_of

_NEEDED = {
    AclOperation.WRITE: "Write",
    AclOperation.READ: "Read",
    AclOperation.DESCRIBE_CONFIGS: "DescribeConfigs",
    AclOperation.ALTER_CONFIGS: "AlterConfigs",
}


def findings(
    cluster: Cluster, topics: Sequence[TargetTopic], groups: Sequence[str], *, acls: bool
) -> Iterator[Finding]:
    """One for each kind of right that the restore needs.

    Args:
        groups: That get offsets.
        acls: Whether access control is added.
    """
    yield _on_topics(cluster, topics)
    yield _exclusion(cluster, topics)
    if groups:
        yield _on_groups(cluster, groups)
    if acls:
        yield _on_cluster(cluster)


def missing_rights(found: TopicRights) -> str:
    """The names of rights on a topic that a restore needs and the user lacks."""
    return ", ".join(name for operation, name in _NEEDED.items() if found.allows(operation) is False)


def _on_topics(cluster: Cluster, topics: Sequence[TargetTopic]) -> Finding:
    hidden = [topic.target for topic in topics if topic.hidden]
    if hidden:
        return failed("rights", f"Describe is missing on {named(hidden)}", "grant the user Describe on these topics")
    if blind := [topic.target for topic in topics if topic.unreadable]:
        return failed("rights", f"DescribeConfigs is missing on {named(blind)}", "grant it on these topics")
    there = [topic.target for topic in topics if topic.there is not None]
    try:
        found = topic_rights(cluster, there)
    except MillpondError as error:
        return failed_by("rights", error)
    missing = [f"{name} ({told})" for name, one in found.items() if (told := missing_rights(one))]
    if missing:
        return failed("rights", f"the user lacks rights on {named(missing)}", "grant them on these topics")
    if any(one.operations is None for one in found.values()):
        return warned("rights", "brokers do not tell what the user may do", "the first write tells")
    made = len(topics) - len(there)
    later = f"; on {made} topics they are seen once these are made" if made else ""
    return passed("rights", f"the user may read, write and configure {len(there)} topics{later}")


def _exclusion(cluster: Cluster, topics: Sequence[TargetTopic]) -> Finding:
    """Workers keep each other away as members of groups; without the right they work all the same."""
    wanted = [group_of(topic.target) for topic in topics]
    refused = _refused(cluster, wanted)
    if refused:
        text = f"nothing keeps workers of another run away: Read is missing on the groups {named(refused)}"
        return warned("exclusion", text, "grant the user Read on groups that begin with millpond-restore-")
    return passed("exclusion", f"a group for each of {len(wanted)} topics keeps workers of another run away")


def _on_groups(cluster: Cluster, groups: Sequence[str]) -> Finding:
    if refused := _refused(cluster, groups):
        text = f"Read is missing on {len(refused)} of the groups that get offsets: {named(refused)}"
        return failed(
            "group rights", text, "grant the user Read on these groups, or leave them out with --exclude-groups"
        )
    return passed("group rights", f"the user may set the offsets of {len(groups)} groups")


def _refused(cluster: Cluster, groups: Sequence[str]) -> list[str]:
    return [group_id for group_id, may_read in readable_groups(cluster, groups).items() if may_read is False]


def _on_cluster(cluster: Cluster) -> Finding:
    if not describe_cluster(cluster).may_alter:
        text = "Alter is missing on the cluster, so access control cannot be added"
        return failed("cluster rights", text, "grant it, or leave out --acls")
    return passed("cluster rights", "the user may add access control")
