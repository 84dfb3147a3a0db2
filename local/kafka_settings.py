"""The settings of local brokers (server.properties) and of the clients that talk to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.certificates import Authority
from local.processes import HOST, free_ports

PLAINTEXT, CONTROLLER, SASL_SSL, SSL, TLS = "PLAINTEXT", "CONTROLLER", "SASL_SSL", "SSL", "TLS"
SCRAM = "SCRAM-SHA-512"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
OFFSETS_PARTITIONS = 4
Settings = dict[str, str | int | float | bool]

# For a lone broker that nobody kills: it is not given up for a while because the machine is busy. One that was killed
# cannot come back before this is over.
STEADY: Settings = {"broker.session.timeout.ms": 60_000}


@dataclass(frozen=True)
class Address:
    """One node: its id (from 1) and the port of each listener."""

    id: int
    ports: Mapping[str, int]

    def at(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"


def addresses(nodes: int, *, tls: bool) -> list[Address]:
    """Free ports for this many nodes."""
    listeners = (PLAINTEXT, CONTROLLER, SASL_SSL, SSL, TLS) if tls else (PLAINTEXT, CONTROLLER)
    ports = free_ports(nodes * len(listeners))
    rows = [ports[i * len(listeners) : (i + 1) * len(listeners)] for i in range(nodes)]
    return [Address(i + 1, dict(zip(listeners, row, strict=True))) for i, row in enumerate(rows)]


def server_properties(node: Address, cluster: Sequence[Address], data: Path) -> Settings:
    """What every broker gets; `tls_properties` and `acl_properties` come on top."""
    return {**_listeners(node, cluster), "log.dirs": str(data), **_copies(len(cluster)), **_quick()}


def tls_properties(node: Address, authority: Authority) -> Settings:
    """SASL_SSL with SCRAM; SSL with mutual TLS, whose principal is User:<common name>; TLS for any client."""
    return {
        "sasl.enabled.mechanisms": SCRAM,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": SCRAM_LOGIN,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.issue(f"node{node.id}")),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.sasl_ssl.ssl.client.auth": "none",
        "listener.name.tls.ssl.client.auth": "none",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
    }


def acl_properties() -> Settings:
    """Nothing is allowed but by ACL, except on PLAINTEXT (User:ANONYMOUS), which brokers and administration use."""
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:admin",
        "allow.everyone.if.no.acl.found": "false",
    }


def client_settings(bootstrap: str, listener: str) -> Settings:
    """For confluent-kafka: quick to come back to a restarted broker, and never on ::1."""
    return {
        "bootstrap.servers": bootstrap,
        "security.protocol": SSL if listener == TLS else listener,
        "broker.address.family": "v4",
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
    }


def secure_client_settings(authority: Authority, listener: str, *, user: str, password: str, name: str) -> Settings:
    """What SASL_SSL (user, password), SSL (common name of the certificate) or TLS want on top of `client_settings`."""
    settings: Settings = {"ssl.ca.location": str(authority.ca)}
    if listener == TLS:
        return settings
    if listener == SSL:
        pem = str(authority.issue(name))
        return {**settings, "ssl.certificate.location": pem, "ssl.key.location": pem}
    return {**settings, "sasl.mechanism": SCRAM, "sasl.username": user, "sasl.password": password}


def _listeners(node: Address, cluster: Sequence[Address]) -> Settings:
    urls = {name: f"{name}://{node.at(name)}" for name in node.ports}
    return {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{other.id}@{other.at(CONTROLLER)}" for other in cluster),
        "controller.listener.names": CONTROLLER,
        "inter.broker.listener.name": PLAINTEXT,
        "listeners": ",".join(urls.values()),
        "advertised.listeners": ",".join(url for name, url in urls.items() if name != CONTROLLER),
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,TLS:SSL",
    }


def _copies(nodes: int) -> Settings:
    in_sync = min(2, nodes)
    return {
        "default.replication.factor": nodes,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": nodes,
        "offsets.topic.num.partitions": OFFSETS_PARTITIONS,
        "transaction.state.log.replication.factor": nodes,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": nodes,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _quick() -> Settings:
    """Small and quick to notice: a killed broker is fenced after 3 s here, after 9 s by Kafka's default."""
    return {
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
        "num.network.threads": 2,
        "num.io.threads": 2,
        "log.cleaner.dedupe.buffer.size": 4 << 20,
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        "controller.quorum.election.timeout.ms": 500,
        "controller.quorum.election.backoff.max.ms": 300,
        "controller.quorum.fetch.timeout.ms": 1500,
    }
