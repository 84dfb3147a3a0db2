"""`millpond groups show`: where the groups stood, by the newest snapshot or the last one before a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from millpond.cli.outcome import Outcome
from millpond.errors import WrongUsage
from millpond.groups.keep import newest
from millpond.groups.take import GroupChoice
from millpond.groups.values import Group, PartitionOffset
from millpond.kafka.selection import Selection
from millpond.settings.groups import GroupsShowSettings
from millpond.verify.happenings import moment

Settings = GroupsShowSettings


def run(settings: GroupsShowSettings) -> Outcome:
    store, layout = settings.open_archive()
    choice = GroupChoice(Selection.of(settings.include or (".*",), settings.exclude))
    snapshot = newest(store, layout, until_ms=settings.until_ms)
    if snapshot is None:
        raise WrongUsage(
            f"there is no snapshot of groups{' of that time' if settings.at else ''}",
            hint="`millpond groups list` shows them, `millpond groups snapshot` takes one",
        )
    chosen = set(choice.match(group.group_id for group in snapshot.groups))
    groups = [group for group in snapshot.groups if group.group_id in chosen]
    document = {
        "at": snapshot.at,
        "groups": [asdict(group) for group in groups],
        "failed": [asdict(failure) for failure in snapshot.failed],
    }
    lines = [line for group in groups for line in _lines(group, offsets=settings.offsets)]
    failed = f"; {', '.join(snapshot.by_code())} could not be read" if snapshot.failed else ""
    return Outcome(document, "\n".join([f"{len(groups)} groups at {moment(snapshot.at)}{failed}", *lines]))


def _lines(group: Group, *, offsets: bool) -> Iterator[str]:
    known = ", ".join(word for word in (group.type, group.state, group.protocol) if word)
    behind = sum(_behind(found) for topic in group.topics for found in topic.partitions)
    where = f"{group.partitions} partitions, {behind} behind" if group.topics else "no offsets"
    yield f"{group.group_id} ({known or 'unknown'}, {group.members} members): {where}"
    for topic in group.topics if offsets else ():
        for found in topic.partitions:
            pending = ", in a transaction" if found.pending else ""
            text = f", {found.metadata!r}" if found.metadata else ""
            end = found.log_end if found.log_end >= 0 else "unknown"
            yield f"  {topic.topic}-{found.partition}: {found.offset} of {end}{pending}{text}"


def _behind(found: PartitionOffset) -> int:
    return max(0, found.log_end - found.offset)
