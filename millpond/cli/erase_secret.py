"""`millpond erase secret`: a new secret file, for archives that have no Secrets Manager."""

from __future__ import annotations

from millpond.cli.outcome import Outcome
from millpond.erasure.secret import create_secret_file
from millpond.settings.erase import EraseSecretSettings

Settings = EraseSecretSettings


def run(settings: EraseSecretSettings) -> Outcome:
    create_secret_file(settings.path)
    text = f"made {settings.path}; keep it: without it nobody can tell later what was erased"
    return Outcome({"path": str(settings.path)}, text)
