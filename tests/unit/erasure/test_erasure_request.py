from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.erasure.policy import Policy, load_policy, policy_key, store_policy
from millpond.erasure.request import parse_policy, parse_request
from millpond.errors import DamagedArchive, WrongUsage
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import KEY_PLACE, LAYOUT, REQUEST_ID, VALUE_PLACE, request, searched


def document(**changes: Any) -> dict[str, Any]:
    return {
        "request_id": REQUEST_ID,
        "subjects": [{"type": "customer_id", "value": "42"}],
        "policy": {"topics": {"orders": searched(KEY_PLACE, VALUE_PLACE), "logs": {"none": "machine data"}}},
        "received_at": "2025-12-15T08:00:00+01:00",
        "reference": "case-7",
        **changes,
    }


def test_a_request_is_read_from_json() -> None:
    found = parse_request(json.dumps(document(topics=["ord.*"])))
    assert found.types == {"customer_id"}
    assert (found.selects("orders"), found.selects("my-orders"), found.selects("ord")) == (True, False, True)
    assert found.received_text == "2025-12-15T07:00:00Z"
    assert found.policy.searched("logs") is None


def place(**changes: Any) -> dict[str, Any]:
    return {"policy": {"topics": {"orders": searched({**KEY_PLACE, **changes})}}}


def subject(value: Any, **more: Any) -> dict[str, Any]:
    return {"subjects": [{"type": "customer_id", "value": value, **more}]}


@pytest.mark.parametrize(
    "changes",
    [
        subject(""),
        subject("  "),
        subject("null"),
        subject(" NULL "),
        subject("unknown"),
        subject("0"),
        subject(None),
        subject(42),
        subject("\ud800"),
        subject("42", more="1"),
        subject("42", type="Customer"),
        {"subjects": []},
        {"request_id": "42"},
        {"reference": ""},
        {"reference": "no spaces"},
        {"reference": "x" * 65},
        {"reference": "case\n"},
        {"reference": "42"},
        {"topics": ["42"]},
        {"reference": "case-anna.b", **subject("anna.b")},
        {"topics": ["("]},
        {"received_at": "2025-12-15"},
        {"received_at": "2025-12-15T08:00:00"},
        {"received_at": 1765785600},
        {"received_at": "2025-02-30T08:00:00Z"},
        {"more": 1},
        place(format="uuid"),
        place(at="header"),
        place(at="value"),
        place(path="id"),
        place(format="json"),
        place(format="json", path=""),
        place(format="json", path="a..b"),
        place(format="json", path='a"b'),
        place(format="json", path="a\n"),
        place(required="maybe"),
        {"policy": {"topics": {"orders": {**searched(), "action": "mask"}}}},
        {"policy": {"topics": {"orders": {**searched(), "none": "both"}}}},
        {"policy": {"topics": {"orders": {"places": [], "action": "drop"}}}},
        {"policy": {"topics": {"orders": {"none": " "}}}},
    ],
)
def test_what_is_not_a_request_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match="the request is refused: "):
        parse_request(json.dumps(document(**changes)))


@pytest.mark.parametrize("content", ["", "[]", "null", "{", b"\xff", "{}"])
def test_what_is_not_even_an_object_is_refused(content: str | bytes) -> None:
    with pytest.raises(WrongUsage):
        parse_request(content)
    with pytest.raises(WrongUsage):
        parse_policy(content)


def test_a_refusal_names_fields_and_codes() -> None:
    with pytest.raises(WrongUsage) as refused:
        parse_request(json.dumps(document(reference="no spaces", **subject("0"))))
    problems = refused.value.args[0].removeprefix("the request is refused: ").split("; ")
    assert {"reference: string_pattern_mismatch", "subjects.0.value: identifies_nobody"} <= set(problems)


def test_an_identifier_is_not_in_the_representation_of_a_request() -> None:
    asked = request("canary-77")
    assert "canary-77" not in f"{asked!r} {asked} {asked.subjects[0]!r} {asked.model_dump()} {asked.model_dump_json()}"


def test_a_policy_is_stored_once_under_its_hash() -> None:
    store = MemoryStore()
    policy = request("x").policy
    sha256 = store_policy(store, LAYOUT, policy)
    assert store_policy(store, LAYOUT, policy) == sha256
    assert load_policy(store, LAYOUT, sha256) == policy
    assert parse_policy(policy.content()) == policy


def test_policies_that_say_the_same_have_the_same_hash() -> None:
    one = parse_policy(json.dumps({"topics": {"a": {"none": "x"}, "b": searched(KEY_PLACE)}}))
    other = parse_policy(json.dumps({"topics": {"b": searched({**KEY_PLACE, "required": True}), "a": {"none": " x "}}}))
    assert one.sha256 == other.sha256


def test_a_policy_that_was_tampered_with_is_not_used() -> None:
    store = MemoryStore()
    policy = request("x").policy
    store.put_if_absent(policy_key(LAYOUT, policy.sha256), Policy(topics={}).content())
    with pytest.raises(DamagedArchive):
        load_policy(store, LAYOUT, policy.sha256)
    with pytest.raises(DamagedArchive):
        load_policy(store, LAYOUT, "0" * 64)
