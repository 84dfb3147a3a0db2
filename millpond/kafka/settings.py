"""Client settings. Each one that differs from the library's default says why."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.kafka.files import WatchedFiles
from millpond.kafka.secrets import Secrets
from millpond.kafka.security import FILES, Security
from millpond.kafka.seeds import ServiceName

_LIBRARY_LOG = logging.getLogger("millpond.librdkafka")

# Properties that name a file which the client reads once, when it is made.
_FILE_PROPERTIES = (*FILES.values(), "ssl.keystore.location", "ssl.crl.location")

Properties = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """How to reach a cluster. Each of the three kinds of settings is for one new client: it looks up the brokers and
    reads the secrets as they are now, and may raise `WrongUsage` or `TryAgain` for that.

    Attributes:
        brokers: HOST:PORT,...; with a service, its name, for messages only.
        properties: More librdkafka properties; they win over everything here.
        service: Tells the brokers.
        secrets: Reads what `security` names.
    """

    brokers: str
    properties: Properties = field(default_factory=dict, repr=False)
    security: Security = field(default_factory=Security)
    service: ServiceName | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False, compare=False)
    _files: WatchedFiles = field(default_factory=WatchedFiles, init=False, repr=False, compare=False)

    def fingerprint(self) -> str:
        """Changes when a certificate, key or password file does that a new client would read; "" where there is none.

        A file that is missing for a moment counts as it was. Costs one look at each file.
        """
        named = {**self.security.pem_files(), **self.properties}
        files = [named[name] for name in _FILE_PROPERTIES if named.get(name)]
        return self._files.digest([*files, *self.security.files()])

    def admin_settings(self) -> dict[str, Any]:
        """For questions. Each says itself why it failed, so the client need not."""
        return self._with(
            {
                "log_level": 2,
                # By the default of 300,000 ms a client goes on asking a controller or coordinator that has died.
                "topic.metadata.refresh.interval.ms": 1_000,
            }
        )

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

    def reading_back_settings(self) -> dict[str, Any]:
        """For reading what was written, without a group, through a digest that finds out whatever is wrong."""
        own = {
            # The digest knows more than the checksums do.
            "check.crcs": False,
            # One partition at a time is read, from a broker that is near: more ahead is memory and no speed.
            "fetch.max.bytes": 4 << 20,
            "max.partition.fetch.bytes": 2 << 20,
            "queued.max.messages.kbytes": 8 << 10,
        }
        return {**self.consumer_settings("millpond-read-back"), **own, **self.properties}

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
                # With zstd the process holds several times as much; more than this makes nothing faster.
                "queue.buffering.max.kbytes": 32 << 10,
                "on_delivery": on_delivery_error,
                "delivery.report.only.error": True,
            }
        )

    def _with(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        brokers = self.service.brokers() if self.service else self.brokers
        common = {"bootstrap.servers": brokers, "client.id": "millpond", "logger": _LIBRARY_LOG}
        return {**common, **settings, **self.security.properties(self.secrets), **self.properties}
