"""What every controller shares: the event as a model, log lines with the request id, errors that end the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypedDict, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import parse
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, StringConstraints

from millpond.errors import MillpondError

_LOG = Logger(service="millpond")


class RunEvent(BaseModel):
    """The run that a state machine is at; its id is the execution's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    run_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,80}$")]


class ScheduledEvent(BaseModel):
    """Whatever a schedule sends."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Planned(TypedDict):
    """What a planner tells its state machine: how many pieces of work, and for how many workers."""

    run_id: str
    lines: int
    units: int


E = TypeVar("E", bound=BaseModel)
R = TypeVar("R")


def started(model: type[E]) -> Callable[[Callable[[E], R]], Callable[[Any, LambdaContext], R]]:
    """A Lambda handler out of a function of its event. Errors are logged once, without content, and raised."""

    def decorate(work: Callable[[E], R]) -> Callable[[Any, LambdaContext], R]:
        @wraps(work)
        def handle(event: Any, context: LambdaContext) -> R:
            parsed = parse(event=event, model=model)
            try:
                result = work(parsed)
            except MillpondError as error:
                _LOG.error(str(error), extra={"request_id": context.aws_request_id, "exit_code": error.exit_code})
                raise
            _LOG.info("done", extra={"request_id": context.aws_request_id, "result": result})
            return result

        return handle

    return decorate
