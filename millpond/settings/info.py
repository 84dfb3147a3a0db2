"""Settings of `millpond info`."""

from __future__ import annotations

from typing import ClassVar

from millpond.settings.parts import ArchiveSettings


class InfoSettings(ArchiveSettings):
    """What is in the archive."""

    verb: ClassVar[str] = "info"
