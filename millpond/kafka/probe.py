"""Looks into partitions without joining a group or committing anything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from confluent_kafka import KafkaError, Message

from millpond.errors import TryAgain
from millpond.kafka.failures import consumer_of, explained
from millpond.kafka.places import Place, position
from millpond.kafka.settings import ClusterAddress

_WITHIN_S = 30.0
_POLL_S = 0.2
_POSITION_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._LOG_TRUNCATION}


class Probe:
    """A consumer for single looks. Use it in one thread, with `with`.

    Args:
        group_id: One that the user may read; nothing is joined or committed.
        committed: Records of open and aborted transactions are left out.
    """

    def __init__(self, address: ClusterAddress, group_id: str, *, committed: bool = True) -> None:
        small = {
            "fetch.max.bytes": 2 << 20,
            "max.partition.fetch.bytes": 1 << 20,
            "queued.max.messages.kbytes": 8 << 10,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
        settings = address.consumer_settings(group_id) | small
        settings.pop("group.instance.id", None)
        self._address, self._consumer = address, consumer_of(settings)

    def accepted(self, positions: Mapping[Place, tuple[int, int]]) -> dict[Place, bool]:
        """Whether the brokers' logs still hold what lies before these (offset, leader epoch).

        An explicit assignment is checked against the leader's epochs (KIP-320), unlike one inside a group. Partitions
        that do not answer are left out.
        """
        self._consumer.assign([position(place, offset, epoch=epoch) for place, (offset, epoch) in positions.items()])
        found: dict[Place, bool] = {}
        deadline = time.monotonic() + _WITHIN_S
        while len(found) < len(positions) and (message := self._next(deadline)) is not None:
            place, error = _place(message), message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                found[place] = True
            elif error.code() in _POSITION_GONE:
                found[place] = False
            elif not error.retriable():
                raise explained(error, f"cannot look into {place[0]}-{place[1]}", self._address.brokers)
        self._consumer.unassign()
        return found

    def read(self, place: Place, offset: int, last: int) -> Iterator[Message]:
        """Records from `offset` to `last` (inclusive), or to where a consumer can read; in order.

        Raises:
            TryAgain: The brokers do not answer.
            MillpondError: They refuse.
        """
        self._consumer.assign([position(place, offset)])
        deadline = time.monotonic() + _WITHIN_S
        while True:
            if (message := self._next(deadline)) is None:
                raise TryAgain(f"{place[0]}-{place[1]} gave nothing from offset {offset} within {_WITHIN_S:.0f} s")
            error = message.error()
            if error is None:
                if message.offset() > last:  # type: ignore[operator]  # records have offsets
                    break
                yield message
                deadline = time.monotonic() + _WITHIN_S
            elif error.code() == KafkaError._PARTITION_EOF or error.code() in _POSITION_GONE:
                break
            elif not error.retriable():
                raise explained(error, f"cannot read {place[0]}-{place[1]}", self._address.brokers)
        self._consumer.unassign()

    def _next(self, deadline: float) -> Message | None:
        while time.monotonic() < deadline:
            message = self._consumer.poll(_POLL_S)
            if message is not None and (message.error() is None or message.topic() is not None):
                return message
        return None

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()


def _place(message: Message) -> Place:
    number = message.partition()
    return message.topic() or "", -1 if number is None else number
