"""One snapshot with one of everything, as docs/format.md prints it."""

from __future__ import annotations

from millpond.groups.values import Failure, Group, GroupSnapshot, PartitionOffset, TopicOffsets
from tests.unit.builders import ARCHIVE_ID, TOPIC_ID

SYNC = bytes(range(16))
BILLING = Group(
    "billing",
    "classic",
    "Empty",
    "",
    0,
    (
        TopicOffsets(
            "orders",
            TOPIC_ID,
            (PartitionOffset(0, 0, -1, "", 0), PartitionOffset(3, 1006, 7, "größe", 1008, pending=True)),
        ),
        TopicOffsets("gone", "", (PartitionOffset(0, 5, -1, "", -1),)),
    ),
)
SHIPPING = Group("shipping", "share", "", "", 2, ())
SNAPSHOT = GroupSnapshot(
    1767225660000, ARCHIVE_ID, (BILLING, SHIPPING), (Failure("offsets", "GROUP_AUTHORIZATION_FAILED", "audit"),)
)
