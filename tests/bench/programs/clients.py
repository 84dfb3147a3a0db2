"""Clients of the programs that stand beside Millpond. All have the same settings, so that only the work differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.config import Config
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

CONSUMER = {
    "group.id": "bench",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": 10,
    "fetch.max.bytes": 16 << 20,
    "max.partition.fetch.bytes": 8 << 20,
    "queued.max.messages.kbytes": 32 << 10,
    "fetch.wait.max.ms": 100,
}
PRODUCER = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 20,
    "batch.size": 1_000_000,
    "batch.num.messages": 100_000,
    "message.max.bytes": 8_000_000,
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 128 << 10,
    "delivery.report.only.error": True,
}
BATCH = 500


def batches(bootstrap: str, topic: str) -> Iterator[list[Message]]:
    """Every record of the topic that is there now."""
    consumer = Consumer({**CONSUMER, "bootstrap.servers": bootstrap})
    places = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 10).topics[topic].partitions]
    spans = [consumer.get_watermark_offsets(place, 10) for place in places]
    consumer.assign([TopicPartition(topic, p.partition, span[0]) for p, span in zip(places, spans, strict=True)])
    left = sum(high - low for low, high in spans)
    while left:
        messages = consumer.consume(min(BATCH, left), 1.0)  # it waits until it has as many as it was asked for
        if any(message.error() for message in messages):
            raise RuntimeError("the broker reports an error")
        left -= len(messages)
        yield messages
    consumer.close()


class Output:
    """A producer that refuses to lose anything."""

    def __init__(self, bootstrap: str, compression: str = "none") -> None:
        self._failed: list[KafkaError] = []
        settings = {**PRODUCER, "bootstrap.servers": bootstrap, "compression.type": compression}
        self._producer = Producer({**settings, "on_delivery": lambda error, _: self._failed.append(error)})
        self.poll: Callable[[float], int] = self._producer.poll
        self.produce: Callable[..., None] = self._producer.produce

    def finish(self) -> None:
        if self._producer.flush(300) or self._failed:
            raise RuntimeError(f"records were not written: {self._failed[:1]}")


def s3() -> Any:
    """The S3 of the environment."""
    return boto3.client("s3", config=Config(max_pool_connections=8))


def keys(client: Any, bucket: str, prefix: str) -> list[str]:
    """All data files below a prefix, in order."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sorted(item["Key"] for page in pages for item in page.get("Contents", ()) if item["Key"].endswith(".avro"))


def tell(**found: int) -> None:
    """The program's one line."""
    print(json.dumps(found), flush=True)
