"""Topics chosen by name."""

from __future__ import annotations

import pytest

from millpond.errors import WrongUsage
from millpond.kafka.selection import Selection

TOPICS = ["orders", "orders-eu", "payments", "__consumer_offsets", "__transaction_state", "a.b", "axb", "_schemas"]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([".*"], [], ["_schemas", "a.b", "axb", "orders", "orders-eu", "payments"]),
        (["orders"], [], ["orders"]),
        (["order"], [], []),
        (["payments", "orders.*"], [], ["payments", "orders", "orders-eu"]),
        (["orders.*", ".*"], [], ["orders", "orders-eu", "_schemas", "a.b", "axb", "payments"]),
        (["orders.*"], ["orders-.*"], ["orders"]),
        (["orders.*"], ["eu"], ["orders", "orders-eu"]),
        (["orders|pay.*"], [], ["orders", "payments"]),
        ([r"a\.b"], [], ["a.b"]),
        (["__.*"], [], []),
        ([".*"], [".*"], []),
        ([], [], []),
    ],
)
def test_topics_are_chosen_in_the_order_of_the_expressions(
    include: list[str], exclude: list[str], expected: list[str]
) -> None:
    assert Selection.of(include, exclude).match(TOPICS) == expected


@pytest.mark.parametrize(
    ("include", "names", "expected"),
    [
        ([], ["a.b"], ["a.b"]),
        ([], ["orders-eu", "orders"], ["orders-eu", "orders"]),
        (["ax.*"], ["a.b"], ["axb", "a.b"]),
        (["a.b"], ["a.b"], ["a.b", "axb"]),
        ([], ["__consumer_offsets", "absent", "payments"], []),
    ],
)
def test_names_are_taken_as_they_are(include: list[str], names: list[str], expected: list[str]) -> None:
    assert Selection.of(include, ["payments"], names=names).match(TOPICS) == expected


def test_each_expression_and_name_can_be_asked_alone_and_is_called_as_it_was_told() -> None:
    selection = Selection.of(["a.b"], ["axb"], names=["orders-eu"])
    assert selection.told() == "a.b, orders-eu"
    assert {told: one.match(TOPICS) for told, one in selection.each().items()} == {
        "a.b": ["a.b"],
        "orders-eu": ["orders-eu"],
    }


@pytest.mark.parametrize(("include", "exclude"), [(["["], []), (["a"], ["(?P<"])])
def test_what_is_no_expression_is_refused_with_a_hint(include: list[str], exclude: list[str]) -> None:
    with pytest.raises(WrongUsage, match="is not a regular expression") as caught:
        Selection.of(include, exclude)
    assert caught.value.hint
