"""What objects say of themselves, asked side by side: a HEAD takes tens of milliseconds and there are many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from millpond.archive.catalog import PartitionListing
from millpond.archive.facts import WindowFacts, has_redactions
from millpond.errors import DamagedArchive
from millpond.storage.contract import ObjectStore
from millpond.verify.partition_coverage import Counts, is_exact

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Said:
    """An object's own facts.

    Attributes:
        facts: None where the object is gone or its metadata do not say what a window's must.
        redactions: How many sweeps have rewritten it.
        last_sweep: The newest of them, "" where there is none.
    """

    facts: WindowFacts | None
    redactions: int = 0
    last_sweep: str = ""


class Heads:
    """Asks a store for the metadata of many objects, `_AT_ONCE` at a time. Use it with `with`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._pool = store, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="heads")

    def of(self, keys: Iterable[str]) -> Iterator[Said]:
        """What each key's object says, in the order of the keys."""
        return self._pool.map(self._ask, keys)

    def counts(self, listing: PartitionListing) -> Counts:
        """The records of a partition."""
        live = listing.live()
        said = list(self.of(one.window.info.key for one in live))
        known = [one.facts for one in said if one.facts is not None]
        whole = all(one.span.last == one.window.name.last for one in live)
        return Counts(
            records=sum(facts.count for facts in known),
            exact=whole and is_exact(one.span for one in live),
            redacted_objects=sum(one.redactions > 0 for one in said),
            unknown_objects=len(said) - len(known),
        )

    def _ask(self, key: str) -> Said:
        info = self._store.head(key)
        return said_by(info.metadata) if info else Said(None)

    def __enter__(self) -> Heads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


def said_by(metadata: Mapping[str, str]) -> Said:
    """The facts in object metadata. Malformed ones are none: `verify` is what names damage."""
    sweeps = metadata.get("millpond-redactions", "")
    redactions = int(sweeps) if has_redactions(metadata) and sweeps.isdecimal() else 0
    try:
        facts = WindowFacts.from_object_metadata(metadata)
    except DamagedArchive:
        return Said(None, redactions)
    return Said(facts, redactions, metadata.get("millpond-last-sweep", ""))
