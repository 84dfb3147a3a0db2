"""Client settings. Each one that differs from the library's default says why."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LIBRARY_LOG = logging.getLogger("millpond.librdkafka")

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """How to reach a cluster.

    Attributes:
        brokers: HOST:PORT,...
        properties: More librdkafka properties; they win over everything here.
    """

    brokers: str
    properties: Properties = field(default_factory=dict, repr=False)

    def admin_settings(self) -> dict[str, Any]:
        """For questions. Each says itself why it failed, so the client need not."""
        return self._with({"log_level": 2})

    def consumer_settings(self, group_id: str) -> dict[str, Any]:
        """For reading every committed record once, from positions that we choose."""
        return self._with(
            {
                "group.id": group_id,
                # Positions come from the archive; a missing one must be an error, never a silent jump.
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                # The end-of-partition event tells the position behind control records, which no record does.
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "check.crcs": True,
                # Incremental: a rebalance stops only the partitions that move.
                "partition.assignment.strategy": "cooperative-sticky",
                # The default of 1000 ms costs a factor of 4 to 6 whenever the consumer is outrun.
                "fetch.queue.backoff.ms": 10,
                "fetch.max.bytes": 16 << 20,
                "max.partition.fetch.bytes": 8 << 20,
                "queued.max.messages.kbytes": 32 << 10,
                "fetch.wait.max.ms": 100,
                "topic.metadata.refresh.interval.ms": 10_000,
            }
        )

    def producer_settings(self, on_delivery_error: Callable[[Any, Any], None]) -> dict[str, Any]:
        """For writing records in exact order, each once, within one session."""
        return self._with(
            {
                "enable.idempotence": True,
                "acks": "all",
                # Without it records behind a refused one still land; with it the session ends at the first refusal.
                "enable.gapless.guarantee": True,
                # A timed-out message is not covered by that guarantee, so none may time out.
                "message.timeout.ms": 0,
                # The broker's own limit decides, not the client's.
                "message.max.bytes": 1_000_000_000,
                "batch.size": 1_000_000,
                "batch.num.messages": 100_000,
                "linger.ms": 20,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 128 << 10,
                "on_delivery": on_delivery_error,
                "delivery.report.only.error": True,
            }
        )

    def _with(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        common = {"bootstrap.servers": self.brokers, "client.id": "millpond", "logger": _LIBRARY_LOG}
        return {**common, **settings, **self.properties}
