"""`millpond cluster snapshot`: topics, settings and access control of a cluster to the archive, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.cluster.keep import Kept
from millpond.cluster.run import counts_of, snapshot_cluster
from millpond.cluster.whole import NOT_READABLE
from millpond.errors import RefusedForSafety
from millpond.kafka.metadata import NO_AUTHORIZER
from millpond.settings.cluster import ClusterSnapshotSettings

Settings = ClusterSnapshotSettings
_FAILED = 1


def run(settings: ClusterSnapshotSettings) -> Outcome:
    store, layout = settings.open_archive()
    kept = snapshot_cluster(store, layout, settings.cluster(), selection=settings.selection(), now_ms=now_ms)
    if kept.refused:
        raise RefusedForSafety(
            f"the snapshot is not kept: {kept.refused}", hint="check --brokers and the rights of the user"
        )
    failed = kept.snapshot.failed
    document = counts_of(kept) | {
        "not_selected": kept.snapshot.not_selected,
        "failed": [asdict(missing) for missing in failed],
        "not_readable": list(NOT_READABLE),
    }
    document.pop("failed_count")
    # A cluster without access control lacks nothing.
    lacking = any(missing.code != NO_AUTHORIZER for missing in failed)
    return Outcome(document, "\n".join(_lines(kept)), _FAILED if lacking else 0)


def _lines(kept: Kept) -> Iterator[str]:
    snapshot = kept.snapshot
    state = "written" if kept.written else "nothing has changed since"
    yield f"{kept.key}: {state}; {len(snapshot.topics)} topics, {len(snapshot.brokers)} brokers{_access(kept)}"
    for name in snapshot.not_selected:
        yield f"  not covered by the backup: {name}"
    for missing in snapshot.failed:
        yield f"  FAILED: {missing.part}{f' {missing.name}' if missing.name else ''}: {missing.code}"
    yield f"  not readable: {', '.join(NOT_READABLE)}"


def _access(kept: Kept) -> str:
    found = ((kept.snapshot.acls, "access control entries"), (kept.snapshot.scram_users, "users"))
    return "".join(f", {len(entries)} {told}" for entries, told in found if entries is not None)
