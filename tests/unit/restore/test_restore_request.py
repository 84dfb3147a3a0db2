"""What a request may say, and what it is refused for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.archive.coverage import Span
from millpond.errors import WrongUsage
from millpond.restore.planning.choice import LAST_OFFSET, Choice, up_to, within
from millpond.restore.request import GroupsAsked, Repartition, parse_request
from millpond.settings.restore import RestoreSettings

NOON = 1767268800000


@pytest.mark.parametrize("request_", [{}, {"topics": []}, {"topics": ["a"], "all": True}, {"all": False}])
def test_topics_or_all_but_not_both_and_not_neither(request_: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match="not both") as caught:
        parse_request(request_)
    assert caught.value.hint


@pytest.mark.parametrize(
    "field",
    [
        {"topics": "orders"},
        {"prefix": "a/b"},
        {"prefix": "x" * 101},
        {"rename": {"a": ""}},
        {"rename": {"a": "b/c"}},
        {"rename": {"a": "b\n"}},
        {"until": -5},
        {"until": True},
        {"since": 1.5},
        {"since": "yesterday"},
        {"cut": "2026-13-01"},
        {"as_of": []},
        {"at_cut": "../x"},
        {"large_topics_last": 0},
        {"allow": ["everything"]},
        {"partitions": ["a:"]},
        {"partitions": ["3-1"]},
        {"partitions": [-1]},
        {"partitions": [True]},
        {"offsets": ["a:0"]},
        {"offsets": ["a:0:9-3"]},
        {"offsets": ["a:0:1-9999999999999999999"]},
        {"offsets": ["0:1-2"]},
        {"incarnation": ["a"]},
    ],
)
def test_a_request_with_a_wrong_field_is_wrong_usage_and_names_it(field: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match=f"{next(iter(field))}|names no partitions|is no range") as caught:
        parse_request({"topics": ["a"]} | field)
    assert caught.value.hint


@pytest.mark.parametrize("document", [None, 5, "orders", [], [1], b"x"])
def test_a_request_that_is_no_object_is_wrong_usage(document: Any) -> None:
    with pytest.raises(WrongUsage):
        parse_request(document)


@pytest.mark.parametrize(
    "fields",
    [
        {"cut": 5, "at_cut": "monday"},
        {"cut": 5, "until": 5},
        {"cut": 5, "offsets": ["a:0:1-2"]},
        {"since": 6, "until": 5},
        {"since": 6, "cut": 5},
        {"partitions": ["a:1"], "offsets": ["a:0:1-2"]},
        {"partitions": [1], "offsets": ["a:1:1-2"], "since": 2, "until": 1},
        {"groups": True, "repartition": {"by": "murmur2"}},
        {"repartition": {"by": "modulo"}},
        {"groups": {"include": ["a"], "unknown": 1}},
        {"throttle": 0},
    ],
    ids=str,
)
def test_fields_that_contradict_one_another_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(WrongUsage, match="not valid"):
        parse_request({"topics": ["a"]} | fields)


@pytest.mark.parametrize(
    "written", [NOON, str(NOON), "2026-01-01T12:00:00Z", "2026-01-01T14:00:00+02:00", "2026-01-01T12:00:00"]
)
@pytest.mark.parametrize("field", ["since", "until", "cut", "as_of"])
def test_times_are_rfc_3339_or_milliseconds(field: str, written: Any) -> None:
    assert getattr(parse_request({"all": True, field: written}), field) == NOON


WHOLE: dict[str, Any] = {
    "topics": ["orders", "pay.*"],
    "exclude_topics": ["pay-x"],
    "partitions": ["0", "orders:1-2"],
    "offsets": ["orders:1:5-9"],
    "incarnation": {"orders": "x"},
    "since": 1,
    "until": NOON,
    "at_cut": "monday",
    "as_of": NOON,
    "prefix": "p.",
    "rename": {"orders": "o2"},
    "large_topics_last": 1000,
    "allow": ["missing", "behind-cut"],
    "replication": 2,
    "source_offset_header": True,
    "allow_existing": True,
    "throttle": 1000,
    "groups": {"include": ["g.*", "h"], "exclude": ["g-x"], "at": NOON, "prefix": "q.", "overwrite": True},
    "configs": False,
    "apply_retention": True,
    "acls": True,
    "compare": "whole",
}


def test_a_request_comes_back_out_of_its_own_document() -> None:
    request = parse_request(WHOLE)
    assert parse_request(json.loads(json.dumps(request.model_dump(mode="json")))) == request


def test_flags_of_the_same_names_make_the_same_request() -> None:
    flags = ["--archive", "file:///x", "--to-brokers", "b:1", "--topics", "orders,pay.*", "--exclude-topics", "pay-x"]
    flags += ["--partitions", "0,orders:1-2", "--offsets", "orders:1:5-9", "--incarnation", "orders=x"]
    flags += ["--since", "1", "--until", "2026-01-01T12:00:00Z", "--at-cut", "monday", "--as-of", str(NOON)]
    flags += ["--prefix", "p.", "--rename", "orders=o2", "--large-topics-last", "1000"]
    flags += ["--allow", "missing,behind-cut", "--replication", "2", "--source-offset-header", "--allow-existing"]
    flags += ["--throttle", "1000", "--with-groups", "--groups", "g.*,h", "--exclude-groups", "g-x"]
    flags += ["--groups-at", str(NOON), "--group-prefix", "q.", "--overwrite-groups"]
    flags += ["--no-configs", "--apply-retention", "--acls", "--compare", "whole"]
    assert RestoreSettings.from_flags(flags).request() == parse_request(WHOLE)


def test_other_partitions_are_asked_for_in_flags_too() -> None:
    flags = ["--archive", "file:///x", "--to-brokers", "b:1", "--topics", "a", "--repartition-to", "7"]
    with pytest.raises(WrongUsage, match="--repartition"):
        RestoreSettings.from_flags(flags).request()
    asked = RestoreSettings.from_flags([*flags, "--repartition", "my.module:place"]).request()
    assert asked == parse_request({"topics": ["a"], "repartition": {"by": "my.module:place", "partitions": 7}})


def test_true_stands_for_what_the_defaults_say() -> None:
    assert parse_request({"all": True, "groups": True}).groups == GroupsAsked()
    assert parse_request({"all": True, "groups": False}).groups is None
    assert parse_request({"all": True, "repartition": True}).repartition == Repartition()


def test_a_request_of_an_earlier_version_means_what_it_meant() -> None:
    old = {"topics": ["a"], "all": False, "exclude_topics": [], "incarnation": {}, "prefix": "", "rename": {}}
    assert parse_request(old) == parse_request({"topics": ["a"]})


# -- partitions and offsets


def test_nothing_named_is_everything() -> None:
    choice = Choice.of((), ())
    assert choice.takes("a", 99) and choice.spans("a", 99) == (Span(0, LAST_OFFSET),) and choice.named() == set()


def test_numbers_alone_hold_for_topics_that_are_not_named() -> None:
    choice = Choice.of(["0", "3-4", "b:7"], ())
    assert [n for n in range(9) if choice.takes("a", n)] == [0, 3, 4]
    assert [n for n in range(9) if choice.takes("b", n)] == [7]


def test_offsets_choose_the_partitions_of_their_topic_and_of_no_other() -> None:
    choice = Choice.of((), ["a:1:5-9", "a:1:0-2", "a:3:4-"])
    assert [n for n in range(5) if choice.takes("a", n)] == [1, 3]
    assert choice.spans("a", 1) == (Span(0, 2), Span(5, 9)) and choice.spans("a", 3) == (Span(4, LAST_OFFSET),)
    assert choice.takes("b", 0)


def test_partitions_decide_where_both_are_named_and_offsets_narrow_them() -> None:
    choice = Choice.of(["a:0-2"], ["a:1:5"])
    assert [n for n in range(5) if choice.takes("a", n)] == [0, 1, 2]
    assert choice.spans("a", 1) == (Span(5, 5),) and choice.spans("a", 2) == (Span(0, LAST_OFFSET),)


def test_topics_with_dots_dashes_and_digits_are_told_from_numbers() -> None:
    choice = Choice.of(["a-1.b_2:3", "12:5"], ())
    assert choice.named() == {"a-1.b_2", "12"} and choice.takes("12", 5) and not choice.takes("12", 12)


def test_overlapping_ranges_are_one() -> None:
    assert Choice.of((), ["a:0:5-9", "a:0:8-12", "a:0:13"]).spans("a", 0) == (Span(5, 13),)


@pytest.mark.parametrize(
    ("span", "due"),
    [((0, 4), []), ((0, 5), [(5, 5)]), ((6, 25), [(6, 9), (20, 25)]), ((12, 15), []), ((9, 9), [(9, 9)])],
)
def test_what_of_a_span_is_due(span: tuple[int, int], due: list[tuple[int, int]]) -> None:
    found = within(Span(*span), [Span(5, 9), Span(20, 30)])
    assert [(part.first, part.last) for part in found] == due


def test_up_to_before_the_first_offset_is_nothing() -> None:
    assert up_to(-1, [Span(0, 9)]) == () and up_to(0, [Span(0, 9)]) == (Span(0, 0),)
