"""Brokers by the name of a service: DNS SRV records, which librdkafka does not ask for."""

from __future__ import annotations

from dataclasses import dataclass

from dns.exception import DNSException, Timeout
from dns.name import root
from dns.rdtypes.IN.SRV import SRV
from dns.resolver import NoNameservers, Resolver

from millpond.errors import TryAgain, WrongUsage

_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class ServiceName:
    """The name of a service, such as _kafka._tcp.example.com.

    Attributes:
        nameservers, port: Whom to ask; by default whom this machine asks.
    """

    name: str
    nameservers: tuple[str, ...] = ()
    port: int = 53

    def brokers(self) -> str:
        """HOST:PORT,... as the records say it now: by priority, the heavier of one priority first.

        Raises:
            WrongUsage: The name has no such records.
            TryAgain: The name server did not answer, or cannot tell.
        """
        attempt = f"cannot look up the brokers of {self.name} (DNS SRV)"
        try:
            answer = self._resolver().resolve(self.name, "SRV", lifetime=_WITHIN_S)
        except (Timeout, NoNameservers) as failure:
            raise TryAgain(f"{attempt}: {failure}", hint="check this machine's name server") from failure
        except DNSException as failure:
            raise WrongUsage(f"{attempt}: {failure}", hint="check --brokers-srv, or name --brokers") from failure
        found = sorted((record for record in answer if isinstance(record, SRV)), key=_order)
        # The root in place of a host: "decidedly not available" (RFC 2782).
        brokers = [f"{record.target.to_text(True)}:{record.port}" for record in found if record.target != root]
        if not brokers:
            raise WrongUsage(f"{attempt}: the service is not offered", hint="check --brokers-srv, or name --brokers")
        return ",".join(brokers)

    def _resolver(self) -> Resolver:
        resolver = Resolver(configure=not self.nameservers)
        if self.nameservers:
            resolver.nameservers, resolver.port = list(self.nameservers), self.port
        return resolver


def _order(record: SRV) -> tuple[int, int, str, int]:
    return record.priority, -record.weight, record.target.to_text(), record.port
