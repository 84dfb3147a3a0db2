"""Kafka's errors as errors that an operator can act on."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.kafka.failures import explained, explaining, patiently


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (KafkaError._TRANSPORT, TryAgain, "check that the brokers b:9092 can be reached"),
        (KafkaError._ALL_BROKERS_DOWN, TryAgain, "check that the brokers"),
        (KafkaError._TIMED_OUT, TryAgain, "check that the brokers"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, TryAgain, "electing leaders"),
        (KafkaError.COORDINATOR_NOT_AVAILABLE, TryAgain, "electing leaders"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TryAgain, "deleted or made just now"),
        (KafkaError._UNKNOWN_PARTITION, TryAgain, "deleted or made just now"),
        (KafkaError.SASL_AUTHENTICATION_FAILED, WrongUsage, "credentials"),
        (KafkaError._AUTHENTICATION, WrongUsage, "credentials"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, WrongUsage, "lacks a right"),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, WrongUsage, "lacks a right"),
    ],
)
def test_a_failure_says_what_to_do_next(code: int, kind: type[MillpondError], hint: str) -> None:
    error = explained(KafkaError(code), "cannot list topics", "b:9092")
    assert type(error) is kind
    assert error.args[0].startswith("cannot list topics: ")
    assert KafkaError(code).name() in error.args[0]
    assert hint in error.hint


def test_other_failures_keep_their_text() -> None:
    with pytest.raises(MillpondError, match=r"cannot x: .*INVALID_CONFIG") as caught, explaining("cannot x", "b"):
        raise KafkaException(KafkaError(KafkaError.INVALID_CONFIG))
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("code", [KafkaError.LEADER_NOT_AVAILABLE, KafkaError._TRANSPORT])
def test_an_election_or_a_broker_that_goes_is_waited_for_and_other_failures_are_not(code: int) -> None:
    tries = []

    def question() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise KafkaException(KafkaError(code))
        return 7

    assert patiently(question, within_s=5) == 7

    def refused() -> int:
        tries.append(1)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    tries.clear()
    with pytest.raises(KafkaException):
        patiently(refused, within_s=5)
    assert len(tries) == 1


def test_what_never_comes_is_given_up() -> None:
    def cut_off() -> int:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    with pytest.raises(KafkaException, match="_TRANSPORT"):
        patiently(cut_off, within_s=0.1)
