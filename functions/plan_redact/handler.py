"""Accepts an erasure request from the inbox: hashes, plans, deletes it there. No identifier leaves this function."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from functions.entry import Planned, RunEvent, started
from millpond.clock import now_ms
from millpond.cluster.snapshot import compacted_topics
from millpond.erasure.plan import BYTES_PER_UNIT, plan_redaction
from millpond.erasure.request import parse_request
from millpond.erasure.secret import load_secret
from millpond.erasure.sweeps import redact_run
from millpond.settings.erase import AcceptSettings
from millpond.storage.contract import read


class Input(BaseModel):
    """The execution's input: where the request lies in the inbox."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    request: str


class Event(RunEvent):
    """The run, and the input of its execution."""

    request: Input


@started(Event)
def handler(event: Event) -> Planned:
    settings = AcceptSettings.from_environment()
    store, layout = settings.open_archive()
    inbox, key = settings.open_inbox(), event.request.request
    run = redact_run(store, layout, event.run_id)
    plan = run.find_plan()
    if plan is None:
        request = parse_request(read(inbox, key))
        compacted = compacted_topics(store, layout, request.policy.topics)
        secret = load_secret(settings.erasure_secret)
        plan = plan_redaction(
            store,
            layout,
            secret,
            request,
            run_id=event.run_id,
            now_ms=now_ms(),
            compacted=compacted,
            bytes_per_unit=settings.bytes_per_unit or BYTES_PER_UNIT,
        )
    inbox.delete_version(key, "")
    return {"run_id": event.run_id, "lines": plan["lines"], "units": plan["units"]}
