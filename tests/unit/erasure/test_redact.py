from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.codecs import CODECS, Codec
from millpond.archive.container import open_container
from millpond.archive.facts import has_redactions
from millpond.erasure.run import redact_unit
from millpond.errors import MillpondError, WrongUsage
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import (
    KEY_PLACE,
    NOW,
    RUN,
    VALUE_PLACE,
    Pond,
    partition,
    request,
    row,
    searched,
    without,
)
from tests.unit.erasure.fault_stores import Counting, Meddled

KEYS = [b"anna", b"ben", b"carl", b"", None]


@pytest.fixture
def pond() -> Pond:
    return Pond(MemoryStore())


def records(*keys: bytes | None, first: int = 0) -> list:
    return [row(first + number, key) for number, key in enumerate(keys)]


@st.composite
def windows(draw: st.DrawFn) -> list[list]:
    """Windows of one partition that follow one another, with holes between their records."""
    found, offset = [], 0
    for _ in range(draw(st.integers(1, 4))):
        rows = []
        for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=12)):
            rows.append(row(offset, key, draw(st.sampled_from([None, b"", b"{}", b"\xff\x00"]))))
            offset += draw(st.integers(1, 3))
        found.append(rows)
    return found


@given(
    windows(),
    st.sets(st.sampled_from(["anna", "ben", "nobody"]), min_size=1),
    st.sampled_from(["zstandard", "deflate", "null"]),
    st.integers(1, 5),
)
def test_exactly_the_matching_records_are_gone_from_every_version(
    content: list[list], subjects: set[str], codec: str, block: int
) -> None:
    pond = Pond(MemoryStore())
    keys = [pond.write(rows, codec=codec, block=block) for rows in content]
    before = [pond.read(key) for key in keys]
    etags = [pond.versions(key)[0].etag for key in keys]
    receipt = pond.run(request(*subjects))
    gone = {subject.encode() for subject in subjects}
    for key, rows, (facts, blocks), etag in zip(keys, content, before, etags, strict=True):
        stay = without(rows, gone)
        (only,) = pond.versions(key)
        after, after_blocks = pond.read(key, only.version)
        assert pond.rows(key) == stay
        assert (only.etag == etag) == (stay == rows), "an object without matches is not touched"
        assert replace(after, count=0, size_bytes=0, salt="", digest="", redactions=()) == replace(
            facts, count=0, size_bytes=0, salt="", digest="", redactions=()
        )
        untouched = [b.block for b in blocks if all(r[2] not in gone for r in b.rows())]
        changed = [b for b in blocks if any(r[2] not in gone for r in b.rows())]
        assert [b.block for b in after_blocks if b.block in untouched] == untouched
        assert len(after_blocks) == len(changed), "an emptied block is left out, no other is"
    assert receipt["objects"]["dropped"] == sum(r[2] in gone for rows in content for r in rows)
    assert receipt["objects"]["records_in"] == sum(map(len, content))


def test_a_rewritten_window_says_what_was_done_and_under_a_new_salt(pond: Pond) -> None:
    key = pond.write(records(b"anna", b"ben", b"anna"))
    before, _ = pond.read(key)
    pond.run(request("anna"))
    after, _ = pond.read(key)
    (entry,) = after.redactions
    assert (entry.sweep, entry.dropped, entry.tombstoned, entry.masked, entry.at) == (RUN, 2, 0, 0, NOW)
    assert (after.count, after.written, after.name) == (1, before.written, before.name)
    assert after.salt != before.salt
    assert after.digest != before.digest
    info = pond.store.head(key)
    assert info is not None
    assert has_redactions(info.metadata)
    assert info.metadata == after.to_object_metadata()


def test_any_avro_reader_reads_what_is_left(pond: Pond) -> None:
    key = pond.write(records(b"anna", b"ben", b"anna", None), block=2)
    pond.run(request("anna", topics={"orders": searched({**KEY_PLACE, "required": False})}))
    found = list(fastavro.reader(pond.store.open(key)))
    assert [(record["offset"], record["key"], record["value"]) for record in found] == [
        (1, b"ben", b"{}"),
        (3, None, b"{}"),
    ]


def test_a_disk_that_fails_is_a_failure_of_the_line(tmp_path: Path) -> None:
    store = Meddled()
    pond = Pond(store)
    pond.write(records(b"anna"))
    pond.plan(request("anna"))
    spool = tmp_path / "spool"
    spool.mkdir()
    store.before["put_if_absent"] = lambda key: spool.rmdir() if "/scans/" in key else None
    what = {"run_id": RUN, "unit": 0, "units": 1, "spool": spool, "now_ms": lambda: NOW}
    assert redact_unit(store, pond.layout, pond.secret, **what) == 1
    with pytest.raises(MillpondError, match=r"cannot spool to .*/spool: No such file"):
        pond.reconcile()
    with pytest.raises(WrongUsage, match="spool"):
        redact_unit(store, pond.layout, pond.secret, **what)
    store.before.clear()
    assert pond.redact() == 0
    assert pond.reconcile()["status"] == "COMPLETE"


def test_the_sync_marker_and_codec_stay(pond: Pond) -> None:
    key = pond.write(records(b"anna", b"ben"), codec="deflate")
    with pond.store.open(key) as stream:
        before = open_container(stream)
    pond.run(request("anna"))
    with pond.store.open(key) as stream:
        after = open_container(stream)
    assert (after.sync, after.codec) == (before.sync, before.codec)


def test_an_untouched_block_is_copied_and_not_compressed_again(pond: Pond) -> None:
    """Another version, level or library would give other bytes."""
    stored = Codec("deflate", lambda data: _deflated(data, 0), CODECS["deflate"].decompress)
    ben = [row(n, b"ben", b"abcabd" * 50) for n in range(4)]
    key = pond.write([*ben, row(4, b"anna")], codec=stored, block=4)
    (_, before) = pond.read(key)
    pond.run(request("anna"))
    assert [block.block for block in pond.read(key)[1]] == [before[0].block]
    assert before[0].block.stored != CODECS["deflate"].compress(before[0].encoded)


def _deflated(data: bytes, level: int) -> bytes:
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_a_window_that_loses_all_its_records_stays_and_covers_the_same(pond: Pond) -> None:
    key = pond.write(records(b"anna", b"anna"), first=0, last=7)
    pond.run(request("anna"))
    facts, blocks = pond.read(key)
    assert (facts.first, facts.last, facts.count, blocks) == (0, 7, 0, [])


def test_a_second_run_finds_nothing_to_do(pond: Pond) -> None:
    key = pond.write(records(b"anna", b"ben"))
    pond.run(request("anna"))
    state = pond.versions(key)
    again = request("anna", request_id="00000000-0000-4000-8000-000000000001")
    assert pond.run(again, run_id="run-2")["objects"]["dropped"] == 0
    assert pond.versions(key) == state


def test_the_same_run_repeated_gives_the_same_receipt(pond: Pond) -> None:
    pond.write(records(b"anna", b"ben"))
    receipt = pond.run(request("anna"))
    assert pond.run(request("anna")) == receipt


def test_a_request_without_a_hit_has_a_receipt_too(pond: Pond) -> None:
    key = pond.write(records(b"ben"))
    state = pond.versions(key)
    receipt = pond.run(request("anna"))
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 0)
    assert pond.versions(key) == state


def test_several_windows_and_partitions_are_shared_by_units(pond: Pond) -> None:
    keys = [pond.write(records(b"anna", b"ben"), of=partition(number=number)) for number in range(5)]
    document = pond.plan(request("anna"), bytes_per_unit=1)
    assert (document["lines"], document["units"]) == (5, 5)
    for unit in range(3):
        assert pond.redact(unit=unit, units=3) == 0
    assert pond.reconcile()["objects"]["dropped"] == 5
    assert all(pond.rows(key) == records(b"anna", b"ben")[1:] for key in keys)


def test_a_line_with_a_result_is_not_worked_on_again() -> None:
    store = Counting(MemoryStore())
    pond = Pond(store)  # type: ignore[arg-type]
    for number in range(5):
        pond.write(records(b"anna", b"ben"), of=partition(number=number))
    pond.plan(request("anna"))
    costs = []
    for _ in range(2):
        before = store.calls
        pond.redact()
        costs.append(store.calls - before)
    assert costs[1] <= 5 + 5, "a look at each result, and the plan"
    assert costs[0] > 5 * costs[1]


def test_a_field_of_the_value_is_matched_and_everything_else_is_kept(pond: Pond) -> None:
    rows = [
        row(0, b"1", b'{"customer":{"id":42}}'),
        row(1, b"2", b'{"customer":{"id":"42"}}'),
        row(2, b"3", b'{"customer":{"id":421}}'),
        row(3, b"4", b'{"customer":[{"id":1},{"id":42}]}'),
        row(4, b"5", None),
        row(5, b"6", b"no json"),
    ]
    key = pond.write(rows)
    receipt = pond.run(request("42", topics={"orders": searched(VALUE_PLACE)}))
    assert pond.rows(key) == [rows[2], rows[4], rows[5]]
    (place,) = receipt["scope"]["orders"]["places"]
    assert (place["matched"], place["absent"], place["undecodable"]) == (3, 1, 1)
    assert receipt["exceptions"] == [{"kind": "undecodable records", "topic": "orders", "records": 1}]
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_an_absent_required_place_is_never_a_silent_no_match(pond: Pond) -> None:
    pond.write(records(None, b"ben"))
    receipt = pond.run(request("anna"))
    assert receipt["scope"]["orders"]["undecodable"] == 1
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_a_twin_of_a_taken_name_is_redacted_as_well(pond: Pond) -> None:
    key = pond.write(records(b"ben", b"anna"))
    with pond.store.open(key) as stream:
        content = stream.read()
    twin = key.replace(".avro", "-d0a1b2c3d.avro")
    pond.store.put_if_absent(twin, content)
    pond.run(request("anna"))
    assert pond.rows(key) == pond.rows(twin) == records(b"ben")
