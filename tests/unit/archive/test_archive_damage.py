"""Damage wrappers: each harms a good object, and its test fails when nothing is found."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.catalog import read_partition
from millpond.archive.codecs import CODECS
from millpond.archive.container import Block, open_container, write_block, write_header
from millpond.archive.encode import encode_rows
from millpond.archive.window import open_window
from millpond.errors import DamagedArchive, MillpondError
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import ARCHIVE_ID, LAYOUT, ORDERS_3, make_rows, make_window, put_window, read_window

SYNC = b"sixteen sync one"
ROWS = make_rows(100, 30)
WINDOWS = {codec: make_window(ROWS, codec=codec, sync=SYNC) for codec in CODECS}


def header_size(codec: str) -> int:
    window = WINDOWS[codec]
    return len(write_header(CODECS[codec], window.facts.to_file_metadata(), SYNC))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def reassembled(codec: str, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The window with its framed blocks dropped, swapped or repeated."""
    data = WINDOWS[codec].data
    blocks = [write_block(block, SYNC) for block in open_container(io.BytesIO(data)).blocks()]
    assert len(blocks) == 3
    return data[: header_size(codec)] + b"".join(change(blocks))


@pytest.mark.parametrize("codec", CODECS)
def test_a_flipped_bit_in_the_blocks_is_found_or_changes_nothing(codec: str) -> None:
    """Compressed blocks have bits that mean nothing, such as padding. Without compression every bit counts."""
    data = WINDOWS[codec].data
    for at in range(header_size(codec), len(data)):
        for bit in range(8):
            try:
                found = read_window(flipped(data, at, bit))
            except MillpondError:
                continue
            assert codec != "null", (at, bit)
            assert found == (WINDOWS[codec].facts, ROWS), (at, bit)


@pytest.mark.parametrize("codec", CODECS)
def test_a_flipped_bit_in_the_header_never_changes_a_record(codec: str) -> None:
    """What it may change unseen is what the key, archive.json and the object metadata say as well."""
    window = WINDOWS[codec]
    for at in range(header_size(codec)):
        bit = at % 8
        try:
            facts, rows = read_window(flipped(window.data, at, bit))
        except MillpondError:
            continue
        assert rows == ROWS
        if facts.written != window.facts.written or facts == window.facts:
            continue
        with pytest.raises(DamagedArchive):
            facts.confirm(archive_id=ARCHIVE_ID, partition=ORDERS_3, name=window.name)


@pytest.mark.parametrize("codec", CODECS)
def test_a_file_cut_anywhere_is_found(codec: str) -> None:
    for end in range(len(WINDOWS[codec].data)):
        with pytest.raises(DamagedArchive):
            read_window(WINDOWS[codec].data[:end])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_file_cut_between_two_blocks_is_found(codec: str, kept: int) -> None:
    with pytest.raises(DamagedArchive, match="holds"):
        read_window(reassembled(codec, lambda blocks: blocks[:kept]))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("order", [(1, 2), (0, 2), (0, 1), (1, 0, 2), (0, 2, 1), (0, 0, 1, 2), (0, 1, 1), (0, 1, 2, 2)])
def test_a_block_dropped_swapped_or_repeated_is_found(codec: str, order: tuple[int, ...]) -> None:
    with pytest.raises(DamagedArchive):
        read_window(reassembled(codec, lambda blocks: [blocks[index] for index in order]))


@pytest.mark.parametrize("codec", CODECS)
def test_a_block_of_another_window_is_found(codec: str) -> None:
    other = make_window(make_rows(200, 30), codec=codec, sync=SYNC)
    foreign = write_block(next(open_container(io.BytesIO(other.data)).blocks()), SYNC)
    with pytest.raises(DamagedArchive):
        read_window(reassembled(codec, lambda blocks: [foreign, *blocks[1:]]))


@pytest.mark.parametrize("codec", CODECS)
def test_bytes_behind_the_last_block_are_found(codec: str) -> None:
    for more in (b"\0", b"\0\0", b"\0\0" + SYNC[:-1], b"\xff" * 40, WINDOWS[codec].data):
        with pytest.raises(DamagedArchive):
            read_window(WINDOWS[codec].data + more)


def test_records_counted_into_the_wrong_block_are_found() -> None:
    """The sum is right, so only who decodes the records can see it."""
    data = reassembled("null", lambda b: [bytes([b[0][0] + 2]) + b[0][1:], bytes([b[1][0] - 2]) + b[1][1:], b[2]])
    with pytest.raises(DamagedArchive):
        read_window(data)


def test_two_objects_that_were_swapped_are_found() -> None:
    store = MemoryStore()
    one, other = make_window(make_rows(0, 10)), make_window(make_rows(10, 10))
    put_window(store, one, key=LAYOUT.object(ORDERS_3, other.name))
    put_window(store, other, key=LAYOUT.object(ORDERS_3, one.name))
    for found in read_partition(store, LAYOUT, ORDERS_3).windows:
        facts = open_window(io.BytesIO(read(store, found.info.key))).facts
        with pytest.raises(DamagedArchive, match="holds another window"):
            facts.confirm(archive_id=ARCHIVE_ID, partition=ORDERS_3, name=found.name)


def test_an_object_that_was_dropped_is_a_hole() -> None:
    store = MemoryStore()
    keys = [put_window(store, make_window(make_rows(first, 10))) for first in (0, 10, 20)]
    assert read_partition(store, LAYOUT, ORDERS_3).unexplained() == []
    store.delete(keys[1])
    holes = read_partition(store, LAYOUT, ORDERS_3).unexplained()
    assert [(hole.first, hole.last) for hole in holes] == [(10, 19)]


def test_an_empty_object_and_another_file_are_found() -> None:
    for data in (b"", b"O", b"Obj\x01", b"PK\x03\x04" + b"\0" * 100, b"Obj\x02" + b"\0" * 100, b"Obj\x01\x00" + SYNC):
        with pytest.raises(DamagedArchive):
            read_window(data)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[str, bytes]:
    """Several random changes at once: bytes set, pieces cut out, doubled, inserted or moved."""
    codec = draw(st.sampled_from(sorted(CODECS)))
    data = bytearray(WINDOWS[codec].data)
    for _ in range(draw(st.integers(1, 4))):
        at, to = draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["set", "cut", "insert", "double"]))
        if kind == "set" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=12))
        else:
            data[to:to] = data[at : at + 40]
    return codec, bytes(data)


@settings(max_examples=300)
@given(mutations())
def test_a_mutated_object_gives_the_same_records_or_an_error_of_ours(mutated: tuple[str, bytes]) -> None:
    _codec, data = mutated
    try:
        _, rows = read_window(data)
    except MillpondError:
        return
    assert rows == ROWS


@pytest.mark.parametrize("codec", CODECS)
def test_noise_in_place_of_a_block_is_an_error_of_ours(codec: str) -> None:
    noise = random.Random(7)
    for size in [*range(20), 100, 1000] * 10:
        framed = write_block(Block(10, noise.randbytes(size)), SYNC)
        with pytest.raises(DamagedArchive):
            read_window(reassembled(codec, lambda blocks: [framed, *blocks[1:]]))  # noqa: B023


@pytest.mark.parametrize("codec", CODECS)
def test_other_records_that_were_compressed_well_are_found(codec: str) -> None:
    rows = [(offset, stamp, key, b"forged", headers) for offset, stamp, key, _, headers in ROWS[:10]]
    forged = write_block(Block(10, CODECS[codec].compress(encode_rows(rows))), SYNC)
    with pytest.raises(DamagedArchive):
        read_window(reassembled(codec, lambda blocks: [forged, *blocks[1:]]))


def test_a_run_of_continuation_bytes_between_blocks_does_not_keep_the_reader_busy() -> None:
    started = time.process_time()
    with pytest.raises(DamagedArchive):
        read_window(reassembled("null", lambda blocks: [blocks[0], b"\xff" * (8 << 20)]))
    assert time.process_time() - started < 1


def test_a_block_that_claims_terabytes_is_damage() -> None:
    """A zstandard frame names the memory that its reader needs."""
    for needed in (1 << 40, 1 << 62):
        with pytest.raises(DamagedArchive):
            CODECS["zstandard"].decompress(bytes.fromhex("28b52ffde0") + needed.to_bytes(8, "little") + b"\1\0\0")
