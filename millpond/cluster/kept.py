"""Snapshots of a cluster read back from the archive, as they were at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from millpond.archive.documents import Json, parse_object
from millpond.archive.history import newest_first
from millpond.archive.keys import Layout
from millpond.cluster.snapshot import TopicSnapshot, topic_of
from millpond.cluster.whole import Missing, WholeSnapshot
from millpond.errors import DamagedArchive, WrongUsage
from millpond.kafka.acls import Acl
from millpond.kafka.metadata import NO_AUTHORIZER
from millpond.storage.contract import ObjectStore, read

_LOG = logging.getLogger(__name__)
_LOOKED_AT = 200
"""Snapshots that are read for access control before it counts as never kept."""


@dataclass(frozen=True, slots=True)
class Found:
    """A snapshot of the archive.

    Attributes:
        acls_key: Where its access control was read: the snapshot's own key, that of an older one where it has none,
            or "" where none has.
    """

    key: str
    snapshot: WholeSnapshot
    acls_key: str


def snapshots(store: ObjectStore, layout: Layout, *, until_ms: int | None = None) -> Iterator[tuple[int, str, Json]]:
    """Time, key and content, newest first; those that cannot be read are passed over, loudly."""
    limits = {} if until_ms is None else {"until_ms": until_ms}
    for at, info in newest_first(store, layout.under("cluster/"), "json", **limits):
        try:
            yield at, info.key, parse_object(read(store, info.key), info.key)
        except DamagedArchive as error:
            _LOG.warning("passed over: %s", error.args[0])


def whole_snapshots(
    store: ObjectStore, layout: Layout, *, until_ms: int | None = None
) -> Iterator[tuple[int, str, Json]]:
    """Those that speak of more than topics."""
    return (found for found in snapshots(store, layout, until_ms=until_ms) if "brokers" in found[2])


def find_whole(store: ObjectStore, layout: Layout, *, until_ms: int | None = None) -> Found:
    """`newest_whole`. `WrongUsage` where there is none."""
    found = newest_whole(store, layout, until_ms=until_ms)
    if found is None:
        raise WrongUsage(
            "the archive holds no snapshot of the whole cluster" + ("" if until_ms is None else " of that time"),
            hint="`millpond cluster snapshot` takes one; a backup takes them by itself",
        )
    return found


def newest_whole(store: ObjectStore, layout: Layout, *, until_ms: int | None = None) -> Found | None:
    """The newest whole snapshot, none after `until_ms`, with the access control of the newest that has it."""
    found: Found | None = None
    for key, snapshot in islice(_parsed(store, layout, until_ms), _LOOKED_AT):
        if found is None:
            found = Found(key, snapshot, "")
        if knows_acls(snapshot):
            return replace(found, snapshot=_with_acls(found.snapshot, snapshot), acls_key=key)
    return found


def knows_acls(snapshot: WholeSnapshot) -> bool:
    """Whether it has them, or says that brokers check no rights."""
    return snapshot.acls is not None or Missing("acls", NO_AUTHORIZER) in snapshot.failed


def _with_acls(snapshot: WholeSnapshot, older: WholeSnapshot) -> WholeSnapshot:
    others = [missing for missing in snapshot.failed if missing.part != "acls"]
    same = [missing for missing in older.failed if missing.part == "acls"]
    return replace(snapshot, acls=older.acls, failed=(*others, *same))


def _parsed(store: ObjectStore, layout: Layout, until_ms: int | None) -> Iterator[tuple[str, WholeSnapshot]]:
    for _, key, document in whole_snapshots(store, layout, until_ms=until_ms):
        try:
            yield key, whole_of(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            _LOG.warning("the cluster snapshot %s cannot be read and is passed over", key)


def whole_of(document: Json) -> WholeSnapshot:
    """The snapshot in its document; one of the usual errors of Python for what is none."""
    topics, acls, users = document["topics"], document.get("acls"), document.get("scram_users")
    return WholeSnapshot(
        int(document["at"]),
        document["cluster_id"],
        tuple(map(_topic, topics)),
        tuple(_broker(broker) for broker in document["brokers"]),
        _settings(document.get("broker_defaults")),
        tuple(document.get("inter_broker_protocol_versions", ())),
        None if acls is None else tuple(Acl.of(acl).document() for acl in acls),
        None if users is None else tuple(users),
        tuple(Missing(one["part"], one["code"], one.get("name", "")) for one in document.get("failed", ())),
    )


def _topic(document: Json) -> TopicSnapshot:
    config = {name: str(content) for name, content in document["config"].items()}
    numbers = {name: int(document[name]) for name in ("partitions", "replication")}
    return topic_of(document | numbers | {"config": config})


def _broker(document: Json) -> Json:
    settings: Json = {name: _settings(document[name]) for name in ("dynamic", "static") if name in document}
    return {"id": int(document["id"]), "rack": document.get("rack"), **settings}


def _settings(found: Any) -> dict[str, str | None] | None:
    return None if found is None else dict(found)
