"""Settings of `millpond erase` and of the redact job's container."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from millpond.settings.base import VerbSettings
from millpond.settings.parts import ArchiveSettings, PlanSettings
from millpond.storage.contract import ObjectStore
from millpond.storage.urls import open_store


class _SecretSettings(ArchiveSettings):
    erasure_secret: str = Field(
        description="file, secretsmanager:NAME or ARN of the secret that hashes identifiers", min_length=1
    )


class EraseRunSettings(_SecretSettings):
    """A request against the archive, from the plan to the receipt."""

    verb: ClassVar[str] = "erase run"

    request: str = Field(description="file with the request as JSON, or - for standard input", min_length=1)
    run_id: str = Field(
        "", description="a name for the run; the same one goes on where it stopped", pattern="^[A-Za-z0-9._-]{0,80}$"
    )
    spool: Path | None = Field(None, description="folder for windows being rewritten; by default a temporary one")


class AcceptSettings(_SecretSettings, PlanSettings):
    """The controller that accepts requests."""

    inbox: str = Field(description="s3://bucket where requests are put for one day", min_length=1)

    def open_inbox(self) -> ObjectStore:
        store, _ = open_store(self.inbox, endpoint_url=self.s3_endpoint or None)
        return store


class EraseSecretSettings(VerbSettings):
    """A new secret in a file."""

    verb: ClassVar[str] = "erase secret"

    path: Path = Field(description="the file to make; it must not exist")


class RedactJobSettings(_SecretSettings):
    """One array index of the redact job."""

    verb: ClassVar[str] = "redact"

    run_id: str = Field(description="the run to work on", min_length=1)
    units: int = Field(1, description="how many workers share the run", ge=1)
    spool: Path | None = Field(None, description="folder for windows being rewritten; by default a temporary one")
