"""Snapshots of consumer groups and of the cluster on a schedule: one small object each, beside the records."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from functions.entry import started
from millpond.clock import now_ms
from millpond.cluster import run as of_cluster
from millpond.groups import run as of_groups
from millpond.settings.cluster import SnapshotSettings


class Event(BaseModel):
    """Which snapshots; both, where a schedule says nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    take: tuple[Literal["groups", "cluster"], ...] = ("groups", "cluster")


@started(Event)
def handler(event: Event) -> dict[str, object]:
    settings = SnapshotSettings.from_environment()
    store, layout = settings.open_archive()
    cluster = settings.cluster()
    taken: dict[str, object] = {}
    if "groups" in event.take:
        include, exclude = settings.include, settings.exclude
        kept = of_groups.snapshot_groups(store, layout, cluster, include=include, exclude=exclude, now_ms=now_ms)
        taken["groups"] = of_groups.counts_of(kept)
    if "cluster" in event.take:
        selection = settings.selection()
        whole = of_cluster.snapshot_cluster(store, layout, cluster, selection=selection, now_ms=now_ms)
        taken["cluster"] = of_cluster.counts_of(whole)
    return taken
