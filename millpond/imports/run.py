"""One import, from the listing of a backup to the report. Partitions come one after another.

A file that cannot be read ends its partition at the last record before it; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby

from millpond.archive.catalog import read_partition
from millpond.archive.documents import Json, parse_object
from millpond.archive.events import write_event
from millpond.archive.identity import Identity, open_or_create, read_identity
from millpond.archive.keys import EventKey, Incarnation, Layout, PartitionId
from millpond.errors import DamagedArchive, RefusedForSafety
from millpond.imports.aborted import without_aborted
from millpond.imports.backup import Backup, Commits, NoRecord, Problem, SourcePartition
from millpond.imports.groups import keep_snapshot, snapshot_of
from millpond.imports.merge import Missing, steps_of
from millpond.imports.names import cluster_id_of, topic_id_of
from millpond.imports.write import Counts, PartitionWriter, Target
from millpond.kafka.selection import Selection
from millpond.storage.contract import NoSuchObject, ObjectInfo, ObjectStore, read

EVENT = "imported"
_TELL_EVERY = 1000
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    Attributes:
        source_id: What topic ids come from; "" for the backup's own name.
        cluster_id: Of the source cluster; "" for what the backup says, or for an id made from the source's.
        topics: All by default.
        drop_aborted: Records between the end of one transaction and the abort of the next are left out. That is right
            only where nothing but one transaction at a time wrote to a partition; no backup tells.
    """

    source_id: str = ""
    cluster_id: str = ""
    topics: Selection | None = None
    drop_aborted: bool = False


def import_backup(
    backup: Backup, target: Target, request: ImportRequest, told: Told = lambda done, total: None
) -> Json:
    """Imports what was asked for, and tells what was.

    Args:
        target: Its archive id is found or made here.
        told: Hears how many records were read; their total is not known (0).

    Raises:
        RefusedForSafety: The archive is of another cluster.
        MillpondError: A store failed; what is imported stays, and the same import goes on from there.
    """
    source_id = request.source_id or backup.name
    identity = _identity(backup, target, request.cluster_id, source_id)
    run = _Run(backup, replace(target, archive_id=identity.archive_id), source_id, told, request.drop_aborted)
    chosen = _chosen(backup, request.topics)
    by_topic = groupby(chosen, key=lambda partition: partition.topic)
    topics = [run.topic(topic, list(partitions)) for topic, partitions in by_topic]
    groups = run.groups(backup.commits) if backup.commits else None
    return run.report(identity, topics, groups)


def _chosen(backup: Backup, selection: Selection | None) -> list[SourcePartition]:
    ordered = sorted(backup.partitions, key=lambda found: (found.topic, found.partition))
    if selection is None:
        return ordered
    names = set(selection.match({partition.topic for partition in ordered}))
    return [partition for partition in ordered if partition.topic in names]


def _identity(backup: Backup, target: Target, cluster_id: str, source_id: str) -> Identity:
    """The archive's, which is made if need be; a dry run makes none."""
    if cluster_id and backup.cluster_id and cluster_id != backup.cluster_id:
        raise RefusedForSafety(
            f"the backup says that it is of cluster {backup.cluster_id}, not {cluster_id}", hint="check --cluster-id"
        )
    cluster = cluster_id or backup.cluster_id or cluster_id_of(backup.format, source_id)
    if target.store.head(target.layout.identity) is None:
        if target.dry_run:
            return Identity(1, "", cluster, target.now_ms())
        return open_or_create(target.store, target.layout, cluster_id=cluster, now_ms=target.now_ms())
    found = read_identity(target.store, target.layout)
    if found.cluster_id != cluster:
        raise RefusedForSafety(
            f"the archive holds cluster {found.cluster_id}, the backup is of {cluster}",
            hint=f"if the backup was made from the archive's cluster, say --cluster-id {found.cluster_id}; "
            "else use a new prefix",
        )
    return found


@dataclass(slots=True)
class _Run:
    """An import under way."""

    backup: Backup
    target: Target
    source_id: str
    told: Told
    drop_aborted: bool
    done: int = 0

    def topic(self, topic: str, partitions: list[SourcePartition]) -> Json:
        life = Incarnation(topic, self.topic_id(topic))
        if not self.target.dry_run:
            self._note(life)
        found = [self.partition(life, partition) for partition in partitions]
        return {"topic": topic, "topic_id": life.topic_id, "partitions": found}

    def topic_id(self, topic: str) -> str:
        return topic_id_of(self.backup.format, self.source_id, topic)

    def partition(self, life: Incarnation, source: SourcePartition) -> Json:
        place = PartitionId(life, source.partition)
        writer = PartitionWriter(self.target, read_partition(self.target.store, self.target.layout, place))
        stopped = ""
        try:
            try:
                self._write(writer, source)
            except (DamagedArchive, NoSuchObject) as error:
                stopped = str(error.args[0])
            writer.close()
        finally:
            writer.discard()
        return _told_partition(source, writer.counts, writer.position, stopped)

    def _write(self, writer: PartitionWriter, source: SourcePartition) -> None:
        for step in without_aborted(source) if self.drop_aborted else steps_of(source):
            if isinstance(step, Missing):
                writer.missing(step)
            elif isinstance(step, NoRecord):
                writer.pass_over(step.offset, step.what)
            else:
                writer.add(step)
                self.done += 1
                if self.done % _TELL_EVERY == 0:
                    self.told(self.done, 0)

    def _note(self, life: Incarnation) -> None:
        """The event that says where the topic is from, unless one says so already."""
        store, layout = self.target.store, self.target.layout
        facts: Json = {"format": self.backup.format, "source": self.source_id, "lost": sorted(self.backup.lost)}
        if self.drop_aborted:
            facts["drop_aborted"] = True
        if not any(facts.items() <= said.items() for said in _notes(store, layout, life)):
            write_event(store, layout, life, EVENT, self.target.now_ms(), facts)

    def groups(self, commits: Commits) -> Json:
        try:
            at, groups = commits.read()
        except DamagedArchive as error:
            return {"key": None, "groups": 0, "offsets": 0, "written": False, "stopped": str(error.args[0])}
        known = {partition.topic for partition in self.backup.partitions}
        snapshot = snapshot_of(
            at, groups, self.target.archive_id, lambda topic: self.topic_id(topic) if topic in known else ""
        )
        key, new = self.target.layout.groups(at), False
        if groups and not self.target.dry_run:
            key, new = keep_snapshot(self.target.store, self.target.layout, snapshot)
        offsets = sum(group.partitions for group in groups)
        return {"key": key, "groups": len(groups), "offsets": offsets, "written": new, "stopped": None}

    def report(self, identity: Identity, topics: list[Json], groups: Json | None) -> Json:
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        stopped = [Problem("", partition["stopped"]) for partition in partitions if partition["stopped"]]
        if self.backup.commits and groups and groups["stopped"]:
            stopped.append(Problem(self.backup.commits.key, groups["stopped"]))
        problems = [*self.backup.problems, *stopped]
        return {
            "format": self.backup.format,
            "source_id": self.source_id,
            "archive_id": identity.archive_id or None,
            "cluster_id": identity.cluster_id,
            "dry_run": self.target.dry_run,
            "records": sum(partition["records"] for partition in partitions),
            "held": sum(partition["held"] for partition in partitions),
            "windows": sum(partition["windows"] for partition in partitions),
            "topics": topics,
            "groups": groups,
            "lost": self.backup.lost,
            "ignored": list(self.backup.ignored),
            "problems": [{"object": one.object or None, "problem": one.reason} for one in problems],
        }


def _notes(store: ObjectStore, layout: Layout, life: Incarnation) -> Iterator[Json]:
    """What events say of earlier imports of the topic. One that says nothing any more is as good as none."""
    for entry in store.list(f"{layout.incarnation(life)}events/"):
        event = layout.parse(entry.key) if isinstance(entry, ObjectInfo) else None
        if isinstance(event, EventKey) and event.kind == EVENT:
            key = layout.event(life, event.at_ms, EVENT)
            with suppress(DamagedArchive):
                yield parse_object(read(store, key), key)


def _told_partition(source: SourcePartition, counts: Counts, position: int, stopped: str) -> Json:
    return {
        "partition": source.partition,
        "files": len(source.files),
        "position": position,
        "records": counts.records,
        "held": counts.held,
        "windows": counts.windows,
        "markers": dict(counts.markers),
        "left_out": dict(counts.left_out),
        "stopped": stopped or None,
    }
