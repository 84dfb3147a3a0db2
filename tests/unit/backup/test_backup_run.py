"""What is checked before anything is written."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from millpond.archive.identity import open_or_create
from millpond.backup.commits import CommitNote
from millpond.backup.options import BackupOptions
from millpond.backup.run import matching_topics, refuse_foreign_group, run_backup
from millpond.backup.spool import SpoolFolder
from millpond.errors import MillpondError, RefusedForSafety, WrongUsage
from millpond.kafka.admin import Commit, TopicDescription
from millpond.kafka.places import Place
from millpond.kafka.selection import Selection
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, OTHER_TOPIC_ID, TOPIC_ID


class FakeCluster:
    """As far as the checks at the start ask; what comes behind them fails."""

    def __init__(self, commits: dict[Place, str] | None = None, cluster_id: str = "cluster-a") -> None:
        self.commits, self._cluster_id = commits or {}, cluster_id
        self.groups: list[str] = []

    def topic_names(self) -> list[str]:
        return ["orders", "payments"]

    def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
        return {topic: TopicDescription(topic, TOPIC_ID, 1, 1, internal=False) for topic in topics}

    def cluster_id(self) -> str:
        return self._cluster_id

    def group_commits(self, group_id: str) -> dict[Place, Commit]:
        self.groups.append(group_id)
        return {place: Commit(7, text) for place, text in self.commits.items()}


def options(folder: Path, *topics: str, group_id: str = "") -> BackupOptions:
    return BackupOptions(Selection.of(topics), folder / "spool", group_id=group_id)


def run(store: MemoryStore, cluster: Any, told: BackupOptions) -> None:
    run_backup(store, LAYOUT, cluster, told, threading.Event())


def refused(store: MemoryStore, cluster: Any, told: BackupOptions) -> MillpondError:
    """The error, after which nothing may have been written."""
    before = list(store.list(""))
    with pytest.raises(MillpondError) as caught:
        run(store, cluster, told)
    assert caught.value.hint
    assert list(store.list("")) == before
    SpoolFolder(told.spool).close()  # not held
    return caught.value


def note(archive_id: str) -> str:
    return CommitNote(archive_id, OTHER_TOPIC_ID, "key").text()


def test_no_topic_that_matches(tmp_path: Path) -> None:
    error = refused(MemoryStore(), FakeCluster(), options(tmp_path, "order", "pay"))
    assert isinstance(error, WrongUsage)
    assert error.args[0] == "no topic matches order, pay: the cluster has 2 topics"


def test_matching_topics_are_described(tmp_path: Path) -> None:
    assert list(matching_topics(FakeCluster(), options(tmp_path, "pay.*"))) == ["payments"]  # type: ignore[arg-type]


def test_topics_told_by_name_are_asked_for_though_no_list_has_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Hiding(FakeCluster):
        def describe(self, topics: Iterable[str], *, refused: set[str] | None = None) -> dict[str, TopicDescription]:
            asked = set(topics)
            assert refused is not None
            refused |= asked & {"hidden"}
            return super().describe(sorted(asked - {"hidden", "absent"}))

    told = BackupOptions(Selection.of([], ["payments"], names=["orders", "hidden", "absent", "payments"]), tmp_path)
    assert list(matching_topics(Hiding(), told)) == ["orders"]  # type: ignore[arg-type]
    assert "topic hidden is not backed up: the user may not describe it" in caplog.text
    assert "topic absent is not there" in caplog.text
    assert "payments" not in caplog.text


def test_a_spool_that_is_in_use_is_found_before_the_archive_is_made(tmp_path: Path) -> None:
    held = SpoolFolder(tmp_path / "spool")
    store = MemoryStore()
    with pytest.raises(RefusedForSafety):
        run(store, FakeCluster(), options(tmp_path, "orders"))
    assert list(store.list("")) == []
    held.close()


def test_a_spool_that_cannot_be_used_is_found_before_the_archive_is_made(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"")
    store = MemoryStore()
    with pytest.raises(WrongUsage):
        run(store, FakeCluster(), options(tmp_path, "orders"))
    assert list(store.list("")) == []


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    open_or_create(store, LAYOUT, cluster_id="cluster-b", now_ms=0)
    error = refused(store, FakeCluster(), options(tmp_path, "orders"))
    assert isinstance(error, RefusedForSafety)
    assert "cluster-b" in error.args[0] and "cluster-a" in error.args[0]


@pytest.mark.parametrize("made", [False, True], ids=["new archive", "archive that is there"])
def test_a_group_that_commits_for_another_archive_is_refused_before_anything_is_written(
    tmp_path: Path, made: bool
) -> None:
    store = MemoryStore()
    if made:
        open_or_create(store, LAYOUT, cluster_id="cluster-a", now_ms=0)
    cluster = FakeCluster({("orders", 0): note("another-archive")})
    error = refused(store, cluster, options(tmp_path, "orders", group_id="ours"))
    assert isinstance(error, RefusedForSafety)
    assert "group ours commits for archive another-archive (orders-0)" in error.args[0]
    assert "--group-id" in error.hint


@pytest.mark.parametrize("text", ["", "text", "[]", "7", "{}", '{"archive_id": ""}', note("mine")])
def test_commits_of_nobody_and_of_this_archive_are_no_obstacle(text: str) -> None:
    refuse_foreign_group(FakeCluster({("orders", 0): text}), "group", "mine")  # type: ignore[arg-type]


def test_the_default_group_is_that_of_the_archive(tmp_path: Path) -> None:
    store = MemoryStore()
    identity = open_or_create(store, LAYOUT, cluster_id="cluster-a", now_ms=0)
    cluster = FakeCluster({("orders", 0): note("another-archive")})
    refused(store, cluster, options(tmp_path, "orders"))
    assert cluster.groups == [f"millpond-{identity.archive_id}"]
