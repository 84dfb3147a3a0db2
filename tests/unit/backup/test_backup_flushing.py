"""A flush is answered when all that was read before it is stored, and told when it cannot be."""

from __future__ import annotations

import pytest

from millpond.backup.flush import Flush
from millpond.backup.flushing import Flushing
from millpond.errors import MillpondError
from tests.unit.backup.records import OpenAt, a_backup, messages


def test_a_flush_closes_what_is_open_and_is_answered_when_it_is_stored(open_window: OpenAt) -> None:
    flush, busy, idle = Flush(), a_backup(open_window), a_backup(open_window)
    flushing = Flushing(flush)
    busy.take(messages([0, 1]), 0.0)
    asked = flush.ask()
    flushing.tick([busy, idle], 1.0)
    assert [(one.first, one.last) for one in busy.closed] == [(0, 1)]
    busy.take(messages([2]), 1.5)
    busy.close(1.6)
    flushing.tick([busy, idle], 2.0)
    assert not asked.done()
    busy.closed.popleft()  # stored
    flushing.tick([busy, idle], 3.0)
    assert asked.result(0) == 1, "what came after the request is not waited for"


def test_with_nothing_to_store_the_answer_comes_at_once(open_window: OpenAt) -> None:
    flush = Flush()
    asked = flush.ask()
    Flushing(flush).tick([a_backup(open_window)], 0.0)
    assert asked.result(0) == 0


def test_a_signal_closes_what_is_open_and_waits_for_nothing(open_window: OpenAt) -> None:
    flush, backup = Flush(), a_backup(open_window)
    flushing = Flushing(flush)
    backup.take(messages([0]), 0.0)
    flush.signal()
    flushing.tick([backup], 1.0)
    assert len(backup.closed) == 1
    assert flush.take() is None, "once"


def test_the_end_of_the_backup_is_told_to_all_that_wait(open_window: OpenAt) -> None:
    flush, backup = Flush(), a_backup(open_window)
    flushing = Flushing(flush)
    backup.take(messages([0]), 0.0)
    first = flush.ask()
    flushing.tick([backup], 1.0)
    second = flush.ask()
    flushing.close()
    for asked in (first, second):
        with pytest.raises(MillpondError, match="ended before"):
            asked.result(0)


def test_new_connections_are_told_to_all_that_wait_as_what_they_are(open_window: OpenAt) -> None:
    flush, backup = Flush(), a_backup(open_window)
    flushing = Flushing(flush)
    backup.take(messages([0]), 0.0)
    asked = flush.ask()
    flushing.tick([backup], 1.0)
    flushing.close(anew=True)
    with pytest.raises(MillpondError, match="connected to the brokers anew before") as caught:
        asked.result(0)
    assert "ask again" in caught.value.hint
