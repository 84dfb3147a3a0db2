"""What a health check is told: whether a new process would help, and what else is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Warned: TypeAlias = Mapping[str, str | int | float]
"""One thing that is wrong, with its `kind`."""


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict.

    Attributes:
        ok: Whether to leave the process alone. Not ok asks the platform to replace it.
        why: In words.
        warnings: What is wrong and would be just as wrong after a new start.
    """

    ok: bool
    why: str
    warnings: tuple[Warned, ...] = ()

    def document(self) -> dict[str, object]:
        """With stable names, for JSON."""
        return {"ok": self.ok, "why": self.why, "warnings": [dict(warning) for warning in self.warnings]}
