"""`millpond check`: whether a backup with these settings would work."""

from __future__ import annotations

from millpond.archive.identity import Identity
from millpond.cli.outcome import Outcome, progress
from millpond.clock import now_ms
from millpond.findings import Finding, State
from millpond.kafka.selection import Selection
from millpond.preflight.cluster import Wanted
from millpond.preflight.run import archive_finding, source_findings, storage_findings
from millpond.settings.check import CheckSettings

Settings = CheckSettings
_FOUND_A_PROBLEM = 3
_HOUR_MS = 3_600_000


def run(settings: CheckSettings) -> Outcome:
    store, layout = settings.open_archive()
    cluster, selection = settings.cluster(), settings.selection()
    with progress("parts looked at: the store, the cluster and the disk") as told:
        told(0, 2)
        archive, identity = archive_finding(store, layout)
        wanted = _wanted(settings, selection, identity)
        findings = [archive]
        if archive.state is not State.FAILED:
            endpoint = settings.s3_endpoint or None
            findings += storage_findings(store, layout, endpoint_url=endpoint, now_ms=now_ms)
        told(1, 2)
        findings += source_findings(cluster, wanted, spool=settings.spool, max_bytes=settings.max_bytes, now_ms=now_ms)
    return _outcome(findings)


def _wanted(settings: CheckSettings, selection: Selection, identity: Identity | None) -> Wanted:
    return Wanted(
        selection=selection,
        group_id=settings.group_id or (f"millpond-{identity.archive_id}" if identity else ""),
        archived_cluster_id=identity.cluster_id if identity else "",
        longest_stop_ms=round(settings.longest_stop_hours * _HOUR_MS),
        erasure_days=settings.erasure_days,
    )


def _outcome(findings: list[Finding]) -> Outcome:
    failed = sum(finding.state is State.FAILED for finding in findings)
    document = {
        "probes": [finding.document() for finding in findings],
        "failed": failed,
        "warnings": sum(finding.state is State.WARNING for finding in findings),
    }
    return Outcome(document, "\n".join(map(_line, findings)), _FOUND_A_PROBLEM if failed else 0)


def _line(finding: Finding) -> str:
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{finding.state.value:<8} {finding.probe}: {finding.text}{hint}"
