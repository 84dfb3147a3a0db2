"""Errors a person can act on.

Every failure that leaves a verb is a `MillpondError`; only entry points catch it, print it and exit. The message says
what was attempted, on what, and why it failed; the hint says what to do next. No message holds a record's key, value
or header.
"""

from __future__ import annotations

import re

_PATH_OF_A_PART = re.compile(r"(/parts/)[^\s'\"]*/")


def without_values(text: str) -> str:
    """The text without what stands between `parts/` and the file name in keys: fields of records, such as a customer's
    id, where a backup is partitioned by content."""
    return _PATH_OF_A_PART.sub(r"\1.../", text)


class MillpondError(Exception):
    """Something failed and the operator should know what to do next.

    Attributes:
        hint: The next step for the operator, printed on a line of its own.
        exit_code: What a command line or a job ends with (see `EXIT_CODES`).
        object_key: The one object that the failure is about, without values of records, or "".
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", object_key: str = "") -> None:
        super().__init__(without_values(message))
        self.hint = without_values(hint)
        self.object_key = without_values(object_key)

    def __str__(self) -> str:
        return f"{self.args[0]}\nhint: {self.hint}" if self.hint else str(self.args[0])


class NothingToRestore(MillpondError):
    """The archive has topics that are asked for, and no record of them is due."""


class WrongUsage(MillpondError):
    """A setting, an argument or the surroundings it names are wrong; trying again cannot help."""

    exit_code = 2


class DamagedArchive(MillpondError):
    """The archive contradicts itself: an unexplained hole, a wrong digest, two truths for one offset."""

    exit_code = 3


class RefusedForSafety(MillpondError):
    """Going on could overwrite or mix data."""

    exit_code = 4


class TryAgain(MillpondError):
    """Something outside did not answer; the same call may succeed later."""

    exit_code = 75


EXIT_CODES = {
    0: "done",
    1: "failed",
    2: "wrong usage or configuration",
    3: "found a problem in the archive or in a comparison",
    4: "refused for safety",
    75: "something outside did not answer: try again",
}
