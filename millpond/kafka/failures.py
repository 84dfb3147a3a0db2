"""Kafka's errors as errors that an operator can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from millpond.errors import MillpondError, TryAgain, WrongUsage

T = TypeVar("T")

_PAUSE_S = 0.2
_UNREACHABLE = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.REQUEST_TIMED_OUT,
}
_PASSING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
}
_NOT_THERE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_CREDENTIALS = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


def explained(error: KafkaError, attempt: str, brokers: str) -> MillpondError:
    """The error for this attempt ("cannot list topics"), with what to do next."""
    message = f"{attempt}: {error.str()} ({error.name()})"
    if error.code() in _UNREACHABLE:
        return TryAgain(message, hint=f"check that the brokers {brokers} can be reached from here, and their ports")
    if error.code() in _PASSING:
        return TryAgain(message, hint="the cluster is electing leaders; it should pass by itself")
    if error.code() in _NOT_THERE:
        return TryAgain(message, hint="the topic was deleted or made just now, or has fewer partitions than before")
    if error.code() in _CREDENTIALS:
        return WrongUsage(message, hint="check the credentials, the security protocol and trusted certificates")
    if error.code() in _RIGHTS:
        return WrongUsage(message, hint="the user lacks a right; docs/operations.md lists those that are needed")
    return MillpondError(message)


def tells_why(error: KafkaError) -> bool:
    """Whether this is why brokers refuse connections, which no call reports by itself."""
    return error.code() in _CREDENTIALS


def patiently(question: Callable[[], T], *, within_s: float) -> T:
    """The answer to a question that a cluster cannot answer while it elects a leader, as for a topic just made."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return question()
        except KafkaException as failure:
            if failure.args[0].code() not in _PASSING or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


@contextmanager
def explaining(attempt: str, brokers: str) -> Iterator[None]:
    """Turns Kafka's exceptions inside the block into `explained` ones."""
    try:
        yield
    except KafkaException as failure:
        raise explained(failure.args[0], attempt, brokers) from failure
