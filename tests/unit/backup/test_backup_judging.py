"""Judgements that cannot be made."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from local.processes import wait_until
from millpond.archive.keys import PartitionId
from millpond.backup.background import Background
from millpond.backup.judging import Judging
from millpond.backup.lives import Verdict
from millpond.backup.partition import Closed, PartitionBackup
from millpond.errors import TryAgain
from tests.unit.backup.records import OpenAt, a_backup, messages


class Lives:
    """Decides as told."""

    def __init__(self, *answers: Exception | Verdict) -> None:
        self._answers = list(answers)

    def decide(self, partition: PartitionId, unconfirmed: Sequence[Closed], now_ms: int) -> Verdict:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def waiting(open_window: OpenAt) -> PartitionBackup:
    backup = a_backup(open_window)
    backup.take(messages([0, 1, 2]), 0.0)
    backup.close(0.0)
    return backup


def settled(lives: Lives, backup: PartitionBackup) -> list[PartitionBackup]:
    judging = Judging(lives, Background(1, "judges"))  # type: ignore[arg-type]
    judging.begin(backup)
    assert backup.judged
    lost: list[PartitionBackup] = []
    wait_until(lambda: lost.extend(judging.tick()) or judging.idle, "it is settled", timeout_s=5)
    assert not backup.judged
    return lost


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("I/O operation on closed file")])
def test_records_whose_spool_is_lost_are_given_back_to_be_read_again(open_window: OpenAt, error: Exception) -> None:
    backup = waiting(open_window)
    assert settled(Lives(error), backup) == [backup]


def test_what_could_not_be_asked_stays_to_be_judged_again(open_window: OpenAt) -> None:
    backup = waiting(open_window)
    assert settled(Lives(TryAgain("the brokers are away")), backup) == []
    assert len(backup.closed) == 1 and not backup.closed[0].confirmed


def test_a_verdict_keeps_what_is_the_old_lifes(open_window: OpenAt) -> None:
    backup = waiting(open_window)
    assert settled(Lives(Verdict(0, None)), backup) == []
    assert not backup.closed
