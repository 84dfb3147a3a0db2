"""The broker and the S3 that everything runs against, and the topics and buckets in them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.prepare import prepare_kafka
from tests.bench.datasets import PARTITIONS

# Without the first, retention would delete the records, whose timestamps are old, while they are being measured.
_BROKER = {"log.retention.ms": -1, "log.segment.delete.delay.ms": 1000}


@dataclass(slots=True)
class Stage:
    """Where the bench plays."""

    bootstrap: str
    env: Mapping[str, str]
    s3: Any
    _admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def make_topic(self, name: str) -> None:
        self._admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)

    def delete_topic(self, name: str) -> None:
        self._admin.delete_topics([name])[name].result(30)
        time.sleep(0.2)

    def make_bucket(self, name: str) -> None:
        self.s3.create_bucket(Bucket=name)

    def stored_bytes(self, bucket: str, prefix: str) -> int:
        """Of the data files below a prefix."""
        return sum(size for key, size in self._objects(bucket, prefix) if key.endswith(".avro"))

    def empty(self, bucket: str) -> None:
        for key, _ in list(self._objects(bucket, "")):
            self.s3.delete_object(Bucket=bucket, Key=key)

    def _objects(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from ((item["Key"], item["Size"]) for item in page.get("Contents", ()))


@contextmanager
def stage() -> Iterator[Stage]:
    """A broker of one node with 1 GiB of heap, and a local AWS."""
    prepare_kafka()
    with KafkaCluster(heap="1g", config=_BROKER) as kafka, LocalAws() as aws:
        yield Stage(kafka.bootstrap(), aws.env(), aws.client("s3"))
