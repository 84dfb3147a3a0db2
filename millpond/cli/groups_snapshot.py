"""`millpond groups snapshot`: the committed offsets of all groups to the archive, once."""

from __future__ import annotations

from dataclasses import asdict

from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.errors import RefusedForSafety
from millpond.groups.run import counts_of, snapshot_groups
from millpond.groups.values import Failure
from millpond.settings.groups import GroupsSnapshotSettings

Settings = GroupsSnapshotSettings
_FAILED = 1


def run(settings: GroupsSnapshotSettings) -> Outcome:
    store, layout = settings.open_archive()
    cluster = settings.cluster()
    kept = snapshot_groups(store, layout, cluster, include=settings.include, exclude=settings.exclude, now_ms=now_ms)
    if kept.refused:
        raise RefusedForSafety(
            f"the snapshot is not kept: {kept.refused}", hint="check --brokers, --groups and the rights of the user"
        )
    failed = kept.snapshot.failed
    document = counts_of(kept) | {"failed": [asdict(failure) for failure in failed]}
    text = [
        f"{kept.key}: {document['groups']} groups, {document['offsets']} offsets",
        *([f"  {document['pending']} of them before a transaction that has not ended"] if document["pending"] else []),
        *map(_line, failed),
    ]
    return Outcome(document, "\n".join(text), _FAILED if failed else 0)


def _line(failure: Failure) -> str:
    place = f" {failure.topic}-{failure.partition}" if failure.topic else ""
    return f"  FAILED: {failure.part}{f' of {failure.group}' if failure.group else ''}{place}: {failure.code}"
