"""Names that an import gives: the same for the same backup, so that importing it again finds what is there."""

from __future__ import annotations

import base64
import json
import uuid

_SPACE = uuid.UUID("6f1d2f0e-6d5c-5d0a-9d0b-1d5c7f6a3e21")


def topic_id_of(backup_format: str, source_id: str, topic: str) -> str:
    """The id under which a backup's topic is archived, in the form of Kafka's topic ids.

    It never begins with a dash, as Kafka's never do, so that it can follow a flag.
    """
    for turn in range(1 << 16):
        found = _short([backup_format, source_id, topic, *([turn] if turn else [])])
        if not found.startswith("-"):
            return found
    raise AssertionError("65,536 hashes in a row begin alike")


def cluster_id_of(backup_format: str, source_id: str) -> str:
    """What stands for the source cluster where nobody knows its id."""
    return f"import-{_short([backup_format, source_id])}"


def _short(name: list[str | int]) -> str:
    found = uuid.uuid5(_SPACE, json.dumps(name, ensure_ascii=False))
    return base64.urlsafe_b64encode(found.bytes).decode().rstrip("=")
