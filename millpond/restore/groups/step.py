"""Consumer groups as a step of a restore: the snapshot that the plan names, to the topics that the run wrote."""

from __future__ import annotations

from dataclasses import asdict

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import GROUPS, Run
from millpond.errors import MillpondError
from millpond.groups.take import GroupChoice
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.restore.groups.apply import Manner
from millpond.restore.groups.run import Applied, Wanted, apply_groups
from millpond.restore.groups.snapshots import planned_snapshot
from millpond.restore.groups.values import GroupResult, GroupStatus, Status, count
from millpond.restore.planning.plan import KIND
from millpond.restore.request import GroupsAsked, parse_request
from millpond.storage.contract import ObjectStore

_DONE = (Status.APPLIED, Status.UNCHANGED)
_UNDONE = (Status.FAILED, Status.WAITING)
_NAMED = 5


def restore_groups(store: ObjectStore, layout: Layout, cluster: Cluster, *, run_id: str, now_ms: int) -> Json:
    """Applies the groups that the request asks for and writes what became of them. Without any, says just that.

    A group with members stays as it is and is named; `millpond groups apply` does it once they have left.

    Raises:
        MillpondError: Offsets could not be committed. Those of the other groups are; nothing is written, so that a
            repeat goes on.
    """
    run = Run(store, layout, KIND, run_id)
    if (found := run.find(GROUPS)) is not None:
        return found
    plan = run.plan()
    asked = parse_request(plan["request"]).groups
    if asked is None:
        return run.write_once({"asked": False, "at": now_ms, "offsets": {}, "groups": []}, GROUPS)
    choice = GroupChoice.of(plan["archive_id"], asked.include, asked.exclude)
    wanted = Wanted(run_id, choice, Selection.of(asked.exclude_topics))
    snapshot = planned_snapshot(store, plan["groups"])
    applied = apply_groups(store, layout, cluster, snapshot, wanted, Manner(asked.prefix, asked.overwrite))
    _refuse_failed(applied, run_id)
    return run.write_once(_document(applied, asked, now_ms), GROUPS)


def _refuse_failed(applied: Applied, run_id: str) -> None:
    bad = [result for result in applied.results if result.status in (GroupStatus.FAILED, GroupStatus.WAITING)]
    if not bad:
        return
    codes = sorted({entry.reason for result in bad for entry in result.entries if entry.status in _UNDONE})
    names = ", ".join(result.target for result in bad[:_NAMED])
    raise MillpondError(
        f"the offsets of {len(bad)} groups are not all committed ({', '.join(codes)}): {names}",
        hint=f"mend the cause and start the same run again: {run_id}; the records stay as they are",
    )


def _document(applied: Applied, asked: GroupsAsked, now_ms: int) -> Json:
    """A line for each group; its offsets are counted, for there may be hundreds of thousands."""
    return {
        "asked": True,
        "at": now_ms,
        "snapshot_at": applied.snapshot.at,
        "prefix": asked.prefix,
        "offsets": count(applied.results),
        "groups": [_group(result) for result in applied.results],
        "snapshot_failed": [asdict(failure) for failure in applied.snapshot.failed],
    }


def _group(result: GroupResult) -> Json:
    left = sorted({(e.topic, e.status.value, e.reason) for e in result.entries if e.status not in _DONE or e.reason})
    return {
        "group": result.group,
        "target": result.target,
        "status": result.status.value,
        "state": result.state,
        "members": result.members,
        "clients": list(result.clients),
        "offsets": {status: number for status, number in count([result]).items() if number},
        "reasons": [{"topic": topic, "status": status, "reason": reason} for topic, status, reason in left],
    }
