"""Listings of object versions, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from millpond.storage.contract import ObjectStore, ObjectVersion


def versions_by_key(store: ObjectStore, prefix: str) -> Iterator[tuple[str, list[ObjectVersion]]]:
    """Every key below the prefix that has a version or a delete marker, with all of them, newest first."""
    for key, versions in groupby(store.list_versions(prefix), key=lambda version: version.info.key):
        yield key, list(versions)


def versions_of(store: ObjectStore, key: str) -> list[ObjectVersion]:
    """All versions and markers of one key, newest first."""
    return next((versions for found, versions in versions_by_key(store, key) if found == key), [])


def with_content(versions: list[ObjectVersion]) -> list[ObjectVersion]:
    """Without the delete markers."""
    return [version for version in versions if not version.marker]
