"""Kafka's errors as errors that an operator can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException

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
    KafkaError._NOENT,  # "no leaders found" of all that were asked for
    KafkaError._DESTROY_BROKER,  # the client let go of a broker that is gone
}
_CUT_OFF = {KafkaError._TRANSPORT}
_NOT_THERE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_CREDENTIALS = {
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
}
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional id",
}


def explained(error: KafkaError, attempt: str, brokers: str) -> MillpondError:
    """The error for this attempt ("cannot list topics"), with what to do next."""
    message = f"{attempt}: {error.str()} ({error.name()})"
    if error.code() in _UNREACHABLE:
        return TryAgain(
            message, hint=f"check that the brokers {brokers} can be reached from here, their ports, and --security"
        )
    if error.code() in _PASSING:
        return TryAgain(message, hint="the cluster is electing leaders; it should pass by itself")
    if error.code() in _NOT_THERE:
        return TryAgain(message, hint="the topic was deleted or made just now, or has fewer partitions than before")
    if error.code() in _CREDENTIALS:
        return WrongUsage(message, hint=_about_credentials(error))
    if what := _RIGHTS.get(error.code()):
        return WrongUsage(
            message, hint=f"the user lacks a right on the {what}; docs/operations.md lists those that are needed"
        )
    return MillpondError(message)


def _about_credentials(error: KafkaError) -> str:
    """What to check. librdkafka's code tells TLS from a login, and only its text what of TLS went wrong."""
    if error.code() != KafkaError._SSL:
        return "check the credentials: user and password, or the role; and that --security is what this port wants"
    if "certificate verify failed" in error.str():
        return "the brokers' certificate is not trusted: name the authority that signed it with --ca-cert"
    return "check that --security is what this port wants, and --client-cert and --client-key with mtls"


def tells_why(error: KafkaError) -> bool:
    """Whether this is why brokers refuse connections, which no call reports by itself."""
    return error.code() in _CREDENTIALS


def passes_by_itself(future: Future[Any]) -> bool:
    """Whether a call failed for what concerns one partition and should pass: it has no leader, its broker is away."""
    error = future.exception()
    if error is None:
        return is_unanswered(future.result())
    if not isinstance(error, KafkaException):
        return False
    return error.args[0].code() in _UNREACHABLE | _PASSING | _NOT_THERE


def is_unanswered(found: Any) -> bool:
    """Whether what came is no offset: so the client's library tells, without an error, of a leader that has died."""
    return getattr(found, "offset", None) == OFFSET_INVALID


def offset_answer(future: Future[Any]) -> Any:
    """What the question for a partition's offset found; `KafkaException` where nobody answered it."""
    if is_unanswered(found := future.result()):
        raise KafkaException(KafkaError(KafkaError.LEADER_NOT_AVAILABLE))
    return found


def patiently(question: Callable[[], T], *, within_s: float) -> T:
    """The answer to a question that a cluster cannot answer while it elects a leader, as for a topic just made, or that
    was on its way as a broker went."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return question()
        except KafkaException as failure:
            if failure.args[0].code() not in _PASSING | _CUT_OFF or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def consumer_of(settings: dict[str, Any]) -> Consumer:
    """A client with settings that one was made with before.

    Raises:
        TryAgain: It refuses them now, as while certificates are being replaced on the disk.
    """
    try:
        return Consumer(settings)
    except KafkaException as failure:
        raise TryAgain(
            f"the Kafka client refuses its settings now: {failure.args[0].str().strip()}",
            hint="check the files of certificates, keys and secrets",
        ) from failure


@contextmanager
def explaining(attempt: str, brokers: str) -> Iterator[None]:
    """Turns Kafka's exceptions inside the block into `explained` ones."""
    try:
        yield
    except KafkaException as failure:
        raise explained(failure.args[0], attempt, brokers) from failure
