"""Which of the offsets that are asked for no window holds, and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from millpond.archive.catalog import PartitionListing
from millpond.archive.coverage import Span, holes, live_gaps, union
from millpond.archive.documents import Json
from millpond.restore.planning.choice import within

UNEXPLAINED = "unexplained"


def left_out(listing: PartitionListing, scope: Sequence[Span]) -> dict[str, int]:
    """How many of the asked offsets hold no window, by the reason that markers give; one with several counts for each.

    Args:
        scope: Asked offsets, in order. Those behind the end of what is archived do not count.
    """
    covered = listing.covered()
    if not covered or (not listing.gaps and len(covered) == 1 and covered[0].first == 0):
        return {}
    end = covered[-1].last
    unasked = holes(within(Span(0, end), scope), start=0, end=end)
    found = {UNEXPLAINED: _size(holes(union([*unasked, *covered]), start=0, end=end))}
    windows = [live.span for live in listing.live()]
    dead = holes(union(live_gaps((window.name for window in listing.windows), listing.gaps)), start=0, end=end)
    for reason, spans in _by_reason(listing).items():
        silent = holes(union(spans), start=0, end=end)
        found[reason] = _size(holes(union([*unasked, *windows, *dead, *silent]), start=0, end=end))
    return {reason: offsets for reason, offsets in found.items() if offsets}


def summed(found: Iterable[dict[str, int]]) -> Json:
    """By reason, of several partitions."""
    total: Counter[str] = Counter()
    for one in found:
        total.update(one)
    return dict(sorted(total.items()))


def _by_reason(listing: PartitionListing) -> dict[str, list[Span]]:
    reasons: dict[str, list[Span]] = defaultdict(list)
    for gap in listing.gaps:
        reasons[gap.reason.value].append(Span(gap.first, gap.last))
    return reasons


def _size(spans: Iterable[Span]) -> int:
    return sum(span.size for span in spans)
