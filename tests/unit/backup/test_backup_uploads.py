"""What is confirmed goes to the store, in order, until it is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from local.processes import wait_until
from millpond.archive.identity import Identity
from millpond.backup import upload
from millpond.backup.partition import PartitionBackup
from millpond.backup.upload import Stored, Uploads
from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.backup.records import OpenAt, a_backup, messages
from tests.unit.builders import ARCHIVE_ID, LAYOUT

IDENTITY = Identity(1, ARCHIVE_ID, "cluster", 0)


class Unwilling(MemoryStore):
    """Fails puts with what it is told to, so many times."""

    def __init__(self, error: MillpondError, times: int) -> None:
        super().__init__()
        self.error, self.times, self.tries = error, times, 0

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        self.tries += 1
        if self.tries <= self.times:
            raise self.error
        return super().put_if_absent(key, body, metadata)


@contextmanager
def uploads(store: MemoryStore) -> Iterator[tuple[Uploads, threading.Event]]:
    stop = threading.Event()
    found = Uploads(store, LAYOUT, IDENTITY, stop)
    try:
        yield found, stop
    finally:
        stop.set()
        found.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_FIRST_PAUSE_S", 0.01)


def three_closed(open_window: OpenAt) -> PartitionBackup:
    """A window, a stretch without records, a window."""
    backup = a_backup(open_window)
    backup.take(messages([0, 1], epoch=5), 0.0)
    backup.close(0.0)
    backup.reached_end(4, 0.0)
    backup.close(0.0)
    backup.take(messages([4], epoch=5), 0.0)
    backup.close(0.0)
    return backup


def drained(found: Uploads, backup: PartitionBackup) -> list[Stored]:
    stored: list[Stored] = []

    def step() -> bool:
        stored.extend(found.tick([backup]))
        return found.idle

    wait_until(step, "all is stored", timeout_s=5, pause_s=0.001)
    return stored


def test_only_what_is_confirmed_is_stored_and_in_order(open_window: OpenAt) -> None:
    store, backup = MemoryStore(), three_closed(open_window)
    with uploads(store) as (found, _):
        assert drained(found, backup) == []
        assert list(store.list("")) == []
        backup.closed[0].confirmed = backup.closed[1].confirmed = True
        stored = drained(found, backup)
        assert [(one.next_offset, one.epoch, one.key.rsplit(".")[-1]) for one in stored] == [
            (2, 5, "avro"),
            (4, 5, "gap"),
        ]
        assert (backup.stored, len(backup.closed)) == (4, 1)


def test_one_object_of_a_partition_at_a_time(open_window: OpenAt) -> None:
    """Two at once could leave the later one alone in the store after a crash: a hole."""
    gate, at_once = threading.Event(), []

    class Slow(MemoryStore):
        def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
            at_once.append(key)
            gate.wait(5)
            return super().put_if_absent(key, body, metadata)

    backup = three_closed(open_window)
    for closed in backup.closed:
        closed.confirmed = True
    with uploads(Slow()) as (found, _):
        for _ in range(20):
            found.tick([backup])
        wait_until(lambda: at_once, "the first put")
        assert len(at_once) == 1
        gate.set()
        assert len(drained(found, backup)) == 3


def test_a_store_that_does_not_answer_is_tried_until_it_does(open_window: OpenAt) -> None:
    store, backup = Unwilling(TryAgain("S3 is down"), 4), three_closed(open_window)
    for closed in backup.closed:
        closed.confirmed = True
    with uploads(store) as (found, _):
        assert len(drained(found, backup)) == 3
    assert store.tries == 7


def test_a_stop_ends_the_trying(open_window: OpenAt) -> None:
    store, backup = Unwilling(TryAgain("S3 is down"), 10**6), three_closed(open_window)
    backup.closed[0].confirmed = True
    with uploads(store) as (found, stop):
        found.tick([backup])
        stop.set()
        with pytest.raises(TryAgain):
            drained(found, backup)


def test_a_store_that_refuses_ends_the_backup(open_window: OpenAt) -> None:
    store, backup = Unwilling(WrongUsage("no such bucket"), 1), three_closed(open_window)
    backup.closed[0].confirmed = True
    with uploads(store) as (found, _), pytest.raises(WrongUsage):
        drained(found, backup)
    assert backup.stored == 0


def test_a_full_disk_ends_the_backup_with_a_hint(open_window: OpenAt, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    backup = a_backup(open_window)
    backup.take(messages([0]), 0.0)
    assert backup.window is not None
    monkeypatch.setattr(backup.window.spool, "add", full)
    backup.close(0.0)
    backup.closed[0].confirmed = True
    with uploads(MemoryStore()) as (found, _), pytest.raises(MillpondError, match="No space left") as caught:
        drained(found, backup)
    assert caught.value.hint
