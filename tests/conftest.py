"""What all tests may ask for. Everything is lazy: a test that asks for no cluster and no AWS starts none."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from local.aws import LocalAws
    from local.kafka import KafkaCluster

# Backups that tests start side by side must not meet at one port.
os.environ.setdefault("MILLPOND_METRICS_PORT", "0")

_LONGEST = (
    *("e2e/test_restore_execution", "faults/test_unclean_elections", "faults/test_backup_store"),
    *("integration/test_workers", "e2e/test_deployed", "faults/test_kill_backup", "integration/test_many_partitions"),
    *("faults/test_cluster_faults", "faults/test_backup_processes", "faults/test_restore_brokers"),
    *("faults/test_asking_groups", "faults/test_backup_isolation", "faults/test_topic_lives", "infra/"),
    *("integration/test_backup.py", "integration/test_restore_repartition", "integration/test_restore_worker"),
    *("integration/test_ways_in", "faults/test_kill_repartition"),
)
"""Files that take a minute or more: those that keep processors busy beside those that wait, the longest first."""

_numbers = itertools.count(1)


def pytest_configure() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so would the processes that tests send it to."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, the file that is begun last decides when all are done."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: next((places[name] for name in _LONGEST if name in item.nodeid), len(_LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """File by file, in the order of above; all of infra/ in one process, since it takes long to synthesise."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/infra" if nodeid.startswith("tests/infra/") else str(super()._split_scope(nodeid))

    return ByFile(config, log)


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make names that no other test of this run uses: `unique_name("orders")`. Good for topics, groups and buckets."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:24].strip("-")
    return lambda base="name": f"{base}-{test}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaCluster]:
    """One plain node for all tests of the run: make your own topics, change no broker settings, do not stop it."""
    from local.kafka import KafkaCluster
    from local.kafka_settings import STEADY
    from local.prepare import prepare_kafka

    prepare_kafka()
    # Odd records have timestamps of long ago, and retention would take them from under a test that runs half a minute.
    day_ms = 86_400_000
    never = {"log.initial.task.delay.ms": day_ms, "log.retention.check.interval.ms": day_ms}
    # Nor do groups of earlier tests go away meanwhile.
    never |= {"offsets.retention.check.interval.ms": day_ms}
    with KafkaCluster(config={**never, **STEADY}) as cluster:
        yield cluster.wait_for_groups()


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
