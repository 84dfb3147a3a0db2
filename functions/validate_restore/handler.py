"""The first step of a restore: whether its input can be read. Reaches neither archive nor Kafka."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from functions.entry import started
from functions.restore_input import read_input


class Event(BaseModel):
    """The name of the execution, and its input as a person typed it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    execution: str
    request: Any


@started(Event)
def handler(event: Event) -> dict[str, object]:
    asked = read_input(event.request, event.execution)
    return {"run_id": asked.run_id, "resumes": asked.request is None}
