from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.erasure import match
from millpond.erasure.match import Matcher
from millpond.erasure.places import Outcome, reader_of
from millpond.erasure.policy import Place
from millpond.erasure.secret import keyed_hash
from tests.unit.erasure.archive_builder import row

MATCH, NO_MATCH, ABSENT, UNDECODABLE = Outcome.MATCH, Outcome.NO_MATCH, Outcome.ABSENT, Outcome.UNDECODABLE
KEYS = {"customer_id": b"k" * 32, "email": b"m" * 32}


def place(at: str = "key", path: str | None = None, **more: Any) -> Place:
    return Place(**{"type": "customer_id", "at": at, "format": "json" if path else "utf8", "path": path, **more})


def outcome(of: Place, content: bytes | None, wanted: str = "42") -> Outcome:
    return reader_of(of, lambda identifier: identifier == wanted.encode())(content)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"42", MATCH),
        (b"", NO_MATCH),
        (b"42 ", NO_MATCH),
        (b"042", NO_MATCH),
        (b'"42"', NO_MATCH),
        (None, ABSENT),
        (b"42\xff", UNDECODABLE),
        (b"\xed\xa0\x80", UNDECODABLE),
    ],
)
def test_a_utf8_key_is_compared_as_it_is(key: bytes | None, expected: Outcome) -> None:
    assert outcome(place(), key) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{"customer":{"id":"42"}}', MATCH),
        ('{"customer":{"id":42}}', MATCH),
        ('{"customer":{"id":42.0}}', NO_MATCH),
        ('{"customer":{"id":"042"}}', NO_MATCH),
        ('{"customer":{"id":4.2e1}}', NO_MATCH),
        ('{"customer":{"id":-42}}', NO_MATCH),
        ('{"customer":{"id":"\\u0034\\u0032"}}', MATCH),
        ('{"customer":{"\\u0069d":42}}', MATCH),
        ('{"customer":{"id":null}}', ABSENT),
        ('{"customer":{"id":true}}', UNDECODABLE),
        ('{"customer":{"id":{}}}', UNDECODABLE),
        ('{"customer":{"id":NaN}}', UNDECODABLE),
        ('{"customer":"42"}', UNDECODABLE),
        ('{"customer":42}', UNDECODABLE),
        ('{"customer":null}', ABSENT),
        ('{"customer":{}}', ABSENT),
        ("{}", ABSENT),
        ("[]", ABSENT),
        ("null", ABSENT),
        ('"42"', UNDECODABLE),
        ("", UNDECODABLE),
        ("{", UNDECODABLE),
        ('{"customer":{"id":42}} more', UNDECODABLE),
        ('\ufeff{"customer":{"id":42}}', UNDECODABLE),
        ("[" * 100_000, UNDECODABLE),
        ('{"score":NaN,"note":"a\tb","customer":{"id":42}}', MATCH),
        ('{"customer":[{"id":1},{"id":[7,42]}]}', MATCH),
        ('[{"customer":{"id":1}},{"customer":{"id":42}}]', MATCH),
        ('{"customer":[{"id":1},{"id":2}]}', NO_MATCH),
        ('{"customer":[{"id":1},{}]}', ABSENT),
        ('{"customer":[{"id":1},{"id":{}},{}]}', UNDECODABLE),
        ('{"customer":[{"id":{}},{"id":42}]}', MATCH),
        ('{"customer":[]}', ABSENT),
        ('{"customer":{"id":42,"id":1}}', MATCH),
        ('{"customer":{"id":1,"id":42}}', MATCH),
        ('{"customer":{"id":42},"customer":{"id":1}}', MATCH),
        ('{"customer":{"id":42,"\\u0069d":1}}', MATCH),
        ('{"customer":{"id":"\\ud834"}}', NO_MATCH),
        ('{"id":42}', ABSENT),
    ],
)
def test_a_json_field_has_one_of_four_outcomes(value: str, expected: Outcome) -> None:
    assert outcome(place("value", "customer.id"), value.encode()) is expected
    assert outcome(place("key", "customer.id"), value.encode()) is expected


@pytest.mark.parametrize(("value", "expected"), [(None, ABSENT), (b'{"customer":{"id":42,"x":"\xff"}}', UNDECODABLE)])
def test_bytes_that_are_no_text_are_no_json(value: bytes | None, expected: Outcome) -> None:
    assert outcome(place("value", "customer.id"), value) is expected


@pytest.mark.parametrize("digits", [1, 30, 5000])
def test_numbers_of_any_size_match_by_their_text(digits: int) -> None:
    number = "9" * digits
    assert outcome(place("value", "n"), f'{{"n":{number}}}'.encode(), number) is MATCH


@given(st.text(min_size=1))
def test_any_text_is_found_in_whatever_way_json_writes_it(text: str) -> None:
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        return
    for ascii_only in (False, True):
        value = json.dumps({"id": text, "other": [1, {"id": 2}]}, ensure_ascii=ascii_only).encode()
        assert outcome(place("value", "id"), value, text) is MATCH


def matcher(*places: Place, **wanted: str) -> Matcher:
    return Matcher(places, {kind: [keyed_hash(KEYS[kind], value.encode())] for kind, value in wanted.items()}, KEYS)


def test_counts_are_of_records_and_of_places() -> None:
    both = matcher(place(), place("value", "id", required=False), customer_id="42")
    rows = [
        row(0, b"42", b'{"id":42}'),
        row(1, b"42", b"broken"),
        row(2, b"7", b'{"id":42}'),
        row(3, b"7", b'{"id":1}'),
        row(4, b"7", b"{}"),
        row(5, None, b'{"id":1}'),
        row(6, None, b"broken"),
        row(7, b"\xff", None),
    ]
    tally = both.tally()
    assert both.kept(rows, tally) == rows[3:]
    assert (tally.records, tally.dropped, tally.undecodable, tally.absent) == (8, 3, 3, 1)
    key, value = tally.places
    assert (key.matched, key.absent, key.undecodable) == (2, 2, 1)
    assert (value.matched, value.absent, value.undecodable) == (2, 2, 1)


def test_identifiers_of_one_type_do_not_match_places_of_another() -> None:
    mail = matcher(place(type="email"), customer_id="42", email="a@b")
    rows = [row(0, b"42"), row(1, b"a@b")]
    assert mail.kept(rows, mail.tally()) == rows[:1]


def test_a_list_without_hits_comes_back_as_the_same_list() -> None:
    found = matcher(place(), customer_id="42")
    rows = [row(0, b"a"), row(1, None)]
    assert found.kept(rows, found.tally()) is rows
    assert found.kept([], found.tally()) == []


def test_an_identifier_is_hashed_once_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    monkeypatch.setattr(match, "REMEMBERED", 3)
    monkeypatch.setattr(match, "keyed_hash", lambda _, identifier: hashed.append(identifier) or "")
    found = Matcher([place()], {"customer_id": []}, KEYS)
    for key in (b"a", b"b", b"a", b"c", b"d", b"a"):
        found.kept([row(0, key)], found.tally())
    assert hashed == [b"a", b"b", b"c", b"d", b"a"]


def test_what_is_remembered_stays_bounded_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match, "REMEMBERED", 3)
    found = matcher(place(), customer_id="42")
    rows = [row(n, b"%d" % (n % 50)) for n in range(200)] + [row(200, b"42" * 400)]
    assert [r[0] for r in rows if r not in found.kept(rows, found.tally())] == [42, 92, 142, 192]
