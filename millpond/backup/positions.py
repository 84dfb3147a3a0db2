"""Where each partition goes on: from the listing, never from a commit alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from millpond.archive.catalog import PartitionListing, list_incarnations, read_partition
from millpond.archive.events import write_event
from millpond.archive.gaps import Gap, write_gap
from millpond.archive.keys import Incarnation, Layout, PartitionId
from millpond.archive.names import GapName, GapReason
from millpond.kafka.admin import Cluster
from millpond.kafka.places import Place
from millpond.storage.contract import ObjectStore

_LISTINGS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition's backup goes on.

    Attributes:
        position: The first offset to read.
        epoch: Leader epoch of the newest live window before it, -1 if unknown.
        log_end: Where the partition ended when this was found; below the position after a truncation.
    """

    partition: PartitionId
    position: int
    epoch: int
    log_end: int


def find_starts(
    store: ObjectStore,
    layout: Layout,
    cluster: Cluster,
    places: Iterable[Place],
    now_ms: int,
    archived_before: Callable[[PartitionId], int] = lambda _: 0,
) -> list[Start]:
    """The start of each place that exists. Writes gap markers and events that the way there asks for.

    Args:
        archived_before: The offset up to which the archive once had a partition, asked of the group before this call.
    """
    wanted = list(places)
    topics = cluster.describe({topic for topic, _ in wanted})
    # A topic that was made again may have fewer partitions than the group still hands out.
    found = [place for place in wanted if place[0] in topics and place[1] < topics[place[0]].partitions]
    partitions = [PartitionId(Incarnation(topic, topics[topic].topic_id), number) for topic, number in found]
    log_starts = cluster.log_starts(found)
    for incarnation in sorted({partition.incarnation for partition in partitions}):
        note_recreation(store, layout, incarnation, now_ms)
    with ThreadPoolExecutor(_LISTINGS_AT_ONCE, thread_name_prefix="listing") as pool:
        listings = list(pool.map(lambda partition: read_partition(store, layout, partition), partitions))
    # Asked last: another worker may have stored, before it was listed, what was written after an earlier question.
    log_ends = cluster.ends(found)
    return [
        start_of(
            store,
            layout,
            listing,
            log_start=log_starts[place],
            log_end=log_ends[place],
            now_ms=now_ms,
            archived_before=archived_before(listing.partition),
        )
        for place, listing in zip(found, listings, strict=True)
    ]


def start_of(
    store: ObjectStore,
    layout: Layout,
    listing: PartitionListing,
    *,
    log_start: int,
    log_end: int,
    now_ms: int,
    archived_before: int = 0,
) -> Start:
    """Where this partition goes on; what Kafka removed before it was read becomes a gap first.

    Only offsets behind all that the archive holds, and once held by the group's commit, were never read. Others were
    archived once and have been deleted from the store: they must stay a visible hole, not be explained by retention.
    """
    end = max([archived_before, *(span.last + 1 for span in listing.covered())])
    if end < log_start:
        name = GapName(end, log_start - 1, GapReason.RETENTION)
        write_gap(store, layout, Gap(listing.partition, name, now_ms, {"log_start": log_start}))
    position = listing.position(log_start=log_start)
    before = [(live.span.last, live.window.name.epoch) for live in listing.live() if live.span.last < position]
    _, epoch = max(before, default=(-1, -1))
    return Start(listing.partition, position, epoch, log_end)


def note_recreation(store: ObjectStore, layout: Layout, incarnation: Incarnation, now_ms: int) -> None:
    """An event, once, for an incarnation that follows others and has no folder yet."""
    known = list_incarnations(store, layout, incarnation.topic)
    if known and incarnation not in known:
        earlier = sorted(other.topic_id for other in known)
        write_event(store, layout, incarnation, "recreated", now_ms, {"earlier": earlier})
