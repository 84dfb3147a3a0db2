"""Where each partition goes on: from the listing, never from a commit alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from millpond.archive.coverage import Span, holes, next_position
from millpond.archive.keys import Incarnation, PartitionId
from millpond.backup.archived import Archived, list_archived
from millpond.backup.background import Background
from millpond.backup.commits import CommitNote
from millpond.backup.divergence import Archive, Log, find_divergence, least_epoch
from millpond.backup.findings import Findings
from millpond.errors import MillpondError, TryAgain
from millpond.kafka.admin import Cluster, Commit, LogEnd
from millpond.kafka.places import Place
from millpond.kafka.probe import Probe

_LOG = logging.getLogger(__name__)
_LISTINGS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition's backup goes on.

    Attributes:
        position: The first offset to read.
        epoch: Leader epoch of the newest live window before it, -1 if unknown.
        until: The archive holds what comes from this offset on: the position is to be looked for again there.
        archived_ms: When the newest object of the partition was stored, epoch ms; 0 where there is none.
        least_epoch: No record from the position on, now or later, has a lower leader epoch. Told where a marker at the
            position would have no epoch, or several; else -1.
        problem: Why the partition must not be read, or "".
    """

    partition: PartitionId
    position: int
    epoch: int = -1
    until: int | None = None
    archived_ms: int = 0
    least_epoch: int = -1
    problem: str = ""

    @property
    def place(self) -> Place:
        return self.partition.topic, self.partition.partition


class StartFinder:
    """Finds positions; writes markers and events that the way there asks for.

    Args:
        group_id: Whose commits are the shortcut; of this archive.
    """

    def __init__(self, findings: Findings, cluster: Cluster, archive_id: str, group_id: str) -> None:
        self._findings, self._cluster, self._archive_id, self._group_id = findings, cluster, archive_id, group_id

    def find(self, wanted: Sequence[Place], now_ms: int) -> list[Start]:
        """The start of each place that exists and has a leader.

        Raises:
            MillpondError: Kafka or the store does not answer, or refuses.
        """
        commits = self._cluster.group_commits(self._group_id)
        topics = self._cluster.describe({topic for topic, _ in wanted})
        # A topic that was made again may have fewer partitions than the group still hands out.
        places = [place for place in wanted if place[0] in topics and place[1] < topics[place[0]].partitions]
        log_starts = self._cluster.log_starts(places, of_some=True)
        places = [place for place in places if place in log_starts]
        partitions = [PartitionId(Incarnation(topic, topics[topic].topic_id), number) for topic, number in places]
        for incarnation in sorted({partition.incarnation for partition in partitions}):
            self._findings.recreated(incarnation, now_ms)
        notes = [noted(commits.get(place), self._archive_id, p) for place, p in zip(places, partitions, strict=True)]
        archived = self._list(partitions, notes)
        # Asked last: another worker may have stored, before it was listed, what was written after an earlier question.
        ends = self._cluster.log_ends(places)
        found = [
            (one, Log(one.partition, log_starts[place], ends[place]), note)
            for place, one, note in zip(places, archived, notes, strict=True)
            if place in ends
        ]
        layout = self._findings.layout
        starts = [
            (start_of(self._findings, one, log, 0 if one.lists(layout, key) else committed, now_ms), one, log)
            for one, log, (committed, key) in found
        ]
        checked = self._on_their_logs(starts, now_ms)
        self._note_lost_tombstones(checked, ends, now_ms)
        return checked

    def _list(self, partitions: Sequence[PartitionId], notes: Sequence[tuple[int, str]]) -> list[Archived]:
        store, layout = self._findings.store, self._findings.layout
        with Background(_LISTINGS_AT_ONCE, "listing") as pool:
            keys = [key for _, key in notes]
            return list(pool.map(lambda partition, key: list_archived(store, layout, partition, key), partitions, keys))

    # -- logs that were cut

    def _on_their_logs(self, found: Sequence[tuple[Start, Archived, Log]], now_ms: int) -> list[Start]:
        """The starts, those that are no longer on Kafka's log moved back to where it and the archive part.

        Partitions whose log does not answer are left out.
        """
        doubtful = [one for one in found if _doubtful(one[0], one[2])]
        if not doubtful:
            return [start for start, _, _ in found]
        mended: dict[PartitionId, Start | None] = {}
        with Probe(self._cluster.address, self._group_id) as probe:
            beyond = {log.place for start, _, log in doubtful if start.position > log.end.offset}
            asked = {log.place: (s.position, s.epoch) for s, _, log in doubtful if log.place not in beyond}
            accepted = probe.accepted(asked) if asked else {}
            for start, archived, log in doubtful:
                if log.place in asked and log.place not in accepted:
                    mended[start.partition] = None
                elif not accepted.get(log.place):
                    mended[start.partition] = self._back_to_the_log(probe, start, archived, log, now_ms)
        checked = [mended.get(start.partition, start) for start, _, _ in found]
        return [start for start in checked if start is not None]

    def _back_to_the_log(self, probe: Probe, start: Start, archived: Archived, log: Log, now_ms: int) -> Start | None:
        whole = (
            archived
            if not archived.base
            else list_archived(self._findings.store, self._findings.layout, start.partition, "")
        )
        archive = Archive(self._findings.store, self._findings.layout, self._archive_id)
        try:
            compacted = self._is_compacted(start.partition.topic)
            parted = find_divergence(archive, probe, whole.listing, log, start.position, compacted=compacted)
        except TryAgain as error:
            _LOG.warning("will look again where %s goes on: %s", start.partition, error.args[0])
            return None
        except MillpondError as error:
            return replace(start, problem=f"cannot compare the archive with Kafka's log: {error.args[0]}")
        if parted is None:
            return start
        if 0 <= log.end.epoch < start.epoch:
            return replace(
                start,
                problem=f"the archive holds offset {start.position - 1} of leader epoch {start.epoch},"
                f" Kafka's log ends with epoch {log.end.epoch}: the cluster went back in time",
            )
        epochs, epoch = (start.epoch, log.end.epoch), parted.epoch if compacted else -1
        try:
            least = least_epoch(self._cluster.address, self._group_id, log, parted.offset)
        except MillpondError as error:
            _LOG.warning("will look again where %s goes on: %s", start.partition, error.args[0])
            return None
        self._findings.truncated(start.partition, parted.offset, start.position, epochs, now_ms)
        # What the archive has from here on is dead, so the next window may end it. On a compacted topic some of it may
        # only be compacted away: there the rule for a new epoch stands, and the window starts at its first record.
        return replace(start, position=parted.offset, epoch=epoch, least_epoch=least, until=None)

    def _is_compacted(self, topic: str) -> bool:
        return "compact" in self._cluster.settings_of([topic]).get(topic, {}).get("cleanup.policy", "")

    # -- compacted topics

    def _note_lost_tombstones(self, starts: Iterable[Start], ends: Mapping[Place, LogEnd], now_ms: int) -> None:
        """An event for each partition of which unread deletions may have been compacted away."""
        behind = [s for s in starts if not s.problem and 0 < s.position < ends[s.place].offset]
        settings = self._cluster.settings_of({start.partition.topic for start in behind})
        limits = {topic: int(found["delete.retention.ms"]) for topic, found in settings.items() if _compacts(found)}
        late = {s.place: now_ms - limits[s.partition.topic] for s in behind if s.partition.topic in limits}
        young = self._cluster.offsets_at(late)
        for start in behind:
            place = start.place
            if place in young:
                first_young = young[place] if young[place] >= 0 else ends[place].offset
                if first_young > start.position and start.archived_ms:
                    span = Span(start.position, first_young - 1)
                    self._findings.tombstones(start.partition, span, limits[place[0]], now_ms)


def start_of(findings: Findings, archived: Archived, log: Log, committed: int, now_ms: int) -> Start:
    """Where this partition goes on by its archive; what Kafka removed before it was read becomes a gap first.

    Only offsets behind all that the archive holds, and once held by the group's commit, were never read. Others were
    archived once and have been deleted from the store: they must stay a visible hole, not be explained by retention.

    Args:
        committed: How far this archive once reached by the group's commit, if the object that it names has vanished.
    """
    end = max(committed, archived.end)
    if vanished := holes(archived.covered, start=0, end=end - 1):
        findings.missing(archived.partition, vanished, committed, now_ms)
    if end < log.start:
        findings.retention(archived.partition, end, log.start, now_ms)
    covered = archived.surely
    position = next_position(covered, start=log.start)
    until = min((span.first for span in covered if span.first > position), default=None)
    epoch = archived.epoch_before(position)
    if log.end.epoch < 0:
        least = -1
    elif epoch < 0:
        least = 0  # of no leader is the epoch lower, and nobody has to be asked
    else:
        least = epoch if archived.is_doubtful(position) else -1
    return Start(archived.partition, position, epoch, until, archived.newest_ms, least)


def noted(commit: Commit | None, archive_id: str, partition: PartitionId) -> tuple[int, str]:
    """How far this archive once had the partition and its newest object then; (0, "") where nobody says so."""
    note = CommitNote.parse(commit.metadata) if commit else CommitNote()
    ours = (note.archive_id, note.topic_id) == (archive_id, partition.incarnation.topic_id)
    return (commit.offset, note.key) if commit and ours else (0, "")


def _doubtful(start: Start, log: Log) -> bool:
    """Whether the log may have been cut below the position. Only a new leader can have cut it, and its epoch shows."""
    return start.position > log.end.offset or (start.epoch >= 0 and log.end.epoch not in (-1, start.epoch))


def _compacts(settings: Mapping[str, str]) -> bool:
    return "compact" in settings.get("cleanup.policy", "")
