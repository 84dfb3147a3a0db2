"""Which sources of paths erasure policies name: those stored in the archive, looked for again and again, and others
that the operator gives before the first request for erasure stores one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from millpond.archive.keys import Layout
from millpond.backup.path_sources import Source, is_json
from millpond.clock import now_ms
from millpond.erasure.buckets import overlaps
from millpond.erasure.policy import Place, Policy, load_policy, policy_key
from millpond.erasure.request import parse_policy
from millpond.erasure.secret import ErasureSecret
from millpond.errors import WrongUsage
from millpond.storage.contract import ObjectInfo, ObjectStore

REFRESH_MS = 60_000


@dataclass(frozen=True, slots=True)
class Protection:
    """How a source is kept out of names.

    Attributes:
        exact: Whether the source is the place itself, and not something that holds it or is held by it.
        hash_key: Of the place's type, in this archive.
    """

    place: Place
    exact: bool
    key_id: str
    key_check: str
    hash_key: bytes = field(repr=False)


class PathPolicies:
    """The policies of an archive and what they say of sources. May be asked on several threads."""

    def __init__(
        self,
        store: ObjectStore,
        layout: Layout,
        archive_id: str,
        *,
        secret: ErasureSecret | None = None,
        given: Iterable[Policy] = (),
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._store, self._layout, self._archive_id, self._secret = store, layout, archive_id, secret
        self._given, self._clock_ms = tuple(given), clock_ms
        self._stored: dict[str, Policy] = {}
        self._looked_at: int | None = None

    def refuse_without_secret(self, sources: Iterable[Source]) -> None:
        """`WrongUsage` where a policy names a source for any topic and there is no secret to hash it with."""
        self._refresh()
        listed = list(sources)
        for topic in {topic for policy in self._policies() for topic in policy.topics}:
            for source in listed:
                self.protection(topic, source)

    def protection(self, topic: str, source: Source) -> Protection | None:
        """How this source is protected in the topic; None where no policy names it.

        Raises:
            WrongUsage: It has to be, and there is no secret.
        """
        self._refresh()
        named = [place for place in self._places(topic) if overlaps(source.text, place)]
        if not named:
            return None
        place = min(named, key=lambda place: (not _is(source, place), place.model_dump_json()))
        secret = self._secret
        if secret is None:
            raise WrongUsage(
                f"cannot partition {topic} by {source.text}: an erasure policy says that it identifies persons",
                hint="give --erasure-secret, so that a keyed hash stands in the names of objects",
            )
        return Protection(
            place,
            _is(source, place),
            secret.newest,
            secret.check(secret.newest, self._archive_id),
            secret.derived(secret.newest, self._archive_id, place.type),
        )

    def _places(self, topic: str) -> list[Place]:
        found = (policy.searched(topic) for policy in self._policies())
        return [place for searched in found if searched for place in searched.places]

    def _policies(self) -> list[Policy]:
        return [*self._given, *list(self._stored.values())]

    def _refresh(self) -> None:
        now = self._clock_ms()
        if self._looked_at is not None and now - self._looked_at < REFRESH_MS:
            return
        folder = policy_key(self._layout, "").removesuffix(".json")
        for info in self._store.list(folder):
            sha256 = info.key.removeprefix(folder).removesuffix(".json") if isinstance(info, ObjectInfo) else ""
            if sha256 and sha256 not in self._stored:
                self._stored[sha256] = load_policy(self._store, self._layout, sha256)
        self._looked_at = now


def load_policy_file(told: Path | str) -> Policy:
    """A policy from a file, or the JSON object itself; `WrongUsage` says which field is wrong."""
    try:
        return parse_policy(told.encode() if is_json(told) else Path(told).read_bytes())
    except OSError as error:
        raise WrongUsage(f"cannot read the policy {told}: {error.strerror}", hint="check --erasure-policy") from error


def _is(source: Source, place: Place) -> bool:
    """Whether the source is the place, in a form that redactions read."""
    if source.at != place.at:
        return False
    return source.path == (place.path if place.format == "json" else "") and place.format in ("utf8", "json")
