"""The wall clock, and times as people write them, in the archive's unit."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

_MS = re.compile(r"[0-9]{1,15}")


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def moment_of(text: str) -> int:
    """Epoch ms of RFC 3339 or of epoch ms as text. `ValueError` for anything else; a time without a zone is UTC."""
    if _MS.fullmatch(text):
        return int(text)
    found = datetime.fromisoformat(text)
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
