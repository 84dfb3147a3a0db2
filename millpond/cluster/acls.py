"""Archived access control added to a cluster. What is there stays, and nothing is ever removed.

Names that a restore changes are followed where that means the same on the target; what is left out is told, each entry
with its reason. `of_run` says what a restore adds, `add_acls` adds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.cluster.kept import newest_whole
from millpond.kafka.acls import EVERYTHING, Acl, create_acls, is_known
from millpond.kafka.admin import Cluster
from millpond.kafka.answers import Refusal
from millpond.kafka.metadata import broker_settings, describe_cluster, known_acls
from millpond.storage.contract import ObjectStore

NEVER_KEPT = "NEVER_KEPT"
"""The archive has no access control of that time."""

NOT_RESTORED = "not_restored"
PATTERN = "pattern_of_renamed_topics"
NOT_OF_A_TOPIC = "not_of_a_topic"
NO_WORDS = "unknown_to_the_client"


@dataclass(frozen=True, slots=True)
class Names:
    """What the archive's names become on the target.

    Attributes:
        topics: Target of each topic that is there; None where all of a cluster keeps its names.
        group_prefix: Put in front of the names of all groups.
    """

    topics: Mapping[str, str] | None = None
    group_prefix: str = ""

    @property
    def renames(self) -> bool:
        return any(topic != target for topic, target in (self.topics or {}).items())


@dataclass(frozen=True, slots=True)
class WantedAcls:
    """What shall be there.

    Attributes:
        acls: Denials first: rights are not there before what limits them.
        left_out: Entries of the archive, each with its reason.
        snapshot: Key of the snapshot that has them, or "".
    """

    acls: tuple[Acl, ...]
    left_out: tuple[tuple[Acl, str], ...] = ()
    snapshot: str = ""


def of_run(store: ObjectStore, layout: Layout, plan: Json) -> WantedAcls:
    """What a restore run adds: the access control of the newest snapshot of the time of its plan, its names followed.

    Args:
        plan: The document of the run's plan.
    """
    request, topics = plan["request"], {topic["topic"]: topic["target"] for topic in plan["topics"]}
    group_prefix = (request.get("groups") or {}).get("prefix", "")
    names = Names(topics, group_prefix)
    if request["all"] and not request.get("exclude_topics") and not names.renames:
        names = Names(None, group_prefix)
    found = newest_whole(store, layout, until_ms=plan["planned_at"])
    if found is None:
        return WantedAcls(())
    return wanted_acls(map(Acl.of, found.snapshot.acls or ()), names, snapshot=found.acls_key)


def wanted_acls(archived: Iterable[Acl], names: Names, *, snapshot: str = "") -> WantedAcls:
    """The archived entries under the target's names."""
    wanted: dict[Acl, None] = {}
    left_out = []
    for acl in archived:
        followed, reason = _followed(acl, names)
        wanted |= dict.fromkeys(followed)
        if reason:
            left_out.append((acl, reason))
    ordered = sorted(wanted, key=lambda acl: (acl.permission != "DENY", acl))
    return WantedAcls(tuple(ordered), tuple(left_out), snapshot)


def _followed(acl: Acl, names: Names) -> tuple[list[Acl], str]:
    """The entries that mean this one on the target, or why there is none."""
    if not is_known(acl):
        return [], NO_WORDS
    if acl.resource_type == "GROUP":
        return [_of_group(acl, names.group_prefix)], ""
    if names.topics is None:
        return [acl], ""
    if acl.resource_type != "TOPIC":
        return [], NOT_OF_A_TOPIC
    targets = [target for topic, target in names.topics.items() if acl.covers(topic)]
    if not targets:
        return [], NOT_RESTORED
    if acl.is_pattern and not names.renames:
        return [acl], ""
    # A right for many names is nobody's to move to others. A denial has to hold for each, or a renamed topic could be
    # read by those whom the source denies it.
    if acl.is_pattern and acl.permission == "ALLOW":
        return [], PATTERN
    return [replace(acl, resource_name=target, pattern_type="LITERAL") for target in targets], ""


def _of_group(acl: Acl, prefix: str) -> Acl:
    """All groups get the same prefix, so a pattern with it covers the same groups."""
    if prefix and acl.pattern_type == "LITERAL" and acl.resource_name == EVERYTHING:
        return replace(acl, resource_name=prefix, pattern_type="PREFIXED")
    return replace(acl, resource_name=prefix + acl.resource_name)


def add_acls(cluster: Cluster, wanted: WantedAcls, *, dry_run: bool = False) -> Json:
    """Adds what is not there yet. Each refusal is told with its code, and the others go on.

    Returns:
        `added`, `there`, `left_out` (each with `reason`) and `failed` (each with `code`), and `code` where nothing can
        be added: NEVER_KEPT, or why the target gives no access control, as SECURITY_DISABLED without an authorizer.

    Raises:
        TryAgain: The brokers do not answer.
        WrongUsage: They refuse the client.
    """
    there = _acls_there(cluster) if wanted.acls else set()
    if isinstance(there, Refusal):
        return _document(wanted, dry_run=dry_run, code=there.code)
    missing = [acl for acl in wanted.acls if acl not in there]
    refused = {} if dry_run else create_acls(cluster, missing)
    code = "" if wanted.snapshot else NEVER_KEPT
    return _document(wanted, dry_run=dry_run, code=code) | {
        "added": [acl.document() for acl in missing if acl not in refused],
        "there": [acl.document() for acl in wanted.acls if acl in there],
        "failed": [acl.document() | {"code": answer.code} for acl, answer in refused.items()],
    }


def _acls_there(cluster: Cluster) -> set[Acl] | Refusal:
    told = describe_cluster(cluster)
    settings = broker_settings(cluster, sorted(told.racks)).values()
    found = known_acls(cluster, told, [one for one in settings if not isinstance(one, Refusal)])
    return found if isinstance(found, Refusal) else set(map(Acl.of, found))


def _document(wanted: WantedAcls, *, dry_run: bool, code: str) -> Json:
    return {
        "snapshot": wanted.snapshot or None,
        "dry_run": dry_run,
        "code": code or None,
        "added": [],
        "there": [],
        "left_out": [acl.document() | {"reason": reason} for acl, reason in wanted.left_out],
        "failed": [],
    }
