"""Plans a restore from the input of the execution. Lists, decides, writes the plan; reads no record."""

from __future__ import annotations

from functions.entry import Planned, RunEvent, started
from millpond.clock import now_ms
from millpond.restore.plan import BYTES_PER_UNIT, plan_restore
from millpond.restore.request import parse_request
from millpond.settings.parts import PlanSettings


class Event(RunEvent):
    """The run, and the request as a person typed it."""

    request: dict[str, object]


@started(Event)
def handler(event: Event) -> Planned:
    settings = PlanSettings.from_environment()
    store, layout = settings.open_archive()
    request = parse_request(event.request)
    plan = plan_restore(
        store,
        layout,
        request,
        run_id=event.run_id,
        now_ms=now_ms(),
        bytes_per_unit=settings.bytes_per_unit or BYTES_PER_UNIT,
    )
    return {"run_id": event.run_id, "lines": plan["lines"], "units": plan["units"]}
