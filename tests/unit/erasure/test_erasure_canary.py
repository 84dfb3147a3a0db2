"""An identifier goes in everywhere it may, and everywhere it may not, and is then looked for in all that comes out."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from typing import Any

import pytest

from millpond.archive.facts import Redaction
from millpond.archive.window import open_window
from millpond.erasure.request import parse_request
from millpond.erasure.rewrite import Expected, opened
from millpond.errors import DamagedArchive, MillpondError
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import (
    KEY_PLACE,
    REQUEST_ID,
    VALUE_PLACE,
    Pond,
    partition,
    request,
    row,
    searched,
    window,
)

CANARY = "canary-7f3a91"
FORMS = {
    CANARY.encode(),
    CANARY.encode().hex().encode(),
    base64.b64encode(CANARY.encode()).rstrip(b"="),
    CANARY.encode("utf-16-le"),
    CANARY.encode("utf-16-be"),
}


def holds_canary(content: bytes | str) -> bool:
    raw = content.encode() if isinstance(content, str) else content
    return any(form in raw for form in FORMS)


def everything_said(error: BaseException) -> str:
    """Message, hint, chain and attributes: what any handler could get at to log it."""
    said, chain = "".join(traceback.format_exception(error)), []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        said += f"{link!r} {link.__dict__!r}"
        link = link.__cause__ or link.__context__
    return said


def malformed() -> list[Any]:
    good = {
        "request_id": REQUEST_ID,
        "subjects": [{"type": "customer_id", "value": CANARY}],
        "policy": {"topics": {"orders": searched(KEY_PLACE)}},
        "received_at": "2025-12-15T08:00:00Z",
        "reference": "case-7",
    }
    changes: list[dict[str, Any]] = [
        {"request_id": CANARY},
        {"reference": f"case {CANARY}"},
        {"reference": CANARY},
        {"topics": [CANARY]},
        {"topics": [f"({CANARY}"]},
        {"topics": f"{CANARY}"},
        {"received_at": CANARY},
        {"received_at": {CANARY: CANARY}},
        {CANARY: 1},
        {"subjects": CANARY},
        {"subjects": [CANARY]},
        {"subjects": [{CANARY: CANARY}]},
        {"subjects": [{"type": CANARY, "value": "0"}]},
        {"subjects": [{"type": "customer_id", "value": [CANARY]}]},
        {"policy": CANARY},
        {"policy": {"topics": {CANARY: CANARY}}},
        {"policy": {"topics": {CANARY: {"places": [{"type": CANARY}], "action": CANARY}}}},
        {"policy": {"topics": {"orders": searched({**KEY_PLACE, "path": CANARY})}}},
        {"policy": {"topics": {"orders": searched({**VALUE_PLACE, "path": f"{CANARY}.."})}}},
        {"policy": {CANARY: {}}},
    ]
    text = json.dumps(good)
    return [json.dumps(good | change) for change in changes] + [text[:-9], text + CANARY, b"\xff" + text.encode()]


@pytest.mark.parametrize("content", malformed())
def test_no_malformed_request_is_repeated_in_its_refusal(content: str | bytes) -> None:
    with pytest.raises(MillpondError) as refused:
        parse_request(content)
    assert not holds_canary(everything_said(refused.value))


def anything(store: MemoryStore) -> Pond:
    """Windows with the canary as key, value and header, in broken JSON and forged headers, and foreign names of it."""
    pond = Pond(store)
    value = json.dumps({"customer": {"id": CANARY}}).encode()
    rows = [
        row(0, CANARY.encode(), value),
        row(1, CANARY.encode() + b"\xff", value[:-4]),
        (2, 1000, b"ben", b'{"customer":{"id":{"%s":1}}}' % CANARY.encode(), ((CANARY.encode(), CANARY.encode()),)),
        row(3, None, CANARY.encode()),
    ]
    pond.write(rows)
    damaged = pond.write(rows, of=partition(number=1))
    content = store.open(damaged).read()
    store.put_if_match(damaged, content[:-3], store.head(damaged).etag)  # type: ignore[union-attr]
    forged = pond.write(rows, of=partition(number=2), codec="null", redactions=(Redaction(CANARY, 1, 0, 0, 1),))
    content = store.open(forged).read()
    for old, new in ((b"create_time", b"canary-7f3a"), (b'"offset"', b'"canary"'), (b"null", CANARY.encode()[:4])):
        store.put_if_match(forged, content.replace(old, new, 1), store.head(forged).etag)  # type: ignore[union-attr]
    overwritten = pond.write(rows, of=partition(number=3))
    store.put_if_match(overwritten, CANARY.encode() * 9, store.head(overwritten).etag)  # type: ignore[union-attr]
    store.put_if_absent(f"pond/topics/orders/{CANARY}", CANARY.encode())
    store.put_if_absent(f"pond/topics/{CANARY}/x", CANARY.encode())
    other = partition(number=4)
    with window(rows, of=other, first=0, last=3, archive_id=CANARY) as (facts, body):
        store.put_if_absent(pond.layout.object(other, facts.name), body)
    return pond


def test_a_forged_header_is_not_repeated() -> None:
    store = MemoryStore()
    pond = Pond(store)
    key = pond.write([row(0, b"ben")], codec="null")
    content = store.open(key).read().replace(b"create_time", b"canary-7f3a91", 1)
    forged = content.replace(b"\x16canary-7f3a91", b"\x1acanary-7f3a91", 1)
    info = store.put_if_match(key, forged, store.head(key).etag)  # type: ignore[union-attr]
    what = pond.layout.parse(key)
    with store.open(key) as stream, pytest.raises(MillpondError) as quoting:
        open_window(stream)
    assert holds_canary(everything_said(quoting.value)), "the archive's own message quotes it"
    expected = Expected(pond.archive_id, what.partition, what.name)  # type: ignore[union-attr, arg-type]
    with pytest.raises(DamagedArchive) as refused, opened(store, info, expected):
        pass
    assert not holds_canary(everything_said(refused.value))


def test_nothing_that_a_run_stores_or_logs_holds_an_identifier(caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    store = MemoryStore()
    pond = anything(store)
    before = {key for key, _ in pond.all_content()}
    receipt = pond.run(request(CANARY, topics={"orders": searched(KEY_PLACE, VALUE_PLACE)}))
    assert receipt["objects"]["dropped"] > 0
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"
    written = [(key, content) for key, content in pond.all_content() if key not in before]
    assert {key.split("/")[1] for key, _ in written} == {"runs", "erasures"}
    assert not [key for key, content in written if holds_canary(content) or holds_canary(key)]
    assert not holds_canary(caplog.text)
    assert not holds_canary("".join(capfd.readouterr()))
    metadata = [store.head(version.info.key, version=version.info.version) for version in store.list_versions("pond/")]
    assert not holds_canary(repr([found.metadata for found in metadata if found and found.key not in before]))


def test_the_search_for_the_canary_finds_one_that_is_there() -> None:
    store = MemoryStore()
    pond = anything(store)
    assert [key for key, content in pond.all_content() if holds_canary(content)]
