"""Settings that several verbs share: the archive, a cluster, lists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from millpond.archive.keys import Layout
from millpond.errors import WrongUsage
from millpond.kafka.admin import Cluster
from millpond.kafka.security import Kind
from millpond.settings.base import VerbSettings
from millpond.settings.temporary import temporary_folder
from millpond.settings.ways_in import TOLD, address_of, brokers_or_service, open_cluster
from millpond.storage.contract import ObjectStore
from millpond.storage.urls import open_store


def _joined(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


CommaList = Annotated[str, BeforeValidator(_joined)]
"""A list on one line, separated by commas; in a TOML file also a list."""


def items(text: str) -> tuple[str, ...]:
    """The items of a comma list."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


class ArchiveSettings(VerbSettings):
    """Where the archive is."""

    archive: str = Field(description="s3://bucket/prefix or file:///folder")
    s3_endpoint: str = Field("", description="URL of an S3 API that is not AWS; AWS_ENDPOINT_URL counts too")

    def open_archive(self) -> tuple[ObjectStore, Layout]:
        store, prefix = open_store(self.archive, endpoint_url=self.s3_endpoint or None)
        return store, Layout(prefix)


class PlanSettings(ArchiveSettings):
    """The archive, and how much work is worth a worker."""

    bytes_per_unit: int | None = Field(None, description="stored bytes for each worker of a run", ge=1)


class ClusterSettings(VerbSettings):
    """How to reach the cluster that a verb reads or writes."""

    brokers_srv: str = Field("", description=TOLD["brokers_srv"])
    brokers: str = Field("", description="HOST:PORT,... of the cluster", validate_default=True)
    security: Kind = Field("plaintext", description=TOLD["security"])
    ca_cert: str = Field("", description=TOLD["ca_cert"])
    client_cert: str = Field("", description=TOLD["client_cert"])
    client_key: str = Field("", description=TOLD["client_key"])
    client_key_password_from: str = Field("", description=TOLD["client_key_password_from"])
    username: str = Field("", description=TOLD["username"])
    password_from: str = Field("", description=TOLD["password_from"])
    msk_region: str = Field("", description=TOLD["msk_region"])
    kafka: dict[str, str] = Field(default_factory=dict, description="KEY=VALUE of librdkafka, as often as needed")

    _brokers_or_service = field_validator("brokers")(brokers_or_service)

    def cluster(self) -> Cluster:
        """`WrongUsage` where the settings contradict each other or the client refuses them."""
        return open_cluster(address_of(self))


@contextmanager
def spool_folder(spool: Path | None) -> Iterator[Path]:
    """The folder for files under way: the one that was named, made if need be, or one that is removed afterwards.

    Raises:
        WrongUsage: No folder can be made.
    """
    if spool is None:
        with temporary_folder() as folder:
            yield folder
        return
    try:
        spool.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage(f"cannot make the spool folder {spool}: {error.strerror}", hint="check --spool") from error
    yield spool
