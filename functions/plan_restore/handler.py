"""Plans a restore from the input of the execution. Lists, decides, writes the plan; reads no record."""

from __future__ import annotations

from typing import Any

from functions.entry import Planned, RunEvent, started
from functions.restore_input import read_input
from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.clock import now_ms
from millpond.restore.planning.plan import BYTES_PER_UNIT, KIND, plan_restore
from millpond.restore.request import Compare, parse_request
from millpond.settings.parts import PlanSettings
from millpond.storage.contract import ObjectStore


class Event(RunEvent):
    """The run, and the input of the execution as a person typed it."""

    request: Any


class Steps(Planned):
    """What the state machine chooses its way by."""

    groups: bool
    compare: str


@started(Event)
def handler(event: Event) -> Steps:
    settings = PlanSettings.from_environment()
    store, layout = settings.open_archive()
    plan = _plan(store, layout, event, settings.bytes_per_unit or BYTES_PER_UNIT)
    request = parse_request(plan["request"])
    return {
        "run_id": event.run_id,
        "lines": plan["lines"],
        "units": plan["units"],
        "groups": request.groups is not None,
        "compare": Compare(request.compare).value,
    }


def _plan(store: ObjectStore, layout: Layout, event: Event, bytes_per_unit: int) -> Json:
    """The plan of the request, or the one that is there of a run to go on with."""
    request = read_input(event.request, event.run_id).request
    if request is None:
        return Run(store, layout, KIND, event.run_id).plan()
    return plan_restore(
        store,
        layout,
        request,
        run_id=event.run_id,
        now_ms=now_ms(),
        bytes_per_unit=bytes_per_unit,
        refuse_nothing=True,
    )
