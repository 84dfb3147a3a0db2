"""The first seconds of a cluster, while its coordinators come to be."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.kafka import KafkaCluster
from local.processes import Child

ASK = "commits = Cluster(ClusterAddress({!r})).group_commits({!r}); print(commits)"
IMPORTS = "from millpond.kafka.admin import Cluster; from millpond.kafka.settings import ClusterAddress"


@pytest.mark.parametrize("attempt", range(2))
def test_a_group_may_be_asked_for_before_it_has_a_coordinator(
    kafka_factory: Callable[..., KafkaCluster], tmp_path: Path, attempt: int
) -> None:
    """The client used to end the process with a segmentation fault."""
    cluster, log = kafka_factory(), tmp_path / "log"
    words = [
        sys.executable,
        "-c",
        f"{IMPORTS}\n" + "\n".join(ASK.format(cluster.bootstrap(), f"g{n}") for n in range(3)),
    ]
    assert Child(words, output=log).wait(60) == 0, log.read_text()
    assert log.read_text().splitlines() == ["{}"] * 3
