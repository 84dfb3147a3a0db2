"""Snapshots of groups and of the cluster beside a running backup, by the one worker that is elected for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from millpond.archive.keys import Layout
from millpond.backup.background import Question
from millpond.clock import now_ms
from millpond.cluster import keep as cluster_history
from millpond.cluster.whole import take_whole
from millpond.errors import MillpondError
from millpond.groups import keep as group_history
from millpond.groups.take import GroupChoice, take
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.storage.contract import ObjectStore

_LOG = logging.getLogger(__name__)
_TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class _Taken:
    """One snapshot: its time in epoch ms where it is in the archive, or an equal one; else the problem."""

    at_ms: int | None = None
    problem: str = ""


@dataclass(slots=True)
class _Kind:
    """Snapshots of one kind.

    Attributes:
        newest_ms: Of the newest one that is known to be in the archive; before it, of the first try.
    """

    take: Callable[[], _Taken]
    question: Question[_Taken]
    newest_ms: int | None = None
    last: _Taken = _Taken()


class SnapshotWatch:
    """Takes both snapshots every so often, one at the start. What fails is logged and done at the next time.

    Args:
        archive_id: The archive's; its own group is left out.
        selection: The topics of this backup.
        every_s: Seconds from the start of one snapshot to that of the next; 0 is never.
    """

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        cluster: Cluster,
        pool: Executor,
        *,
        archive_id: str,
        selection: Selection,
        every_s: float,
    ) -> None:
        self._store, self._layout, self._cluster = store, layout, cluster
        self._archive_id, self._selection = archive_id, selection
        self._choice = GroupChoice.of(archive_id)
        self._every_s, self._next, self._elected = every_s, 0.0, False
        self._kinds = {
            "groups": _Kind(self._take_groups, Question(pool, patient=True)),
            "cluster": _Kind(self._take_cluster, Question(pool, patient=True)),
        }

    def tick(self, now: float, elected: bool) -> None:
        """Asks when it is time, and takes what was answered.

        Args:
            now: Monotonic seconds.
            elected: Whether this worker is the one that takes snapshots.
        """
        self._elected = elected and bool(self._every_s)
        if self._elected and now >= self._next:
            self._next = now + self._every_s
            for kind in self._kinds.values():
                kind.newest_ms = kind.newest_ms or now_ms()
                kind.question.ask(kind.take, now)
        self._hear(now)

    def _hear(self, now: float) -> None:
        for name, kind in self._kinds.items():
            if (taken := kind.question.answer(now)) is None:
                continue
            kind.last = taken
            if taken.at_ms is not None:
                kind.newest_ms = taken.at_ms
            else:
                _LOG.error("the snapshot of %s failed: %s", name, taken.problem)

    def newest_ms(self) -> Mapping[str, int]:
        """Of each kind, as `BackupStatus.snapshots_ms`; nothing where this worker is not the one that takes them."""
        if not self._elected:
            return {}
        return {name: kind.newest_ms for name, kind in self._kinds.items() if kind.newest_ms is not None}

    def finish(self, stop: threading.Event, within_s: float) -> Mapping[str, str]:
        """Waits for those under way. Returns the problem of each kind whose last snapshot is not in the archive."""
        if not self._every_s:
            return {}
        deadline = time.monotonic() + within_s
        while any(kind.question.open for kind in self._kinds.values()):
            if (now := time.monotonic()) >= deadline or stop.wait(_TICK_S):
                break
            self._hear(now)
        for name, kind in self._kinds.items():
            if kind.question.open:
                kind.last = _Taken(problem="it did not end in time")
                _LOG.error("the snapshot of %s did not end in time", name)
        return {name: kind.last.problem for name, kind in self._kinds.items() if kind.last.problem}

    def _take_groups(self) -> _Taken:
        try:
            snapshot = take(self._cluster, self._choice, archive_id=self._archive_id, now_ms=now_ms)
            if snapshot.failed:
                _LOG.warning("the snapshot of groups is not complete: %s", ", ".join(snapshot.by_code()))
            kept = group_history.keep(self._store, self._layout, snapshot)
        except MillpondError as error:
            return _Taken(problem=str(error.args[0]))
        return _Taken(problem=kept.refused) if kept.refused else _Taken(kept.snapshot.at)

    def _take_cluster(self) -> _Taken:
        try:
            whole = take_whole(self._cluster, self._selection, now_ms=now_ms())
            kept = cluster_history.keep(self._store, self._layout, whole)
        except MillpondError as error:
            return _Taken(problem=str(error.args[0]))
        if kept.written and kept.snapshot.failed:
            parts = ", ".join(sorted({f"{missing.part} {missing.code}" for missing in kept.snapshot.failed}))
            _LOG.warning("the snapshot of the cluster is not complete: %s", parts)
        return _Taken(problem=kept.refused) if kept.refused else _Taken(kept.snapshot.at)
