"""An old follower becomes leader and cuts the log below what the backup has read, while it runs and while it does not.

MILLPOND_FAULT_ROUNDS says how often the log is cut in the test that cuts it again and again (3).
"""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import wait_until
from millpond.archive.codecs import CODECS
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests import oracle
from tests.faults.backup_process import ROUNDS, Rig
from tests.faults.three_nodes import ThreeNodes
from tests.integration.backup_runs import Backup

# Each record is in the file of its window as soon as it was read, for the test to see it there.
AT_ONCE = {"block_bytes": 1, "codec": CODECS["null"]}


class Cuttable:
    """A topic `t` on two nodes, either of which may lead without what only the other has; the third keeps the quorum.

    Attributes:
        leader: The node that leads, and its follower.
    """

    def __init__(self, kafka: KafkaCluster) -> None:
        self.nodes, self.kafka, self.bootstrap = ThreeNodes(kafka, "t"), kafka, kafka.bootstrap()
        self.leader, self.follower = 1, 2
        self.topic_id = self.nodes.make_topic([[1, 2]], unclean_leader_election_enable="true", min_insync_replicas="1")

    def write(self, letter: str, count: int, *, width: int = 0) -> None:
        """As wide as that with spaces, so that no buffer keeps a record for long."""
        self.nodes.write([name.ljust(width) for name in numbered(letter, count)])

    def leave_follower_behind(self) -> None:
        """What is written from now on, only the leader has."""
        self.kafka.stop_node(self.follower)
        self.nodes.wait_partition("the leader alone", lambda p: p.isrs == [self.leader])

    def cut(self) -> None:
        """The follower takes over; the old leader is dead."""
        self.kafka.kill(self.leader)
        self.kafka.start_node(self.follower, wait=False)
        self.leader, self.follower = self.follower, self.leader
        self.nodes.wait_partition("led by the old follower", lambda p: p.leader == self.leader)

    def heal(self) -> None:
        """The old leader is back as a follower, and has the new leader's records."""
        self.kafka.start_node(self.follower)
        self.nodes.wait_in_sync()


def numbered(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(count)]


@pytest.fixture
def log(kafka3: KafkaCluster) -> Cuttable:
    return Cuttable(kafka3)


@pytest.fixture
def backup(log: Cuttable, tmp_path: Path) -> Backup:
    return Backup(MemoryStore(), log.bootstrap, tmp_path / "spool", ("t",))


def truncations(backup: Backup, log: Cuttable) -> list[tuple[int, int]]:
    """Branch point and end of what was archived, of each event."""
    keys = [k for k in backup.keys(f"topics/t/{log.topic_id}/events") if k.endswith("-truncated.json")]
    said: list[dict[str, Any]] = [json.loads(read(backup.store, key)) for key in keys]
    return [(one["branch_point"], one["archived_to"]) for one in said]


def every_branch(backup: Backup, log: Cuttable) -> list[str]:
    """The values in all objects, dead ones too, in the order of their offsets and epochs."""
    archive_id = json.loads(read(backup.store, backup.layout.identity))["archive_id"]
    windows = sorted(backup.folders("t")[0].windows, key=lambda window: (window.epoch, window.first))
    held = [oracle.read_window_object(backup.store, w, archive_id, "t", log.topic_id, 0)[2] for w in windows]
    return [value_of(record) for records in held for record in records]


def values(backup: Backup) -> list[str]:
    return [value_of(record) for record in backup.holds("t")[0]]


def value_of(record: Any) -> str:
    text: str = record.value.decode()
    return text.rstrip()


def wait_spooled(folder: Path, value: str) -> None:
    """Until the record is in an open window."""
    look = lambda: any(value.encode() in path.read_bytes() for path in folder.rglob("*.blocks"))  # noqa: E731
    wait_until(look, f"{value} is read")


def wait_noticed(backup: Backup, log: Cuttable, times: int = 1) -> None:
    wait_until(lambda: len(truncations(backup, log)) >= times, "the cut is noticed", timeout_s=60)


# -- while the backup runs


def test_cut_below_what_is_stored_and_shorter(log: Cuttable, backup: Backup) -> None:
    log.write("a", 30)
    with backup.running():
        log.leave_follower_behind()
        log.write("b", 30)
        backup.wait_covered("t", {0: 60})
        log.cut()
        wait_noticed(backup, log)
        log.write("c", 5)
        log.heal()
        wait_until(lambda: backup.folders("t")[0].end == 35, "the new branch is stored")
        assert values(backup) == numbered("a", 30) + numbered("c", 5)
    assert truncations(backup, log) == [(30, 59)], "once"
    assert every_branch(backup, log) == numbered("a", 30) + numbered("b", 30) + numbered("c", 5)


def test_cut_below_what_is_stored_and_grown_past_it(log: Cuttable, backup: Backup) -> None:
    log.write("a", 30)
    with backup.running():
        log.leave_follower_behind()
        log.write("b", 30)
        backup.wait_covered("t", {0: 60})
        log.cut()
        log.write("c", 50)
        backup.wait_covered("t", {0: 80}, timeout_s=60)
        log.heal()
        assert values(backup) == numbered("a", 30) + numbered("c", 50)
    assert truncations(backup, log) == [(30, 59)], "once"
    assert every_branch(backup, log) == numbered("a", 30) + numbered("b", 30) + numbered("c", 50)


@pytest.mark.parametrize("count", [5, 50])
def test_cut_below_what_lies_in_the_open_window(log: Cuttable, backup: Backup, count: int) -> None:
    """What was read last lies on the disk only. It is stored as the old branch."""
    backup.max_age_s = 600
    log.write("a", 30)
    with backup.running(**AT_ONCE):
        log.leave_follower_behind()
        log.write("b", 30, width=9000)
        wait_spooled(backup.spool, "b29")
        log.cut()
        log.write("c", count)
        wait_noticed(backup, log)
        log.heal()
    backup.once()
    assert values(backup) == numbered("a", 30) + numbered("c", count)
    assert truncations(backup, log) == [(30, 59)]
    assert every_branch(backup, log) == numbered("a", 30) + numbered("b", 30) + numbered("c", count)


def test_cut_again_and_again(log: Cuttable, backup: Backup) -> None:
    """At random places, to and fro between two leaders, now shorter and now longer than before."""
    chance, alive = random.Random(), numbered("a", 20)
    log.write("a", 20)
    with backup.running():
        for number in range(ROUNDS):
            backup.wait_covered("t", {0: len(alive)}, timeout_s=60)
            log.leave_follower_behind()
            log.write(f"dead{number}-", dead := chance.randint(1, 30))
            backup.wait_covered("t", {0: len(alive) + dead}, timeout_s=60)
            log.cut()
            log.write(f"new{number}-", new := chance.choice([1, dead, dead + 1, 60]))
            alive += numbered(f"new{number}-", new)
            wait_noticed(backup, log, number + 1)
            log.heal()
        wait_until(lambda: backup.folders("t")[0].end == len(alive), "the last branch is stored", timeout_s=60)
        assert values(backup) == alive
    assert len(truncations(backup, log)) == ROUNDS


def test_cut_and_grown_past_the_position_of_a_frozen_process(
    log: Cuttable, aws: LocalAws, s3: Any, bucket: str, tmp_path: Path
) -> None:
    """It sees no moment of all this: when it goes on, its position is again inside the log."""
    rig = Rig(aws, s3, bucket, log.bootstrap, "t", tmp_path)
    log.write("a", 30)
    process, client = rig.process(), {"session.timeout.ms": "45000"}
    child = process.start(MILLPOND_KAFKA=json.dumps(client))
    log.leave_follower_behind()
    log.write("b", 30)
    rig.backup.wait_covered("t", {0: 60})
    child.send(signal.SIGSTOP)
    log.cut()
    log.write("c", 50)
    log.heal()
    child.send(signal.SIGCONT)
    rig.backup.wait_covered("t", {0: 80}, timeout_s=60)
    wait_noticed(rig.backup, log)
    assert child.stop() == 0
    rig.assert_holds()
    held = oracle.read_archive_records(rig.backup.store, rig.backup.layout, "t")[0]
    assert [value_of(record) for record in held] == numbered("a", 30) + numbered("c", 50)
    assert truncations(rig.backup, log) == [(30, 59)]


# -- while it does not


@pytest.mark.parametrize("count", [5, 50])
def test_cut_between_two_runs(log: Cuttable, backup: Backup, count: int) -> None:
    log.write("a", 30)
    log.leave_follower_behind()
    log.write("b", 30)
    backup.once()
    log.cut()
    log.write("c", count)
    log.heal()
    for _ in range(2):
        backup.once()
        assert values(backup) == numbered("a", 30) + numbered("c", count)
    assert truncations(backup, log) == [(30, 59)], "once"
    assert every_branch(backup, log) == numbered("a", 30) + numbered("b", 30) + numbered("c", count)


# -- branches that begin without a record


def abort(log: Cuttable, count: int) -> None:
    """A transaction that is aborted: as many offsets and one more, and no record."""
    end = oracle.ends_of(log.bootstrap, "t")[0] + count + 1
    oracle.produce_transaction(log.bootstrap, "t", [b"never"] * count, commit=False)
    # The mark is written behind the producer's back; a log that was cut before it would have an open transaction.
    wait_until(lambda: oracle.ends_of(log.bootstrap, "t")[0] == end, "the transaction has ended")


def windows(backup: Backup) -> list[tuple[int, int]]:
    """Of what counts: first and last offset."""
    return [(w.first, w.end) for w in backup.folders("t")[0].windows if w.first <= w.end]


def test_a_new_branch_of_aborted_records_ends_the_old_one(log: Cuttable, backup: Backup) -> None:
    log.write("a", 30)
    log.leave_follower_behind()
    log.write("b", 30)
    backup.once()
    log.cut()
    abort(log, 4)
    log.heal()
    for _ in range(2):
        backup.once()
        assert values(backup) == numbered("a", 30)
        assert backup.folders("t")[0].end == 35
        assert windows(backup) == [(0, 29), (30, 34)]
    log.write("c", 5)
    backup.once()
    assert values(backup) == numbered("a", 30) + numbered("c", 5)
    assert truncations(backup, log) == [(30, 59)], "once"


def test_a_log_of_aborted_records_that_is_cut_and_grows_past_the_position(log: Cuttable, backup: Backup) -> None:
    abort(log, 9)
    log.leave_follower_behind()
    abort(log, 19)
    backup.once()
    assert backup.folders("t")[0].end == 30
    log.cut()
    log.write("c", 50)
    log.heal()
    for _ in range(2):
        backup.once()
        assert values(backup) == numbered("c", 50)
    assert [record.offset for record in backup.holds("t")[0]] == list(range(10, 60))
    assert len(truncations(backup, log)) == 1, "once"


def test_such_a_log_is_cut_while_the_backup_runs(log: Cuttable, backup: Backup) -> None:
    abort(log, 9)
    with backup.running():
        log.leave_follower_behind()
        abort(log, 19)
        backup.wait_covered("t", {0: 30})
        log.cut()
        log.write("c", 50)
        wait_noticed(backup, log)
        backup.wait_covered("t", {0: 60}, timeout_s=60)
        log.heal()
    assert values(backup) == numbered("c", 50)
    assert [record.offset for record in backup.holds("t")[0]] == list(range(10, 60))


def test_an_election_that_cuts_nothing_is_no_truncation(log: Cuttable, backup: Backup) -> None:
    """What has no record is told by a lower epoch than its log's end, so the log is compared: nothing differs."""
    abort(log, 9)
    backup.once()
    log.kafka.stop_node(log.leader)
    log.nodes.wait_partition("led by the follower", lambda p: p.leader == log.follower)
    log.kafka.start_node(log.leader)
    log.nodes.wait_in_sync()
    abort(log, 4)
    for _ in range(2):
        assert backup.once() == {("t", 0): 15}
    log.write("c", 5)
    backup.once()
    assert values(backup) == numbered("c", 5)
    assert truncations(backup, log) == []
