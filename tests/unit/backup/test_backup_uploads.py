"""What is confirmed goes to the store, in order, until it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from local.processes import wait_until
from millpond.archive.identity import Identity
from millpond.archive.keys import PartitionId
from millpond.backup import upload
from millpond.backup.partition import PartitionBackup
from millpond.backup.upload import Failed, Stored, Uploads
from millpond.errors import DamagedArchive, MillpondError, TryAgain, WrongUsage
from millpond.storage.contract import NO_METADATA, Body, ObjectInfo
from millpond.storage.memory import MemoryStore
from tests.unit.backup.records import OpenAt, a_backup, messages
from tests.unit.builders import ARCHIVE_ID, LAYOUT, ORDERS_3, a_partition

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
def uploads(store: MemoryStore, *, patient: bool = True) -> Iterator[Uploads]:
    found = Uploads(store, LAYOUT, IDENTITY, patient=patient)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "_FIRST_PAUSE_S", 0.01)


def three_closed(open_window: OpenAt, partition: PartitionId = ORDERS_3) -> PartitionBackup:
    """A window, a stretch without records, a window."""
    backup = a_backup(open_window, partition=partition)
    backup.take(messages([0, 1], epoch=5), 0.0)
    backup.close(0.0)
    backup.reached_end(4, 0.0)
    backup.close(0.0)
    backup.take(messages([4], epoch=5), 0.0)
    backup.close(0.0)
    return backup


def drained(found: Uploads, *backups: PartitionBackup) -> list[Any]:
    """Until nothing is left that may be stored, or something has failed for good."""
    stored: list[Stored | Failed] = []

    def step() -> bool:
        stored.extend(found.tick(backups, time.monotonic()))
        waiting = any(backup.closed and backup.closed[0].confirmed for backup in backups)
        return (found.idle and not waiting) or any(isinstance(one, Failed) for one in stored)

    wait_until(step, "all is stored", timeout_s=5, pause_s=0.001)
    return stored


def test_only_what_is_confirmed_is_stored_and_in_order(open_window: OpenAt) -> None:
    store, backup = MemoryStore(), three_closed(open_window)
    with uploads(store) as found:
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
    with uploads(Slow()) as found:
        for _ in range(20):
            found.tick([backup], time.monotonic())
        wait_until(lambda: at_once, "the first put")
        assert len(at_once) == 1
        gate.set()
        assert len(drained(found, backup)) == 3


def test_a_store_that_does_not_answer_is_tried_until_it_does(open_window: OpenAt) -> None:
    store, backup = Unwilling(TryAgain("S3 is down"), 4), three_closed(open_window)
    for closed in backup.closed:
        closed.confirmed = True
    with uploads(store) as found:
        assert len(drained(found, backup)) == 3
    assert store.tries == 7


def confirmed(backup: PartitionBackup) -> PartitionBackup:
    for closed in backup.closed:
        closed.confirmed = True
    return backup


class RefusesSome(MemoryStore):
    """As where a policy or a key forbids one topic's prefix."""

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        if "/bad/" in key:
            raise WrongUsage("access denied")
        return super().put_if_absent(key, body, metadata)


def test_partitions_that_the_store_refuses_keep_no_others_waiting(open_window: OpenAt) -> None:
    refused = [confirmed(three_closed(open_window, a_partition("bad", number))) for number in range(20)]
    good = confirmed(three_closed(open_window))
    with uploads(RefusesSome()) as found:
        found.tick([*refused, good], time.monotonic())
        wait_until(lambda: found.tick([*refused, good], time.monotonic()) is None or not good.closed, "it is stored")
        assert found.failures > 0
        assert found.failing_since_ms is not None
    assert all(len(backup.closed) == 3 for backup in refused)


def test_pauses_between_tries_grow(open_window: OpenAt) -> None:
    store, backup = Unwilling(TryAgain("S3 is down"), 10**6), confirmed(three_closed(open_window))
    with uploads(store) as found:
        wait_until(lambda: found.tick([backup], time.monotonic()) or found.failures >= 4, "failures")
        failed = backup.closed[0].failed
        assert failed is not None and failed.pause_s >= 0.08
        tries = store.tries
        found.tick([backup], failed.not_before - 0.001)
        assert (found.idle, store.tries) == (True, tries)


def test_a_store_that_refuses_ends_a_single_run(open_window: OpenAt) -> None:
    store, backup = Unwilling(WrongUsage("no such bucket"), 1), three_closed(open_window)
    backup.closed[0].confirmed = True
    with uploads(store, patient=False) as found, pytest.raises(WrongUsage):
        drained(found, backup)
    assert backup.stored == 0


def test_a_store_that_refuses_for_a_while_is_tried_until_it_takes(open_window: OpenAt) -> None:
    store, backup = Unwilling(WrongUsage("access denied"), 4), three_closed(open_window)
    for closed in backup.closed:
        closed.confirmed = True
    with uploads(store) as found:
        wait_until(lambda: found.tick([backup], time.monotonic()) or found.failures, "a failure")
        found.tick([backup], 0.0)
        assert found.failing_since_ms is not None
        assert len(drained(found, backup)) == 3
        assert (found.failing_since_ms, found.failures) == (None, 4)
        assert found.stored_ms > 0


def test_a_full_disk_fails_that_partition_alone(open_window: OpenAt, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    backup = a_backup(open_window)
    backup.take(messages([0]), 0.0)
    assert backup.window is not None
    monkeypatch.setattr(backup.window.spool, "add", full)
    backup.close(0.0)
    backup.closed[0].confirmed = True
    with uploads(MemoryStore()) as found:
        assert drained(found, backup)[0] == Failed(backup, "cannot spool: No space left on device", spool=True)
    assert backup.stored == 0 and len(backup.closed) == 1


def test_a_damaged_object_under_the_name_fails_that_partition_alone(open_window: OpenAt) -> None:
    store, backup = Unwilling(DamagedArchive("no window"), 1), three_closed(open_window)
    backup.closed[0].confirmed = True
    with uploads(store) as found:
        assert drained(found, backup)[0] == Failed(backup, "no window", spool=False)
