from __future__ import annotations

import pytest
from hypothesis import given

from millpond.records import Header, Row
from millpond.restore.writing.source_offset import NAME, with_source_offsets, without_source_offset
from tests.unit.archive.strategies import SMALL_ROWS

ROW: Row = (1041, 5, b"k", None, ((b"trace", b"1"),))


def test_the_offset_is_the_last_header_in_decimal_digits() -> None:
    (written,) = with_source_offsets([ROW])
    assert written == (1041, 5, b"k", None, ((b"trace", b"1"), (b"restore.source-offset", b"1041")))


@given(SMALL_ROWS)
def test_a_record_is_the_archived_one_again_without_it_whatever_headers_it_had(rows: list[Row]) -> None:
    once = with_source_offsets(rows)
    assert [without_source_offset(row) for row in once] == rows
    assert [without_source_offset(row) for row in with_source_offsets(once)] == once


@pytest.mark.parametrize(
    "headers",
    [(), ((b"trace", b"1"),), ((NAME, b"1040"),), ((NAME, None),), ((NAME, b"1041"), (b"trace", b"1"))],
)
def test_a_record_that_does_not_tell_its_offset_last_is_none_of_ours(
    headers: tuple[Header, ...],
) -> None:
    assert without_source_offset((*ROW[:4], headers)) is None
