"""Answers to questions for offsets: what the client's library gives for a leader that died is none."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaException

from millpond.errors import TryAgain
from millpond.kafka.failures import explaining, offset_answer, passes_by_itself


def answered(offset: int) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(SimpleNamespace(offset=offset))
    return future


@pytest.mark.parametrize("offset", [0, 17, -1])
def test_an_offset_is_an_answer_and_so_is_that_no_record_has_the_timestamp(offset: int) -> None:
    assert offset_answer(answered(offset)).offset == offset
    assert not passes_by_itself(answered(offset))


def test_no_offset_and_no_error_is_a_leader_that_did_not_answer() -> None:
    """A count against it would take all records for somebody else's, or for lost."""
    assert passes_by_itself(answered(OFFSET_INVALID))
    with pytest.raises(KafkaException):
        offset_answer(answered(OFFSET_INVALID))
    with pytest.raises(TryAgain, match="LEADER_NOT_AVAILABLE"), explaining("cannot list offsets", "b:1"):
        offset_answer(answered(OFFSET_INVALID))
