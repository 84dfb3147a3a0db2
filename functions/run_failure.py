"""What failed in a run, as Step Functions tells it, in words for a person."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_OURS = frozenset({"DamagedArchive", "MillpondError", "NothingToRestore", "RefusedForSafety", "TryAgain", "WrongUsage"})
"""Errors whose words are our own, and hence hold no content of records."""
_LONGEST = 8000
"""Characters of a reason: a Fail state takes a cause of 32 KiB."""


class Failure(BaseModel):
    """An error that a state machine has caught.

    Attributes:
        error: Its name; of a function the class of the exception.
        cause: Its text; of functions and jobs JSON.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    error: str = Field(alias="Error")
    cause: str = Field(default="", alias="Cause")

    @property
    def reason(self) -> str:
        """The exception's own message, or what Batch says of the job, or the cause as it is."""
        found = _object(self.cause)
        if isinstance(message := found.get("errorMessage"), str):
            return message[:_LONGEST]
        if isinstance(job := found.get("JobId"), str):
            return f"job {job}: {found.get('StatusReason', 'it ended without a reason')}"[:_LONGEST]
        return self.cause[:_LONGEST]

    @property
    def words(self) -> str:
        """The reason where it is safe to pass on, else nothing."""
        return self.reason if self.error in _OURS else ""


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
