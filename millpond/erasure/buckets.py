"""Path parts that hold the bucket of a keyed hash where an identifier would stand.

A bucket tells a redaction which objects cannot hold a subject. It says so only where the records' identifiers were
found by the very place that the policy names: then each record of the object has exactly one identifier there, and its
hash falls into this bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from millpond.archive.documents import Json
from millpond.erasure.places import Outcome, reader_of
from millpond.erasure.policy import Place

BUCKETS = 256
NONE, UNREADABLE, SEVERAL = "__none", "__unreadable", "__several"
_PREFIX = "bucket-"


def bucket_of(keyed_hash: str, buckets: int) -> int:
    """The bucket of an identifier's keyed hash (hex)."""
    return int(keyed_hash[:16], 16) % buckets


def bucket_text(bucket: int) -> str:
    return f"{_PREFIX}{bucket:02x}"


class IdentifierReader:
    """What stands at a place of a policy, found as the redaction finds it."""

    def __init__(self, place: Place) -> None:
        self._found: set[bytes] = set()
        self._read = reader_of(place, self._collect)

    def read(self, content: bytes | None) -> bytes | str:
        """The only identifier there, or the text that says why there is none or more than one."""
        self._found.clear()
        outcome = self._read(content)
        if outcome is Outcome.ABSENT:
            return SEVERAL if self._found else NONE
        if outcome is not Outcome.NO_MATCH:
            return UNREADABLE
        return next(iter(self._found)) if len(self._found) == 1 else SEVERAL

    def _collect(self, identifier: bytes) -> bool:
        self._found.add(identifier)
        return False


@dataclass(frozen=True, slots=True)
class Bucketed:
    """How one `name=value` part of a window's paths was made: stated in the `.parts` object, used by redactions.

    Attributes:
        at: Which part of the path, from 0.
        place: The place whose identifiers are in these buckets.
    """

    at: int
    place: Place
    buckets: int
    key_id: str
    key_check: str

    def excludes(self, path: str, hashes: Collection[str]) -> bool:
        """Whether no record under this path has an identifier with one of these keyed hashes at the place."""
        parts = path.split("/")
        value = parts[self.at].partition("=")[2] if self.at < len(parts) else ""
        if value not in {bucket_text(bucket) for bucket in range(self.buckets)}:
            return False  # none, several, unreadable, or shortened: anything may be in there
        return value not in {bucket_text(bucket_of(found, self.buckets)) for found in hashes}


def declared(place: Place, *, buckets: int, key_id: str, key_check: str) -> Json:
    """What a `.parts` object says of a path part that is a bucket of this place."""
    return {
        "place": place.model_dump(mode="json", exclude={"required"}),
        "buckets": buckets,
        "key_id": key_id,
        "key_check": key_check,
    }


def bucketed(partition_by: Sequence[Json]) -> list[Bucketed]:
    """The buckets that a `.parts` object declares. What this version does not understand is left out."""
    found = [_bucketed(at, entry.get("bucket")) for at, entry in enumerate(partition_by)]
    return [entry for entry in found if entry is not None]


def _bucketed(at: int, entry: Any) -> Bucketed | None:
    kinds = {"place": dict, "buckets": int, "key_id": str, "key_check": str}
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), kind) for name, kind in kinds.items()):
        return None
    try:
        place = Place.model_validate(entry["place"])
    except ValidationError:
        return None
    return Bucketed(at, place, entry["buckets"], entry["key_id"], entry["key_check"])


def cannot_hold(
    path: str,
    declarations: Sequence[Bucketed],
    places: Sequence[Place],
    hashes: Mapping[tuple[str, str], Collection[str]],
) -> bool:
    """Whether no record under this path can match at any of the places.

    Args:
        hashes: Of the subjects, by key check and type; a declaration under another key tells nothing.
    """
    return bool(places) and all(
        any(
            _same(one.place, place)
            and (one.key_check, place.type) in hashes
            and one.excludes(path, hashes[one.key_check, place.type])
            for one in declarations
        )
        for place in places
    )


def _same(one: Place, other: Place) -> bool:
    """The same place with the same type; whether it must be there does not matter."""
    return one.model_dump(exclude={"required"}) == other.model_dump(exclude={"required"})


def overlaps(source: str, place: Place) -> bool:
    """Whether a source of paths, such as `key.customer_id`, may tell something of what stands at the place."""
    at, _, path = source.partition(".")
    named: str = place.at
    if at not in ("key", "value", "header") or at != named:
        return False
    ours, theirs = path.split(".") if path else [], place.path.split(".") if place.path else []
    shared = min(len(ours), len(theirs))
    return at == "header" or ours[:shared] == theirs[:shared]
