"""Everything that is fetched or made once per machine, each only when it is missing."""

from __future__ import annotations

from pathlib import Path

from local.cache import one_at_a_time
from local.cdk import cdk_program
from local.jars import kafka_jars
from local.java import ahead_of_time_cache
from local.kafka import KafkaCluster
from local.progress import step
from millpond.errors import MillpondError


def prepare() -> None:
    """Everything for `KafkaCluster` and `LocalAws`."""
    prepare_kafka()
    cdk_program()


def prepare_kafka() -> None:
    """The jars, and a JVM cache trained by one short life of a broker: nodes then start in less than half the time."""
    cache = ahead_of_time_cache(kafka_jars())
    if cache.exists():
        return
    with one_at_a_time("kafka-aot"):
        if not cache.exists():
            with step("preparing the JVM's ahead-of-time cache"):
                _train(cache)


def _train(cache: Path) -> None:
    partial = cache.with_suffix(".part")
    kafka = KafkaCluster(1, tls=True)
    try:
        kafka.format()
        kafka.jvm += (f"-XX:AOTCacheOutput={partial}",)
        kafka.start()
        kafka.create_user("training", "run")
        kafka.stop_node(1, timeout_s=120)  # the JVM writes the cache when it ends
    finally:
        kafka.stop(clean=False)
    if not partial.exists():
        raise MillpondError("the JVM wrote no ahead-of-time cache", hint="nodes start without it, only slower")
    partial.rename(cache)
