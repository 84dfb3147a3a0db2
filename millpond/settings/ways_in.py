"""From settings to a cluster: the same names for the cluster that is read and, with `to_` in front, the one written."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.iam import region_of
from millpond.kafka.secrets import Secrets
from millpond.kafka.security import security_of
from millpond.kafka.seeds import ServiceName
from millpond.kafka.settings import ClusterAddress
from millpond.settings.base import VerbSettings
from millpond.storage.secrets_manager import secret_text

TOLD = {
    "brokers_srv": "DNS name whose SRV records tell the brokers, in place of their addresses",
    "security": "plaintext, tls, mtls (TLS with a certificate of the client), scram (user and password) or iam (MSK)",
    "ca_cert": "PEM file of the authorities that sign the brokers' certificates; by default those of this machine",
    "client_cert": "PEM file of the client's certificate, for mtls",
    "client_key": "PEM file of its key",
    "client_key_password_from": "place of that key's password: file:/path, env:NAME or secretsmanager:NAME#FIELD",
    "username": "user, for scram",
    "password_from": "place of the password: file:/path, env:NAME or secretsmanager:NAME#FIELD",
    "msk_region": "AWS region of the brokers, for iam; by default as their names tell, else AWS_REGION",
}
"""Descriptions, by the name of the setting."""

_SECURITY = ("ca_cert", "client_cert", "client_key", "client_key_password_from", "username", "password_from")


def brokers_or_service(brokers: str, told: ValidationInfo) -> str:
    """Refuses neither: the service, which is told before, may stand in place of the brokers."""
    if not brokers and not told.data.get(f"{told.field_name}_srv"):
        raise PydanticCustomError("missing", "Field required")
    return brokers


def address_of(settings: VerbSettings, prefix: str = "") -> ClusterAddress:
    """The address that settings with this prefix describe. `WrongUsage` where they contradict each other."""

    def told(name: str) -> Any:
        return getattr(settings, prefix + name)

    brokers, service = told("brokers"), told("brokers_srv")
    if brokers and service:
        flag = f"--{prefix}brokers".replace("_", "-")
        raise WrongUsage(f"{flag} and {flag}-srv both tell the brokers", hint="leave one out")
    texts = {name: told(name) for name in (*_SECURITY, "msk_region")}
    if told("security") == "iam":
        texts["msk_region"] = region_of(texts["msk_region"], brokers or service)
    return ClusterAddress(
        brokers or service,
        told("kafka"),
        security_of(told("security"), texts, prefix=prefix),
        ServiceName(service) if service else None,
        Secrets(lambda name: secret_text(name, what="the Kafka secret")),
    )


def open_cluster(address: ClusterAddress, prefix: str = "") -> Cluster:
    """`WrongUsage` where the client refuses its settings: a file is missing, a key does not fit, a property is none."""
    try:
        return Cluster(address)
    except KafkaException as failure:
        reason = failure.args[0].str().strip()
        flag = prefix.replace("_", "-")
        raise WrongUsage(
            f"the Kafka client refuses its settings: {reason}",
            hint=f"check --{flag}kafka and the files of --{flag}ca-cert, --{flag}client-cert and --{flag}client-key",
        ) from failure
