from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.storage.folder_names import LONGEST, is_shortened, name_of, part_of

parts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("orders", "orders"),
        ("Orders", "!orders"),
        ("orders-0-0001-0002-e-1-t1-2.avro", "orders-0-0001-0002-e-1-t1-2.avro"),
        ("J5kQ2vX8Rk6m3yWzB1cD0A", "+279910daf5fc464ea6df25b3075703d0"),
        ("customer-orders-eventg", "customer-orders-eventg"),  # looks like an id, and needs no mapping
        ("J5kQ2vX8Rk6m3yWzB1cD0B", "!j5k!q2v!x8!rk6m3y!wz!b1c!d0!b"),  # no 16 bytes
        (".a", "%2ea"),
        ("a+b", "a%2bb"),
        ("ü", "%c3%bc"),
    ],
)
def test_names_on_disk(part: str, name: str) -> None:
    assert name_of(part) == name
    assert part_of(name) == part


@given(parts)
def test_every_name_is_short_plain_and_leads_back(part: str) -> None:
    name = name_of(part)
    assert len(name) <= LONGEST
    assert name.isascii() and name == name.lower() and not name.startswith(".")
    if not is_shortened(name):
        assert part_of(name) == part


@given(st.text("aAbB", min_size=201, max_size=400), st.text("aAbB", min_size=201, max_size=400))
def test_long_parts_keep_apart(one: str, other: str) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)


@pytest.mark.parametrize("name", ["README.TXT", "a b", "%zz", "%c3", "+abc", "!1", "%41", "ü", "\udcff"])
def test_foreign_names_are_recognised(name: str) -> None:
    assert part_of(name) is None
