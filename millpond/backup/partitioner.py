"""From a record to the path of the object that holds it, when windows are written as several objects.

A source that an erasure policy names would put identifiers into the names of objects, where no redaction reaches. In
its place stands a bucket of the identifier's keyed hash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.backup.path_policies import PathPolicies, Protection, load_policy_file
from millpond.backup.path_sources import Found, ReadText, Source, load_key_schema, reader_of_source
from millpond.erasure.buckets import BUCKETS, IdentifierReader, bucket_of, bucket_text, declared
from millpond.erasure.policy import Place
from millpond.erasure.request import canonical
from millpond.erasure.secret import keyed_hash, load_secret
from millpond.errors import WrongUsage
from millpond.records import Row
from millpond.storage.contract import ObjectStore

MOST_SOURCES = 4
MOST_PARTS = 1000
"""A window with more paths is written as one object: each part costs a request, and a reader keeps a block of each."""
_REMEMBERED = 1 << 12

ReadValue: TypeAlias = Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class Paths:
    """How the paths of one topic's records are made at the moment.

    Attributes:
        of: The path of a record: `name=value` parts with slashes between them.
        declared: One entry for each of these parts, for the `.parts` object.
    """

    of: Callable[[Row], str]
    declared: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Partitioner:
    """What paths are made of, for all topics.

    Attributes:
        sources: In the order of the path.
        key_schema: Parsed Avro schema of the keys; without one, fields of keys are looked for in JSON.
        policies: What erasure policies name; None where nothing is looked up, so that everything stands in clear.
        buckets: How many buckets the identifiers of one place share.
        most_parts: A window with more paths is written as one object.
    """

    sources: tuple[Source, ...]
    key_schema: Any = field(default=None, repr=False)
    policies: PathPolicies | None = None
    buckets: int = BUCKETS
    most_parts: int = MOST_PARTS

    @classmethod
    def of(cls, text: str, *, key_schema: Any = None) -> Partitioner:
        """A partitioner from `key.customer_id,timestamp.date` and the like; `WrongUsage` where it is malformed."""
        sources = tuple(Source.of(part.strip()) for part in text.split(","))
        if len(sources) > MOST_SOURCES or len(set(sources)) < len(sources):
            raise WrongUsage(
                f"cannot partition by {text!r}: a source stands there twice, or there are more than {MOST_SOURCES}",
                hint="an example: key.country,timestamp.date",
            )
        return cls(sources, key_schema)

    def protected(self, policies: PathPolicies) -> Partitioner:
        """The same, with what policies name in buckets. `WrongUsage` where that needs a secret and there is none."""
        policies.refuse_without_secret(self.sources)
        return replace(self, policies=policies)

    def paths(self, topic: str, partition: int) -> Paths:
        """For the records of one window."""
        protections = [self._protection(topic, source) for source in self.sources]
        readers = [
            self._reader(source, protection, partition)
            for source, protection in zip(self.sources, protections, strict=True)
        ]
        named = list(zip(self._names(), readers, strict=True))
        entries = zip(self.sources, self._names(), protections, strict=True)
        return Paths(
            lambda row: "/".join([f"{name}={read(row)}" for name, read in named]),
            tuple(self._declared(source, name, protection) for source, name, protection in entries),
        )

    def _protection(self, topic: str, source: Source) -> Protection | None:
        return self.policies.protection(topic, source) if self.policies and source.holds_content else None

    def _names(self) -> list[str]:
        short = Counter(source.name for source in self.sources)
        return [source.name if short[source.name] == 1 else source.text for source in self.sources]

    def _reader(self, source: Source, protection: Protection | None, partition: int) -> ReadValue:
        if source.at == "partition":
            return lambda _: str(partition)
        if protection is None:
            read = reader_of_source(source, self.key_schema)
            return lambda row: read(row).as_value()
        in_bucket = _bucket_reader(protection.hash_key, self.buckets)
        if protection.exact:
            return _identifiers(protection.place, in_bucket)
        return _texts(reader_of_source(source, self.key_schema), in_bucket)

    def _declared(self, source: Source, name: str, protection: Protection | None) -> Json:
        entry: Json = {"source": source.text, "name": name}
        if protection is None:
            return entry
        if not protection.exact:
            return entry | {"bucket": {"buckets": self.buckets}}
        keys = {"key_id": protection.key_id, "key_check": protection.key_check}
        return entry | {"bucket": declared(protection.place, buckets=self.buckets, **keys)}


def _bucket_reader(key: bytes, buckets: int) -> Callable[[bytes], str]:
    return lru_cache(_REMEMBERED)(lambda identifier: bucket_text(bucket_of(keyed_hash(key, identifier), buckets)))


def _identifiers(place: Place, in_bucket: Callable[[bytes], str]) -> ReadValue:
    """As the redaction finds them, so that a bucket can exclude a subject."""
    read, column = IdentifierReader(place).read, 2 if place.at == "key" else 3

    def value(content: bytes | None) -> str:
        found = read(content)
        return found if isinstance(found, str) else in_bucket(found)

    remembered = lru_cache(_REMEMBERED)(value) if column == 2 else value
    return lambda row: remembered(row[column])  # type: ignore[arg-type]  # key and value


def _texts(read: ReadText, in_bucket: Callable[[bytes], str]) -> ReadValue:
    def value(row: Row) -> str:
        found: Found = read(row)
        return found.lacking or in_bucket(canonical(found.text))

    return value


def partitioner_of(
    text: str,
    store: ObjectStore,
    layout: Layout,
    archive_id: str,
    *,
    key_schema: str = "",
    erasure_policy: str = "",
    erasure_secret: str = "",
) -> Partitioner:
    """The partitioner that settings ask for, with what policies name kept out of names.

    Args:
        key_schema: File with the Avro schema of keys, or the schema itself.
        erasure_policy: File with a policy to heed besides those stored in the archive, or the policy itself.
        erasure_secret: As for `load_secret`; "" where there is none.

    Raises:
        WrongUsage: A setting is malformed, a file cannot be read, or a policy names a source and there is no secret.
    """
    partitioner = Partitioner.of(text, key_schema=load_key_schema(key_schema) if key_schema else None)
    secret = load_secret(erasure_secret) if erasure_secret else None
    given = [load_policy_file(erasure_policy)] if erasure_policy else []
    return partitioner.protected(PathPolicies(store, layout, archive_id, secret=secret, given=given))
