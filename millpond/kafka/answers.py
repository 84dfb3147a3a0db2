"""Answers to many questions asked at once, of which some may fail while the others count."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came in place of an answer.

    Attributes:
        code: Kafka's name of the error, or the client's, which begins with an underscore.
    """

    code: str


def answer_or_refusal(future: Future[Any]) -> Any | Refusal:
    """The future's result, or the code it failed with."""
    failure = future.exception()
    if failure is None:
        return future.result()
    if isinstance(failure, KafkaException):
        return Refusal(failure.args[0].name())
    raise failure
