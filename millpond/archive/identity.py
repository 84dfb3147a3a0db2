"""archive.json: which cluster an archive holds, written once."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass

from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import Layout
from millpond.archive.schema import FORMAT_VERSION, refuse_newer
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectStore, read


@dataclass(frozen=True, slots=True)
class Identity:
    """What archive.json holds.

    Attributes:
        archive_id: Random, 16 hex digits.
        cluster_id: Kafka's id of the source cluster.
        created: Epoch ms.
        continues: The archive_id of an earlier archive of the same data, or "".
    """

    format: int
    archive_id: str
    cluster_id: str
    created: int
    continues: str = ""


_TYPES = {"format": int, "archive_id": str, "cluster_id": str, "created": int, "continues": str}


def read_identity(store: ObjectStore, layout: Layout) -> Identity:
    """The archive's identity. `WrongUsage` where there is no archive or a newer format."""
    try:
        content = read(store, layout.identity)
    except NoSuchObject as error:
        raise WrongUsage(
            f"there is no archive here: {layout.identity} is missing",
            hint="check --archive; `millpond backup` makes one",
        ) from error
    document: Json = {"continues": ""} | parse_object(content, layout.identity)
    refuse_newer(document.get("format", ""), layout.identity)
    if not all(isinstance(document.get(name), kind) for name, kind in _TYPES.items()):
        raise DamagedArchive(f"{layout.identity} is not an archive's identity: a name is missing or has another type")
    return Identity(**{name: document[name] for name in _TYPES})


def open_or_create(store: ObjectStore, layout: Layout, *, cluster_id: str, now_ms: int) -> Identity:
    """The identity of the archive of this cluster, made on first use.

    Raises:
        RefusedForSafety: The archive holds another cluster.
    """
    if store.head(layout.identity) is None:
        fresh = Identity(FORMAT_VERSION, secrets.token_hex(8), cluster_id, now_ms)
        with suppress(AlreadyThere):
            store.put_if_absent(layout.identity, json.dumps(asdict(fresh), indent=1).encode())
    return identity_of(store, layout, cluster_id=cluster_id)


def identity_of(store: ObjectStore, layout: Layout, *, cluster_id: str) -> Identity:
    """The identity of the archive of this cluster, which must be there.

    Raises:
        WrongUsage: There is no archive.
        RefusedForSafety: The archive holds another cluster.
    """
    found = read_identity(store, layout)
    if found.cluster_id != cluster_id:
        raise RefusedForSafety(
            f"the archive holds cluster {found.cluster_id}, the brokers belong to {cluster_id}",
            hint="use a new prefix for this cluster; two clusters must never share an archive",
        )
    return found
