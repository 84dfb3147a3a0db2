"""New connections are made beside the consumer's thread, which goes on with the old ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from millpond.archive.identity import open_or_create
from millpond.backup import run
from millpond.backup.options import BackupOptions
from millpond.kafka.admin import Cluster
from millpond.kafka.selection import Selection
from millpond.kafka.settings import ClusterAddress
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT


@dataclass
class Refused:
    """As far as is asked of a member of the group whose broker has become unfriendly."""

    refused: bool = True


@dataclass
class Consumer:
    member: Refused = field(default_factory=Refused)


@pytest.fixture
def silent_broker() -> Iterator[str]:
    """Takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_brokers_that_do_not_answer_to_new_connections_hold_nothing_up(
    silent_broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_REFUSED_PATIENCE_S", 0.0)
    store = MemoryStore()
    identity = open_or_create(store, LAYOUT, cluster_id="cluster-a", now_ms=0)
    connected = run._Connected(Cluster(ClusterAddress(silent_broker)), {})
    options = BackupOptions(Selection.of(["orders"]), tmp_path, snapshot_every_s=0)
    session = run._Session(store, LAYOUT, connected, identity, options, run.Watchers(), 30.0)
    consumer: Any = Consumer()
    began = time.monotonic()
    for _ in range(3):
        assert session._renewed(consumer, time.monotonic()) is None
    assert session._renewal.open, "it is being asked"
    assert time.monotonic() - began < 1
