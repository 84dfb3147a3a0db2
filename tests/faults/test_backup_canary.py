"""A backup that is partitioned by a field of the records never tells that field's values, whatever fails."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from local.aws import LocalAws
from local.kafka import KafkaCluster
from local.processes import free_ports, wait_until
from tests import oracle
from tests.faults.backup_process import Rig
from tests.faults.s3_proxy import Call, Fault, FaultyS3

Name = Callable[[str], str]


@pytest.fixture
def rig(aws: LocalAws, s3: Any, bucket: str, kafka: KafkaCluster, unique_name: Name, tmp_path: Path) -> Rig:
    return Rig(aws, s3, bucket, kafka.bootstrap(), unique_name("t"), tmp_path)


def page(port: int, name: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/__/{name}", timeout=20) as answer:
        text: str = answer.read().decode()
        return text


@pytest.mark.parametrize("form", ["text", "json"])
def test_values_in_the_names_of_parts_stay_out_of_logs_health_and_metrics(rig: Rig, form: str) -> None:
    oracle.make_topic(rig.bootstrap, rig.topic)
    producer = Producer({"bootstrap.servers": rig.bootstrap})
    for number in range(20):
        key = json.dumps({"customer": f"canary-{number % 3}@example.com"})
        producer.produce(rig.topic, b"v", key.encode(), partition=0)
    assert producer.flush(30) == 0
    refuses = threading.Event()
    refuses.set()

    def rule(call: Call) -> Fault | None:
        part = call.method == "PUT" and "/parts/" in call.path
        return Fault(status=403, code="AccessDenied") if part and refuses.is_set() else None

    with FaultyS3(rig.aws.url, rule) as proxy:
        process, (port,) = rig.process(endpoint=proxy.url), free_ports(1)
        child = process.start(
            MILLPOND_METRICS_PORT=str(port),
            MILLPOND_PARTITION_BY="key.customer",
            MILLPOND_LOG_LEVEL="DEBUG",
            MILLPOND_LOG_FORMAT=form,
        )
        process.wait_said("will try to store", 2)
        pages = page(port, "health") + page(port, "metrics")
        refuses.clear()
        wait_until(lambda: any("/parts/" in key for key in rig.backup.keys("topics/")), "parts are stored")
        process.wait_said("stored ")
        pages += page(port, "health") + page(port, "metrics")
        assert child.stop() == 0, process.said()
    assert any("canary" in key for key in rig.backup.keys("topics/")), "the names do hold the values"
    assert "cannot put" in process.said()
    assert "canary" not in process.said() + pages
