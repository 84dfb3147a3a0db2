"""`millpond groups apply`: the offsets of a snapshot of groups to the topics that a restore wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from millpond.cli.outcome import Outcome
from millpond.findings import named
from millpond.groups.take import GroupChoice
from millpond.kafka.selection import Selection
from millpond.restore.groups.apply import Manner
from millpond.restore.groups.restored import PAST_THE_RESTORED
from millpond.restore.groups.run import Applied, Wanted, apply_groups
from millpond.restore.groups.snapshots import find_snapshot
from millpond.restore.groups.values import Entry, GroupResult, GroupStatus, Status, count
from millpond.settings.groups_apply import GroupsApplySettings
from millpond.verify.happenings import moment

Settings = GroupsApplySettings
_EXIT = {GroupStatus.FAILED: 1, GroupStatus.ACTIVE: 1, GroupStatus.WAITING: 75}
_TOLD = (Status.KEPT, Status.WAITING, Status.ACTIVE, Status.SKIPPED, Status.FAILED)


def run(settings: GroupsApplySettings) -> Outcome:
    settings.check()
    store, layout = settings.open_archive()
    groups = GroupChoice(Selection.of(settings.include or (".*",), settings.exclude))
    wanted = Wanted(settings.run_id, groups, settings.left_out())
    manner = Manner(settings.prefix, settings.overwrite, settings.dry_run)
    snapshot = find_snapshot(store, layout, until_ms=settings.until_ms, cut=settings.at_cut).snapshot
    applied = apply_groups(store, layout, settings.cluster(), snapshot, wanted, manner, wait_s=settings.wait)
    document = applied.document() | {"run_id": settings.run_id or None, "dry_run": settings.dry_run}
    return Outcome(document, "\n".join(_lines(applied, dry_run=settings.dry_run)), _exit_code(applied))


def _exit_code(applied: Applied) -> int:
    """1 where anything failed or a group has members, else 75 where something waits for the restore."""
    codes = {_EXIT.get(result.status, 0) for result in applied.results}
    return 1 if 1 in codes else max(codes, default=0)


def _lines(applied: Applied, *, dry_run: bool) -> Iterator[str]:
    counts = ", ".join(f"{number} {status}" for status, number in count(applied.results).items() if number)
    yield f"{len(applied.results)} groups of {moment(applied.snapshot.at)}: {counts or 'no offsets'}"
    for result in applied.results:
        yield from _group_lines(result)
    if applied.snapshot.failed:
        yield f"  the snapshot lacks what could not be read: {', '.join(applied.snapshot.by_code())}"
    if dry_run:
        yield "nothing was written"


def _group_lines(result: GroupResult) -> Iterator[str]:
    who = f": {named(result.clients)}" if result.clients else ""
    there = f" ({result.state}, {result.members} members{who})" if result.status is GroupStatus.ACTIVE else ""
    done = sum(entry.status in (Status.APPLIED, Status.UNCHANGED) for entry in result.entries)
    yield f"  {result.target}: {result.status}{there}, {done} of {len(result.entries)} offsets"
    told = Counter((entry.topic, entry.status, entry.reason) for entry in result.entries if _is_told(entry))
    for (topic, status, reason), number in told.items():
        yield f"    {topic}: {number} {status}, {reason}"


def _is_told(entry: Entry) -> bool:
    return entry.status in _TOLD or entry.reason == PAST_THE_RESTORED
