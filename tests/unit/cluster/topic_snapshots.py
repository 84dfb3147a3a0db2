"""Snapshots that speak of topics alone, as an archive may hold them."""

from __future__ import annotations

import json
from dataclasses import asdict

from millpond.archive.keys import Layout
from millpond.cluster.snapshot import TopicSnapshot
from millpond.storage.contract import ObjectStore


def write(store: ObjectStore, layout: Layout, at: int, *topics: TopicSnapshot) -> None:
    document = {"at": at, "cluster_id": "cluster", "topics": [asdict(topic) for topic in topics]}
    store.put_if_absent(layout.cluster(at), json.dumps(document).encode())
