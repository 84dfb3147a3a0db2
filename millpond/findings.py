"""What a probe found: lines that a person reads before a backup or a restore is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from millpond.errors import MillpondError

_NAMED = 5


class State(StrEnum):
    """How a probe ended. Only `FAILED` means that it would not work or would lose records."""

    OK = "OK"
    WARNING = "WARNING"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check or a preflight.

    Attributes:
        probe: A stable name.
        text: What was found, or why it is no good.
        hint: What to do; "" where all is well.
    """

    probe: str
    state: State
    text: str
    hint: str = ""

    def document(self) -> dict[str, str]:
        return {"probe": self.probe, "state": self.state.value, "text": self.text, "hint": self.hint}


def passed(probe: str, text: str) -> Finding:
    return Finding(probe, State.OK, text)


def warned(probe: str, text: str, hint: str = "") -> Finding:
    return Finding(probe, State.WARNING, text, hint)


def failed(probe: str, text: str, hint: str = "") -> Finding:
    return Finding(probe, State.FAILED, text, hint)


def failed_by(probe: str, error: MillpondError) -> Finding:
    return Finding(probe, State.FAILED, str(error.args[0]), error.hint)


@contextmanager
def reporting(probe: str, findings: list[Finding]) -> Iterator[None]:
    """What fails inside the block is added as the probe's finding."""
    try:
        yield
    except MillpondError as error:
        findings.append(failed_by(probe, error))


def named(names: Sequence[str]) -> str:
    """Some names and how many more there are."""
    some = ", ".join(names[:_NAMED])
    return f"{some} and {len(names) - _NAMED} others" if len(names) > _NAMED else some
