"""What stops a plan unless the request allows it by name: records that are, or may be, missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from millpond.archive.coverage import Span, holes
from millpond.archive.documents import Json, parse_object
from millpond.archive.keys import EventKey, Layout
from millpond.errors import DamagedArchive
from millpond.restore.planning.choice import within
from millpond.restore.planning.pieces import Finding, Piece
from millpond.restore.request import Trouble
from millpond.storage.contract import NoSuchObject, ObjectStore, read

_NAMED = 5
_TOLD: dict[Trouble, Callable[[int], str]] = {
    Trouble.UNEXPLAINED: lambda count: f"{count} ranges of offsets are missing and nothing explains them",
    Trouble.PARTS: lambda count: f"{count} windows of several objects are not whole",
    Trouble.MISSING: lambda count: f"{count} events say that objects vanished from the archive",
    Trouble.TOMBSTONES: lambda count: f"{count} events say that deletions may have been lost in a compacted topic",
    Trouble.BEHIND_CUT: lambda count: f"{count} ranges of offsets of the cut are not archived yet",
}
_TO_DO = {
    Trouble.UNEXPLAINED: "objects may have been deleted; look for older versions of them in the bucket",
    Trouble.PARTS: "a part may have been deleted; look for an older version of it in the bucket",
    Trouble.MISSING: "look for older versions of the objects in the bucket",
    Trouble.TOMBSTONES: "keys that were deleted may be there again",
    Trouble.BEHIND_CUT: "wait until the backup has come so far",
}


def refuse_troubles(found: Sequence[Finding], allowed: Iterable[Trouble]) -> list[str]:
    """What was found and is allowed, as warnings. `DamagedArchive` where something is not allowed."""
    by_kind = {kind: [finding.text for finding in found if finding.trouble is kind] for kind in Trouble}
    told = {kind: _told(kind, texts) for kind, texts in by_kind.items() if texts}
    refused = [kind for kind in told if kind not in set(allowed)]
    if refused:
        names = ", ".join(refused)
        raise DamagedArchive(
            "; and ".join(told[kind] for kind in refused),
            hint=f"{'; '.join(_TO_DO[kind] for kind in refused)}; to go on without what is missing, allow {names}",
        )
    return [f"allowed: {text}" for text in told.values()]


def _told(kind: Trouble, texts: list[str]) -> str:
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return f"{_TOLD[kind](len(texts))}: {'; '.join(texts[:_NAMED])}{more}"


def troubling_events(
    store: ObjectStore, layout: Layout, events: Iterable[EventKey], pieces: Sequence[Piece]
) -> Iterator[Finding]:
    """Events that tell of lost records in what is to be restored.

    `missing` counts as long as its offsets are not all covered again. An event that cannot be read counts.
    """
    by_number = {piece.partition.partition: piece for piece in pieces}
    for event in events:
        if event.kind not in (Trouble.MISSING, Trouble.TOMBSTONES):
            continue
        key = layout.event(event.incarnation, event.at_ms, event.kind)
        try:
            said = parse_object(read(store, key), key)
            piece = by_number.get(said["partition"])
            ranges = _ranges(event.kind, said)
        except (DamagedArchive, NoSuchObject, KeyError, TypeError, ValueError):
            yield Finding(Trouble(event.kind), f"{key}, which cannot be read")
            continue
        for span in ranges if piece is not None else ():
            assert piece is not None
            due = within(span, piece.scope)
            stands = event.kind == Trouble.TOMBSTONES or any(_lacks(piece, part) for part in due)
            if due and stands:
                yield Finding(Trouble(event.kind), f"{piece.partition} offsets {span.first} to {span.last}")


def _ranges(kind: str, said: Json) -> list[Span]:
    pairs = said["missing"] if kind == Trouble.MISSING else [[said["first"], said["last"]]]
    return [Span(int(first), int(last)) for first, last in pairs]


def _lacks(piece: Piece, span: Span) -> bool:
    return bool(holes(piece.held, start=span.first, end=span.last))
