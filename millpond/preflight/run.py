"""All probes, in order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from millpond.archive.identity import Identity, read_identity
from millpond.archive.keys import Layout
from millpond.errors import MillpondError
from millpond.findings import Finding, failed_by, passed
from millpond.kafka.admin import Cluster
from millpond.preflight.bucket import bucket_findings
from millpond.preflight.cluster import Wanted, cluster_findings
from millpond.preflight.disk import spool_finding
from millpond.preflight.restores import restores_finding
from millpond.preflight.store import store_findings
from millpond.storage.contract import ObjectStore
from millpond.storage.s3 import S3Store, s3_client


def archive_finding(store: ObjectStore, layout: Layout) -> tuple[Finding, Identity | None]:
    """Whether the archive can be opened, and what it is. None: there is none yet, or it cannot be read."""
    try:
        if store.head(layout.identity) is None:
            return passed("archive", "there is none yet: the first backup makes it"), None
        identity = read_identity(store, layout)
    except MillpondError as error:
        return failed_by("archive", error), None
    return passed("archive", f"{identity.archive_id}, format {identity.format}"), identity


def storage_findings(
    store: ObjectStore, layout: Layout, *, endpoint_url: str | None, now_ms: Callable[[], int]
) -> list[Finding]:
    """Findings of the store and, on S3, of the bucket; the latter are left out where the store does not work."""
    findings = store_findings(store, layout)
    if isinstance(store, S3Store) and len(findings) > 1:
        findings += bucket_findings(s3_client(endpoint_url), store.bucket, layout.topics, now_ms)
    if len(findings) > 1:
        findings.append(restores_finding(store, layout))
    return findings


def source_findings(
    cluster: Cluster, wanted: Wanted, *, spool: Path | None, max_bytes: int, now_ms: Callable[[], int]
) -> list[Finding]:
    """Findings of the cluster and of the disk that its records pass through."""
    findings, partitions = cluster_findings(cluster, wanted, now_ms)
    folder = spool or Path(tempfile.gettempdir())
    return [*findings, spool_finding(folder, partitions=partitions, max_bytes=max_bytes)]
