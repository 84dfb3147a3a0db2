"""Reads one record of each topic, as the backup would, without joining a group or committing anything."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Message

from millpond.findings import Finding, failed, named, passed, warned
from millpond.kafka.places import Place, position
from millpond.kafka.settings import ClusterAddress

_WITHIN_S = 20.0
_POLL_S = 0.2


def reading(address: ClusterAddress, group_id: str, places: Mapping[Place, int]) -> Finding:
    """Args: places: Offsets to read at, of partitions that have a record there."""
    if not places:
        return passed("reading", "no topic holds a record yet")
    refused, silent = _read(address, group_id, places)
    if refused:
        return failed("reading", f"cannot read {named(sorted(refused))}", "grant the user Read on these topics")
    if silent:
        names = sorted(f"{topic}-{number}" for topic, number in silent)
        return warned(
            "reading",
            f"no record came within {_WITHIN_S:.0f} s from {named(names)}",
            "check that all brokers can be reached from here, not only those named in --brokers",
        )
    return passed("reading", f"a record of each of {len(places)} topics with records was read")


def _read(address: ClusterAddress, group_id: str, places: Mapping[Place, int]) -> tuple[list[str], set[Place]]:
    """What was refused, with the broker's reason, and which partitions said nothing."""
    consumer = Consumer(_settings(address, group_id))
    refused: list[str] = []
    waiting = set(places)
    try:
        consumer.assign([position(place, offset) for place, offset in places.items()])
        deadline = time.monotonic() + _WITHIN_S
        while waiting and time.monotonic() < deadline:
            message = consumer.poll(_POLL_S)
            place = _place(message)
            error = message.error() if message else None
            if place not in waiting or (error is not None and error.retriable()):
                continue
            waiting.discard(place)
            consumer.pause([position(place, 0)])
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                refused.append(f"{place[0]}-{place[1]} ({error.name()})")
    finally:
        consumer.close()
    return refused, waiting


def _place(message: Message | None) -> Place:
    topic, number = (message.topic(), message.partition()) if message else (None, None)
    return topic or "", -1 if number is None else number


def _settings(address: ClusterAddress, group_id: str) -> dict[str, object]:
    small = {"fetch.max.bytes": 4 << 20, "max.partition.fetch.bytes": 1 << 20, "queued.max.messages.kbytes": 8 << 10}
    settings = address.consumer_settings(group_id) | small | {"allow.auto.create.topics": False}
    settings.pop("group.instance.id", None)
    return settings
