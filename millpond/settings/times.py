"""Times as they are typed on a command line."""

from __future__ import annotations

from millpond import clock
from millpond.errors import WrongUsage


def moment_of(text: str, flag: str) -> int:
    """Epoch ms of RFC 3339 or of epoch ms. `WrongUsage` for anything else; a time without a zone is UTC."""
    try:
        return clock.moment_of(text)
    except ValueError as error:
        raise WrongUsage(
            f"{flag} {text[:60]!r} is no time", hint="write 2026-01-31T12:00:00Z or milliseconds since 1970"
        ) from error
