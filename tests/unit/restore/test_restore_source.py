"""Records out of windows: whole, cut, united; and everything that must not get through."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.catalog import read_partition
from millpond.archive.codecs import codec_named
from millpond.archive.container import SYNC_BYTES, write_header
from millpond.archive.digest import digest_of
from millpond.archive.encode import encode_rows
from millpond.archive.facts import Redaction
from millpond.archive.schema import TimestampType
from millpond.errors import DamagedArchive, MillpondError
from millpond.records import Row
from millpond.restore.writing.source import Part, PartReader, Source, parts_of
from millpond.storage.contract import Changed, NoSuchObject, read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, ORDERS_3, a_partition, make_rows, make_window, put_rows, put_window

REDACTED = (Redaction("s1", 1, 0, 0, 1000),)


def a_line(store: MemoryStore) -> dict[str, Any]:
    """What the planner would write for the partition that is in the store."""
    objects = [
        {
            "key": live.window.info.key,
            "version": live.window.info.version,
            "etag": live.window.info.etag,
            "first": live.span.first,
            "last": live.span.last,
        }
        for live in read_partition(store, LAYOUT, ORDERS_3).live()
    ]
    return {"objects": objects}


def part_of(store: MemoryStore) -> Part:
    (part,) = parts_of(a_line(store))
    return part


@dataclass
class Read:
    """What came of one part."""

    rows: list[Row]
    reader: PartReader


def read_parts(store: MemoryStore, line: dict[str, Any] | None = None, *, archive_id: str = ARCHIVE_ID) -> list[Read]:
    source, found = Source(store, LAYOUT, archive_id), []
    for part in parts_of(line or a_line(store)):
        with ExitStack() as stack:
            reader = source.open(part, stack)
            found.append(Read([row for batch in reader.batches() for row in batch], reader))
    return found


def read_rows(store: MemoryStore, line: dict[str, Any] | None = None, **more: Any) -> list[Row]:
    return [row for part in read_parts(store, line, **more) for row in part.rows]


def overwrite(store: MemoryStore, key: str, content: bytes) -> None:
    head = store.head(key)
    assert head is not None
    store.put_if_match(key, content, head.etag)


# -- what comes out


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "null"])
def test_windows_come_out_whole_in_order_and_with_the_digests_they_state(codec: str) -> None:
    store, rows = MemoryStore(), make_rows(5, 300)
    stated = []
    for start in (0, 100, 200):
        window = make_window(rows[start : start + 100], codec=codec, first=start + 5 if start else 0)
        put_window(store, window)
        stated.append(window.facts.digest)
    parts = read_parts(store)
    assert [row for part in parts for row in part.rows] == rows
    assert [part.reader.digest for part in parts] == stated


def test_a_cut_window_gives_what_counts_and_states_no_digest() -> None:
    store, rows = MemoryStore(), make_rows(0, 50)
    put_rows(store, rows, epoch=1)
    put_rows(store, [(33, 5, b"new", None, ())], epoch=2)
    cut, new = read_parts(store)
    assert cut.rows == rows[:33] and new.rows == [(33, 5, b"new", None, ())]
    assert (cut.reader.digest, bool(new.reader.digest)) == ("", True)


def test_coverage_wider_than_the_records_is_still_a_whole_window() -> None:
    store, rows = MemoryStore(), make_rows(10, 5)
    put_rows(store, rows, first=0, last=99)
    (part,) = read_parts(store)
    assert part.rows == rows and part.reader.digest


def test_a_window_that_a_redaction_left_empty_gives_nothing() -> None:
    store = MemoryStore()
    put_rows(store, [], first=0, last=9, redactions=REDACTED)
    (part,) = read_parts(store)
    assert part.rows == []


stamps = st.integers(-1, 5)
fields = st.tuples(stamps, st.none() | st.binary(max_size=2), st.none() | st.binary(max_size=2))


@st.composite
def overlapping_windows(draw: st.DrawFn) -> tuple[list[Row], list[tuple[int, int, list[Row]]]]:
    """The records that ever were, and windows of one branch, each with those that were left when it was read."""
    offsets = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=25)))
    ever = [(offset, *draw(fields), ()) for offset in offsets]
    windows = []
    for _ in range(draw(st.integers(1, 5))):
        first = draw(st.integers(0, 40))
        last = draw(st.integers(first, 40))
        seen = [row for row in ever if first <= row[0] <= last and draw(st.integers(0, 3))]
        if seen:
            windows.append((first, last, seen))
    return ever, windows


@given(overlapping_windows(), st.sampled_from(["zstandard", "null"]))
def test_overlapping_windows_are_united_by_offset(
    made: tuple[list[Row], list[tuple[int, int, list[Row]]]], codec: str
) -> None:
    _, windows = made
    store, oracle = MemoryStore(), {}
    for first, last, rows in windows:
        window = make_window(rows, first=first, last=last, codec=codec, block_records=3)
        key = LAYOUT.object(ORDERS_3, window.name)
        put_window(store, window, twin=store.head(key) is not None)
        oracle |= {row[0]: row for row in rows}
    assert read_rows(store) == [oracle[offset] for offset in sorted(oracle)]


@given(st.data())
def test_branches_and_overlaps_together_give_what_an_oracle_gives(data: st.DataObject) -> None:
    """Every epoch wrote its own records; a higher one discards what a lower one had from its first offset on."""
    store, held = MemoryStore(), []
    for epoch in data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)):
        first = data.draw(st.integers(0, 30))
        rows = [(o, epoch, b"%d" % epoch, b"%d" % o, ()) for o in range(first, data.draw(st.integers(first, 35)) + 1)]
        window = make_window(rows, epoch=epoch, block_records=4)
        if store.head(LAYOUT.object(ORDERS_3, window.name)) is None:
            put_window(store, window)
        held.append((epoch, rows))
    starts = {epoch: min(rows[0][0] for other, rows in held if other == epoch) for epoch, _ in held}
    oracle = {
        row[0]: row
        for epoch, rows in held
        for row in rows
        if all(row[0] < start for other, start in starts.items() if other > epoch)
    }
    assert read_rows(store) == [oracle[offset] for offset in sorted(oracle)]


def test_the_digest_of_a_united_part_is_that_of_what_comes_out() -> None:
    store, rows = MemoryStore(), make_rows(0, 30)
    put_rows(store, rows[:20])
    put_rows(store, rows[10:])
    (part,) = read_parts(store)
    assert part.rows == rows and part.reader.digest == ""
    assert digest_of([encode_rows(rows)], salt=part.reader.salt, timestamp_type=part.reader.timestamp_type)


# -- two truths


def two_windows(second: Row, first_more: dict[str, Any], second_more: dict[str, Any]) -> MemoryStore:
    store = MemoryStore()
    put_rows(store, [(0, 1, b"k", b"v", ()), (1, 2, b"k", b"v", ())], last=1, **first_more)
    put_rows(store, [second, (2, 2, b"k", b"v", ())], first=1, last=2, **second_more)
    return store


@pytest.mark.parametrize(
    "other",
    [
        (1, 3, b"k", b"v", ()),
        (1, 2, b"", b"v", ()),
        (1, 2, None, b"v", ()),
        (1, 2, b"k", None, ()),
        (1, 2, b"k", b"", ()),
        (1, 2, b"k", b"v", ((b"h", None),)),
    ],
)
def test_unequal_records_at_one_offset_are_damage_and_both_objects_are_named(other: Row) -> None:
    with pytest.raises(DamagedArchive, match="different records at offset 1") as caught:
        read_rows(two_windows(other, {}, {}))
    assert str(caught.value).count(".avro") == 2 and caught.value.hint


def test_headers_in_another_order_are_another_record() -> None:
    store = MemoryStore()
    put_rows(store, [(0, 1, None, None, ((b"a", b""), (b"a", None))), (1, 1, None, None, ())])
    put_rows(store, [(0, 1, None, None, ((b"a", None), (b"a", b"")))])
    with pytest.raises(DamagedArchive, match="offset 0"):
        read_rows(store)


def test_equal_records_of_different_timestamp_types_are_two_truths() -> None:
    appended = {"timestamp_type": TimestampType.LOG_APPEND_TIME}
    with pytest.raises(DamagedArchive, match="offset 1"):
        read_rows(two_windows((1, 2, b"k", b"v", ()), {}, appended))


MASKED: Row = (1, 2, b"k", b"****", ())


def test_the_redacted_record_wins_whichever_window_comes_first() -> None:
    plain: Row = (1, 2, b"k", b"v", ())
    late = two_windows(MASKED, {}, {"redactions": REDACTED})
    assert read_rows(late)[1] == MASKED
    early = MemoryStore()
    put_rows(early, [(0, 1, b"k", b"v", ()), MASKED], redactions=REDACTED)
    put_rows(early, [plain, (2, 2, b"k", b"v", ())])
    assert read_rows(early)[1] == MASKED


def test_of_two_redacted_records_that_of_the_later_redaction_wins() -> None:
    newer = (*REDACTED, Redaction("s2", 0, 0, 1, 3000))
    older = (Redaction("s0", 0, 0, 1, 2000),)
    for first, second, won in ((older, newer, MASKED), (newer, older, (1, 2, b"k", b"v", ()))):
        assert read_rows(two_windows(MASKED, {"redactions": first}, {"redactions": second}))[1] == won


@pytest.mark.parametrize("twin_first", [True, False])
def test_of_two_redacted_at_once_the_first_key_wins(twin_first: bool) -> None:
    """`-d` sorts before `.`: the twin's key is the first one, although a plain name is the smaller value."""
    store = MemoryStore()
    plain = make_window([(1, 2, b"k", b"v", ())], redactions=REDACTED)
    twin = make_window([MASKED], redactions=REDACTED)
    for window in (twin, plain) if twin_first else (plain, twin):
        put_window(store, window, twin=window is twin)
    assert read_rows(store) == [MASKED]


def test_a_record_that_a_redaction_dropped_from_one_window_comes_from_the_other() -> None:
    store = MemoryStore()
    put_rows(store, [(0, 1, None, b"a", ())], last=1, redactions=REDACTED)
    put_rows(store, [(1, 2, None, b"b", ())], first=1, last=1)
    assert [row[0] for row in read_rows(store)] == [0, 1]


# -- damage


@pytest.mark.parametrize("codec", ["zstandard", "deflate", "null"])
def test_no_bit_of_an_object_may_flip(codec: str) -> None:
    """What is read is right or refused, and the refusal names the object. Bits of no meaning are the exception."""
    store, rows = MemoryStore(), make_rows(0, 12)
    key = put_rows(store, rows, codec=codec, block_records=4)
    line, good = a_line(store), read(store, key)
    chance = random.Random(codec)
    refused = 0
    for bit in [*range(0, 8 * 300, 7), *(chance.randrange(8 * len(good)) for _ in range(1500))]:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        overwrite(store, key, bytes(bad))
        line["objects"][0]["etag"] = ""
        came = rows_or_refusal(store, line)
        assert came == rows or key.rsplit("/", 1)[1] in str(came), f"bit {bit}: {came}"
        refused += isinstance(came, MillpondError)
    assert refused > 1000


def rows_or_refusal(store: MemoryStore, line: dict[str, Any]) -> list[Row] | MillpondError:
    try:
        return read_rows(store, line)
    except MillpondError as error:
        return error


@pytest.mark.parametrize("codec", ["zstandard", "null"])
def test_an_object_cut_anywhere_is_damage_and_named(codec: str) -> None:
    store, rows = MemoryStore(), make_rows(0, 30)
    key = put_rows(store, rows, codec=codec)
    good, line = read(store, key), a_line(store)
    line["objects"][0]["etag"] = ""
    for size in range(0, len(good), 13):
        overwrite(store, key, good[:size])
        with pytest.raises(DamagedArchive, match=r"orders-3-.* is damaged"):
            read_rows(store, line)


@pytest.mark.parametrize("codec", ["deflate", "null"])
def test_what_has_no_checksum_is_checked_before_a_record_is_handed_on(codec: str) -> None:
    """Records cannot be taken back from Kafka."""
    store, rows = MemoryStore(), random_rows(30)
    key = put_rows(store, rows, codec=codec, block_records=5)
    content = bytearray(read(store, key))
    content[-200] ^= 1
    overwrite(store, key, bytes(content))
    with ExitStack() as stack, pytest.raises(DamagedArchive):
        Source(store, LAYOUT, ARCHIVE_ID).open(part_of(store), stack)


def random_rows(count: int) -> list[Row]:
    chance = random.Random(1)
    return [(n, n, None, chance.randbytes(300), ()) for n in range(count)]


def test_with_checksums_no_record_of_a_damaged_block_is_handed_on() -> None:
    store, rows = MemoryStore(), random_rows(40)
    key = put_rows(store, rows, block_records=10)
    good, handed = read(store, key), []
    for place in range(len(good) - 40 * 300, len(good), 97):
        content = bytearray(good)
        content[place] ^= 4
        overwrite(store, key, bytes(content))
        got: list[Row] = []
        with ExitStack() as stack, pytest.raises(DamagedArchive):
            got.extend(chain.from_iterable(Source(store, LAYOUT, ARCHIVE_ID).open(part_of(store), stack).batches()))
        assert got == rows[: len(got)]
        handed.append(len(got))
    assert {0, 10} <= set(handed)


def test_objects_that_were_swapped_are_damage() -> None:
    store = MemoryStore()
    one, two = put_rows(store, make_rows(0, 10)), put_rows(store, make_rows(10, 10))
    contents = read(store, one), read(store, two)
    overwrite(store, one, contents[1])
    overwrite(store, two, contents[0])
    with pytest.raises(DamagedArchive, match="holds another window"):
        read_rows(store)


@pytest.mark.parametrize(
    "other",
    [
        {"archive_id": "0000000000000000"},
        {"partition": a_partition("orders", 2)},
        {"partition": a_partition("other", 3)},
        {"partition": a_partition("orders", 3, "5tq0mB2pQkC8hG4cJrWnZA")},
        {"epoch": 8},
        {"last": 11},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_window_of_elsewhere_under_this_name_is_damage(other: dict[str, Any]) -> None:
    store, rows = MemoryStore(), make_rows(0, 10)
    key = put_rows(store, rows)
    overwrite(store, key, make_window(rows, **other).data)
    with pytest.raises(DamagedArchive, match="holds another window"):
        read_rows(store)


def test_the_archive_is_the_one_that_was_planned() -> None:
    store = MemoryStore()
    put_rows(store, make_rows(0, 10))
    with pytest.raises(DamagedArchive, match="holds another window"):
        read_rows(store, archive_id="1111111111111111")


A, B, C = (make_rows(0, 9)[i] for i in (2, 4, 6))


@pytest.mark.parametrize(
    "rows",
    [[A, C, B], [A, A, B], [C, B, A], [A, (99, *B[1:])], [(0, *A[1:]), B]],
    ids=["order", "twice", "falling", "behind", "before"],
)
def test_offsets_that_do_not_rise_within_the_coverage_are_damage(rows: list[Row]) -> None:
    store = MemoryStore()
    key = put_window(store, make_window(rows, first=1, last=8, block_records=2))
    with pytest.raises(DamagedArchive, match="do not rise within") as caught:
        read_rows(store)
    assert key in str(caught.value)


@pytest.mark.parametrize("stamp", [4, 21, -1], ids=str)
@pytest.mark.parametrize("redactions", [(), REDACTED], ids=["fresh", "redacted"])
def test_a_timestamp_outside_the_bounds_is_damage(stamp: int, redactions: tuple[Redaction, ...]) -> None:
    store = MemoryStore()
    with pytest.raises(DamagedArchive, match="timestamp"):
        read_rows(with_bounds(store, [5, stamp, 20], 5, 20, redactions))


def test_bounds_that_no_record_has_are_damage_unless_a_redaction_took_it() -> None:
    for stamps in ([6, 20], [5, 19], [7, 7]):
        with pytest.raises(DamagedArchive, match="timestamp"):
            read_rows(with_bounds(MemoryStore(), stamps, 5, 20, ()))
        assert len(read_rows(with_bounds(MemoryStore(), stamps, 5, 20, REDACTED))) == 2
    assert len(read_rows(with_bounds(MemoryStore(), [5, 20], 5, 20, ()))) == 2


def with_bounds(
    store: MemoryStore, stamps: Iterable[int], oldest: int, newest: int, redactions: tuple[Redaction, ...]
) -> MemoryStore:
    """A window whose header and name state these bounds."""
    rows: list[Row] = [(n, stamp, None, b"", ()) for n, stamp in enumerate(stamps)]
    made = make_window(rows, redactions=redactions, codec="null")
    facts = replace(made.facts, min_timestamp=oldest, max_timestamp=newest)
    data = rewritten(made.data, made.facts.to_file_metadata(), facts.to_file_metadata())
    store.put_if_absent(LAYOUT.object(ORDERS_3, facts.name), data)
    return store


def rewritten(data: bytes, old: dict[str, bytes], new: dict[str, bytes]) -> bytes:
    sync = data[-SYNC_BYTES:]
    head = write_header(codec_named("null"), old, sync)
    assert data.startswith(head)
    return write_header(codec_named("null"), new, sync) + data[len(head) :]


# -- replaced since it was planned


def by_redaction(store: MemoryStore, key: str) -> None:
    overwrite(store, key, make_window(make_rows(0, 8), last=9, redactions=REDACTED).data)


def by_deletion(store: MemoryStore, key: str) -> None:
    for version in list(store.list_versions(key)):
        store.delete_version(key, version.info.version)


def by_a_delete_marker(store: MemoryStore, key: str) -> None:
    store.delete(key)


@pytest.mark.parametrize("how", [by_redaction, by_deletion, by_a_delete_marker])
def test_an_object_that_was_replaced_since_the_plan_is_never_read(
    how: Callable[[MemoryStore, str], None],
) -> None:
    store = MemoryStore()
    key = put_rows(store, make_rows(0, 10))
    line = a_line(store)
    how(store, key)
    with pytest.raises((Changed, NoSuchObject), match="since the restore was planned") as caught:
        read_rows(store, line)
    assert key in str(caught.value) and caught.value.hint


def test_the_same_content_put_back_is_read() -> None:
    store, rows = MemoryStore(), make_rows(0, 10)
    key = put_rows(store, rows)
    line, good = a_line(store), read(store, key)
    overwrite(store, key, b"garbage")
    with pytest.raises(Changed):
        read_rows(store, line)
    overwrite(store, key, good)
    assert read_rows(store, line) == rows


def test_a_pinned_version_is_read_whatever_lies_on_top_of_it() -> None:
    store, rows = MemoryStore(), make_rows(0, 10)
    key = put_rows(store, rows)
    line, head = a_line(store), store.head(key)
    assert head is not None
    line["objects"][0]["version"] = head.version
    overwrite(store, key, b"garbage")
    assert read_rows(store, line) == rows


def test_a_plan_that_names_no_window_is_damage() -> None:
    store = MemoryStore()
    key = LAYOUT.run("restore", "r", "x.avro")
    store.put_if_absent(key, make_window(make_rows(0, 2)).data)
    line = {"objects": [{"key": key, "version": "", "etag": "", "first": 0, "last": 1}]}
    with pytest.raises(DamagedArchive, match="no window"):
        read_rows(store, json.loads(json.dumps(line)))
