"""A batch as the client gives it, cut into runs of one partition. A hot path: most batches hold no events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from confluent_kafka import Message

from millpond.kafka.places import Place


def by_partition(messages: Sequence[Message]) -> Iterator[tuple[Place, list[Message]]]:
    """Neighbouring records of one partition together; what is no record stands alone."""
    for _, neighbours in groupby(messages, key=Message.partition):  # what can be asked without a Python function is
        run = list(neighbours)
        if any(map(Message.error, run)) or len(set(map(Message.topic, run))) > 1:
            yield from _told_apart(run)
        else:
            yield _place(run[0]), run


def _told_apart(messages: Sequence[Message]) -> Iterator[tuple[Place, list[Message]]]:
    for is_event, batch in groupby(messages, key=_is_event):
        if is_event:
            yield from ((_place(message), [message]) for message in batch)
        else:
            yield from ((place, list(run)) for place, run in groupby(batch, key=_place))


def _is_event(message: Message) -> bool:
    return message.error() is not None


def _place(message: Message) -> Place:
    topic, number = message.topic(), message.partition()
    return topic or "", -1 if number is None else number
