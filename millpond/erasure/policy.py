"""Policies: where the identifiers of each topic live, and what is done with a record that holds one.

A policy is stored once under the hash of its content and never changes. Nothing here has seen an identifier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from millpond.archive.keys import Layout
from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.storage.contract import AlreadyThere, NoSuchObject, ObjectStore, read

STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

SubjectType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}\z")]
"""The name of a kind of identifier, such as `customer_id`."""

_NAME = r'[^.\\"/\x00-\x1f]+'
JsonPath = Annotated[str, StringConstraints(pattern=rf"^{_NAME}(\.{_NAME})*\z", max_length=256)]
"""Field names from the document's root with dots between them; an array on the way stands for each of its elements. A
name that holds a dot cannot be reached; names with characters that JSON escapes are refused."""


class Place(BaseModel):
    """Where identifiers of one type live in the records of a topic.

    Attributes:
        at: The part of the record.
        format: `utf8`, the whole key as text, or `json`, the field at `path` of a JSON document.
        required: Whether a record that lacks the place counts as undecodable.
    """

    model_config = STRICT

    type: SubjectType
    at: Literal["key", "value"]
    format: Literal["utf8", "json"]
    path: JsonPath | None = None
    required: bool = True

    @model_validator(mode="after")
    def _must_be_readable(self) -> Place:
        if self.format == "utf8" and self.at != "key":
            raise PydanticCustomError("utf8_only_for_key", "a value is searched as JSON")
        if (self.path is None) != (self.format == "utf8"):
            raise PydanticCustomError("path_only_for_json", "JSON needs a path, UTF-8 has none")
        return self


class SearchedTopic(BaseModel):
    """A topic whose records are searched at these places; a record that matches at any of them is dropped."""

    model_config = STRICT

    places: Annotated[tuple[Place, ...], Field(min_length=1)]
    action: Literal["drop"]

    def places_of(self, types: Collection[str]) -> tuple[Place, ...]:
        """The places that may hold identifiers of these types, in the policy's order."""
        return tuple(place for place in self.places if place.type in types)


class ExemptTopic(BaseModel):
    """A topic that holds nothing of persons, and why."""

    model_config = STRICT

    none: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


TopicPolicy: TypeAlias = SearchedTopic | ExemptTopic


class Policy(BaseModel):
    """The classification of topics by their names."""

    model_config = STRICT

    topics: dict[str, TopicPolicy]

    def searched(self, topic: str) -> SearchedTopic | None:
        """How a topic is searched; None where it is exempt or not classified."""
        found = self.topics.get(topic)
        return found if isinstance(found, SearchedTopic) else None

    def content(self) -> bytes:
        """The canonical JSON: sorted names, no spaces, defaults written out, ASCII."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content()).hexdigest()


def policy_key(layout: Layout, sha256: str) -> str:
    return layout.under("erasures", "policies", f"{sha256}.json")


def store_policy(store: ObjectStore, layout: Layout, policy: Policy) -> str:
    """Writes the policy where it is not yet, and returns its hash."""
    with suppress(AlreadyThere):  # under the hash of its content there is nothing else; load_policy checks it
        store.put_if_absent(policy_key(layout, policy.sha256), policy.content())
    return policy.sha256


def load_policy(store: ObjectStore, layout: Layout, sha256: str) -> Policy:
    """The policy of that hash.

    Raises:
        DamagedArchive: It is not there, or what is there has another hash.
        WrongUsage: A newer version wrote it.
    """
    key = policy_key(layout, sha256)
    try:
        content = read(store, key)
    except NoSuchObject as error:
        raise DamagedArchive(
            f"the policy {key} is missing", hint="an older version of it may still be there"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedArchive(
            f"the policy {key} is not the one it was", hint="an older version of it may still be there"
        )
    try:
        return Policy.model_validate_json(content)
    except ValidationError:
        raise WrongUsage(f"this version does not understand the policy {key}", hint="upgrade Millpond") from None


def refuse_what_would_not_erase(
    policy: Policy, topics: Iterable[str], types: Collection[str], compacted: set[str]
) -> None:
    """Checks a request's types against the policy of the topics that it may touch.

    Args:
        compacted: Topics archived with cleanup.policy=compact. Dropping a record for its value there would make an
            older value of the same key the current one.

    Raises:
        WrongUsage: No topic has a place for one of the types, so that a receipt would claim a search that never was.
        RefusedForSafety: A place in a compacted topic's value.
    """
    searched = {topic: found.places_of(types) for topic in topics if (found := policy.searched(topic))}
    for missing in set(types) - {place.type for places in searched.values() for place in places}:
        raise WrongUsage(f"no topic in the request's scope has a place of type {missing}", hint="add one to the policy")
    for topic in sorted(compacted & searched.keys()):
        if any(place.at == "value" for place in searched[topic]):
            raise RefusedForSafety(
                f"cannot drop records of the compacted topic {topic} by their value: an older value of the key would "
                "become current",
                hint="match the topic by key",
            )
