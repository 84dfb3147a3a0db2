"""What binds a worker while it writes, whatever it writes."""

from __future__ import annotations

from dataclasses import dataclass

from millpond.archive.documents import Json
from millpond.kafka.admin import Cluster
from millpond.restore.writing.claim import Claims
from millpond.restore.writing.session import Sessions
from millpond.restore.writing.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one worker.

    Attributes:
        claims: Keep other workers away from a partition.
        sessions: Of its producer.
        throttle: This worker's share of the bytes a second.
        source_offsets: Whether each record gets the header that tells its source offset.
    """

    claims: Claims
    sessions: Sessions
    throttle: Throttle
    source_offsets: bool = False

    @classmethod
    def of(cls, plan: Json, cluster: Cluster, *, units: int) -> Terms:
        """Those of a plan, for one of so many workers."""
        request = plan["request"]
        limit = request.get("throttle")
        throttle = Throttle(None if limit is None else limit / units)
        claims, sessions = Claims(cluster, plan["run_id"]), Sessions(cluster)
        return cls(claims, sessions, throttle, bool(request.get("source_offset_header")))
