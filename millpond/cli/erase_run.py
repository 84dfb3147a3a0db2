"""`millpond erase run`: one request against the archive, from the plan to the receipt."""

from __future__ import annotations

import sys
from pathlib import Path

from millpond.archive.documents import Json
from millpond.cli.outcome import Outcome
from millpond.clock import now_ms
from millpond.cluster.snapshot import compacted_topics
from millpond.erasure.plan import plan_redaction
from millpond.erasure.request import parse_request
from millpond.erasure.run import reconcile_redaction, redact_unit
from millpond.erasure.secret import load_secret
from millpond.errors import WrongUsage
from millpond.settings.erase import EraseRunSettings
from millpond.settings.parts import spool_folder

Settings = EraseRunSettings


def run(settings: EraseRunSettings) -> Outcome:
    request = parse_request(_content(settings.request))
    secret = load_secret(settings.erasure_secret)
    store, layout = settings.open_archive()
    run_id = settings.run_id or f"{request.request_id}"
    compacted = compacted_topics(store, layout, request.policy.topics)
    plan_redaction(store, layout, secret, request, run_id=run_id, now_ms=now_ms(), compacted=compacted)
    with spool_folder(settings.spool) as spool:
        redact_unit(store, layout, secret, run_id=run_id, unit=0, units=1, spool=spool, now_ms=now_ms)
    receipt = reconcile_redaction(store, layout, run_id=run_id, now_ms=now_ms())
    return Outcome(receipt, _text(receipt))


def _content(place: str) -> bytes:
    if place == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(place).read_bytes()
    except OSError as error:
        raise WrongUsage(f"cannot read the request: {error.strerror}", hint="check --request") from error


def _text(receipt: Json) -> str:
    objects = receipt["objects"]
    lines = [
        f"request {receipt['request_id']}: {receipt['status']}",
        f"  {objects['dropped']} of {objects['records_in']} records are gone, {objects['objects_rewritten']} objects"
        f" were rewritten, {objects['versions_purged']} older versions removed",
        f"  term: day {receipt['term']['days']} of {receipt['term']['days_allowed']}",
    ]
    lines += [f"  exception: {exception}" for exception in receipt["exceptions"]]
    lines += [f"  not searched: {item['what']}" for item in receipt["not_searched"]]
    return "\n".join(lines)
