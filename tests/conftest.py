"""What all tests may ask for. Everything is lazy: a test that asks for no cluster and no AWS starts none."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

_numbers = itertools.count(1)


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make names that no other test of this run uses: `unique_name("orders")`. Good for topics, groups and buckets."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:24].strip("-")
    return lambda base="name": f"{base}-{test}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One plain node for all tests of the run: make your own topics, change no broker settings, do not stop it."""
    from local.kafka import KafkaCluster
    from local.prepare import prepare_kafka

    prepare_kafka()
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture
def kafka_factory() -> Iterator[Callable[..., KafkaCluster]]:
    """Start clusters of your own, to kill and to misconfigure: `kafka_factory(tls=True)`. They end with the test."""
    from local.kafka import KafkaCluster
    from local.prepare import prepare_kafka

    prepare_kafka()
    with ExitStack() as clusters:
        yield lambda *arguments, **more: clusters.enter_context(KafkaCluster(*arguments, **more))


@pytest.fixture
def kafka3(kafka_factory: Callable[..., KafkaCluster]) -> KafkaCluster:
    """Three nodes for one test alone, so that it may kill them."""
    return kafka_factory(3)


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    """One local AWS for all tests of the run: make your own buckets, queues and stacks."""
    from local.aws import LocalAws

    with LocalAws() as cloud:
        yield cloud


@pytest.fixture(scope="session")
def s3(aws: LocalAws) -> Any:
    """A boto3 S3 client of the local AWS."""
    return aws.client("s3")


@pytest.fixture
def bucket(s3: Any, unique_name: Callable[[str], str]) -> str:
    """The name of a new versioned bucket."""
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name
