"""What the model found once, told step by step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.backup.test_backup_model import BackupMachine


@pytest.fixture
def machine() -> Iterator[BackupMachine]:
    found = BackupMachine()
    yield found
    found.teardown()


def test_a_cut_of_a_compacted_log_does_not_end_what_compaction_removed_below_it(machine: BackupMachine) -> None:
    """No window of the archive agrees with the log: its first record is of the new branch, but not its offset 0."""
    machine.begin(compacted=True)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.kill()
    machine.compact(chosen=1)
    machine.cut(where=1)
    machine.produce(key=b"a", count=1, tombstone=False, append_time=False)
    machine.come_to_rest()
    (told,) = machine.checks.events("truncated")
    assert told["branch_point"] == 1
    assert machine.checks.serials() == {0: b"1", 1: b"3"}


def test_a_new_branch_that_ends_with_aborted_records_does_not_pass_for_the_old_one(machine: BackupMachine) -> None:
    """From the start of the last window on the log has nothing to compare, and below it other records."""
    machine.begin(compacted=False)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.elect(skipped=0)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.kill()
    machine.cut(where=4)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.produce_in_transaction(key=b"a", count=2, which=0)
    machine.end_transaction(which=0, committed=False)
    machine.come_to_rest()
    (told,) = machine.checks.events("truncated")
    assert told["branch_point"] == 0
    assert machine.checks.serials() == {0: b"5", 1: b"6"}


def test_a_new_branch_that_begins_with_aborted_records_ends_the_old_one(machine: BackupMachine) -> None:
    """A marker could not: it has no epoch, and no window ends where the log was cut."""
    machine.begin(compacted=False)
    machine.produce(key=b"a", count=4, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.kill()
    machine.cut(where=2)
    machine.produce_in_transaction(key=b"a", count=1, which=0)
    machine.end_transaction(which=0, committed=False)
    machine.come_to_rest()
    (told,) = machine.checks.events("truncated")
    assert told["branch_point"] == 2
    assert machine.checks.serials() == {0: b"1", 1: b"2"}


def test_a_log_of_aborted_records_alone_that_is_cut_and_grows_again_is_read_again(machine: BackupMachine) -> None:
    """Behind no window, nobody could tell by the position that the log below it was cut."""
    machine.begin(compacted=False)
    _abort_twice(machine)
    machine.come_to_rest()
    machine.kill()
    machine.cut(where=1)
    machine.produce(key=b"a", count=4, tombstone=False, append_time=False)
    machine.come_to_rest()
    assert machine.checks.serials() == {2: b"3", 3: b"4", 4: b"5", 5: b"6"}


def test_the_same_log_is_read_again_while_the_backup_runs(machine: BackupMachine) -> None:
    machine.begin(compacted=False)
    _abort_twice(machine)
    machine.start()
    machine.step(at_most=6, after=1.0, ahead=0, slow=False, times=4)
    assert machine.writer is not None
    (partition,) = machine.writer.backup.active.values()
    assert (partition.position, partition.stored) == (4, 0), "read, and not stored"
    machine.cut(where=1)
    machine.produce(key=b"a", count=4, tombstone=False, append_time=False)
    machine.step(at_most=6, after=6.0, ahead=0, slow=False, times=8)
    machine.come_to_rest()
    assert machine.checks.serials() == {2: b"3", 3: b"4", 4: b"5", 5: b"6"}


def _abort_twice(machine: BackupMachine) -> None:
    """Offsets 0 and 1, 2 and 3: a record and the mark that its transaction was aborted."""
    for _ in range(2):
        machine.produce_in_transaction(key=b"a", count=1, which=0)
        machine.end_transaction(which=0, committed=False)


def test_a_new_branch_of_a_compacted_log_that_begins_with_aborted_records_ends_the_old_one(
    machine: BackupMachine,
) -> None:
    """The group was told an offset behind the end of what the archive covers."""
    machine.begin(compacted=True)
    machine.cut(aborted=3, count=6, where=0)
    machine.come_to_rest()
    machine.cut(count=1, where=0)
    machine.come_to_rest()
    machine.cut(aborted=1, where=1)
    machine.come_to_rest()
    assert machine.checks.serials() == {offset: b"%d" % offset for offset in range(4, 10)}


def test_a_stretch_behind_windows_of_two_branches_is_not_read_again_and_again(machine: BackupMachine) -> None:
    """A marker there would have the epochs of both, and count as unread for the sake of the one that is dead."""
    machine.begin(compacted=False)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.kill()
    machine.cut(where=2)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    machine.transact(key=b"a", count=3, committed=False)
    machine.come_to_rest()
    machine.elect(skipped=0)
    machine.produce(key=b"a", count=2, tombstone=False, append_time=False)
    machine.come_to_rest()
    assert machine.checks.serials() == {0: b"3", 1: b"4", 6: b"8", 7: b"9"}
