"""`millpond cluster apply`: what the archive's snapshot has and a cluster lacks, to the cluster; first only shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from millpond.archive.documents import Json
from millpond.cli.cluster_diff import headline, told_acl
from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.cluster.acls import Names, add_acls, wanted_acls
from millpond.cluster.apply import Change, Step, Steps, Taken, steps_of, take_steps
from millpond.cluster.diff import Differences
from millpond.cluster.run import Compared, compare_cluster
from millpond.cluster.snapshot import TopicSnapshot
from millpond.kafka.acls import Acl
from millpond.kafka.admin import Cluster
from millpond.restore.targets.safety import portable
from millpond.settings.cluster import ClusterApplySettings

Settings = ClusterApplySettings
_FAILED = 1
_TOLD = {
    Change.MAKE: ("would make", "made"),
    Change.SETTINGS: ("would set on", "set on"),
    Change.PARTITIONS: ("would add partitions to", "added partitions to"),
}


def run(settings: ClusterApplySettings) -> Outcome:
    store, layout = settings.open_archive()
    cluster, dry_run = settings.cluster(), not settings.confirm
    compared = compare_cluster(
        store, layout, cluster, until_ms=settings.until_ms, now_ms=now_ms(), prefix=settings.prefix
    )
    targets = _targets(settings, compared)
    steps = steps_of(_of(compared.differences, targets), settings.asked(), brokers=len(compared.live.brokers))
    taken = take_steps(cluster, steps.steps, dry_run=dry_run)
    acls = _add_acls(settings, cluster, compared, targets, dry_run=dry_run) if settings.acls else None
    document = compared.document() | _document(compared, steps, taken) | {"acls": acls, "dry_run": dry_run}
    failed = bool(taken.refused or (acls and (acls["failed"] or acls["code"])))
    return Outcome(document, "\n".join(_lines(compared, steps, document)), _FAILED if failed else 0)


def _targets(settings: ClusterApplySettings, compared: Compared) -> dict[str, str]:
    """The chosen topics of the snapshot, and their names on the cluster."""
    names = [topic.topic for topic in compared.found.snapshot.topics]
    selection = settings.selection()
    return {name: settings.prefix + name for name in (selection.match(names) if selection else names)}


def _of(found: Differences, targets: dict[str, str]) -> Differences:
    """The differences in chosen topics, without settings that mean nothing on another cluster."""
    chosen = set(targets.values())
    missing = tuple(_portable(topic) for topic in found.missing if topic.topic in chosen)
    changed = (replace(one, archived=_portable(one.archived)) for one in found.changed if one.topic in chosen)
    return replace(found, missing=missing, changed=tuple(changed))


def _portable(topic: TopicSnapshot) -> TopicSnapshot:
    return replace(topic, config=portable(topic.config))


def _add_acls(
    settings: ClusterApplySettings, cluster: Cluster, compared: Compared, targets: dict[str, str], *, dry_run: bool
) -> Json:
    whole = not settings.prefix and settings.selection() is None
    archived = map(Acl.of, compared.found.snapshot.acls or ())
    wanted = wanted_acls(archived, Names(None if whole else targets), snapshot=compared.found.acls_key)
    return add_acls(cluster, wanted, dry_run=dry_run)


def _document(compared: Compared, steps: Steps, taken: Taken) -> Json:
    failed = (step.document() | {"code": denial.code, "text": denial.text} for step, denial in taken.refused)
    return {
        "done": [step.document() for step in taken.done],
        "failed": list(failed),
        "left": [{"topic": topic, "reason": reason} for topic, reason in steps.left],
        "warnings": list(steps.warnings),
        "unread": compared.differences.document()["unread"],
    }


def _lines(compared: Compared, steps: Steps, document: Json) -> Iterator[str]:
    dry_run = document["dry_run"]
    yield headline(compared)
    for step in document["done"]:
        yield f"  {_told(Step(**step), dry_run=dry_run)}"
    for failed in document["failed"]:
        yield f"  FAILED: {failed['change']} of {failed['topic']}: {failed['text']} ({failed['code']})"
    yield from (f"  left: {topic}: {reason}" for topic, reason in steps.left)
    yield from (f"  WARNING: {text}" for text in steps.warnings)
    if document["acls"] is not None:
        yield from _acl_lines(document["acls"])
    for part in document["unread"]:
        yield f"  NOT COMPARED: {part['side']} {part['part']} {part['name']}: {part['code']}"
    if dry_run:
        yield "nothing was changed: --confirm does it"


def _told(step: Step, *, dry_run: bool) -> str:
    would, done = _TOLD[step.change]
    parts = [f"{would if dry_run else done} {step.topic}"]
    parts += [f"{step.partitions} partitions"] if step.partitions else []
    parts += [f"{step.replication} replicas"] if step.replication else []
    return ", ".join(parts + [f"{name}={text}" for name, text in step.settings.items()])


def _acl_lines(acls: Json) -> Iterator[str]:
    names = Acl.__slots__
    told = "would add" if acls["dry_run"] else "added"
    for entry in acls["added"]:
        yield f"  {told}: {told_acl(Acl.of(entry))}"
    for key, label, why in (("left_out", "left out", "reason"), ("failed", "FAILED", "code")):
        for entry in acls[key]:
            yield f"  {label}: {told_acl(Acl.of({name: entry[name] for name in names}))} ({entry[why]})"
    yield f"  access control: {len(acls['there'])} of the archive's entries are there already"
    if acls["code"]:
        yield f"  FAILED: access control: {acls['code']}"
