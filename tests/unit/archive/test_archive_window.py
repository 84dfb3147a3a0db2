from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.archive.codecs import CODECS, codec_named
from millpond.archive.container import open_container, write_header
from millpond.archive.digest import SALT_BYTES, digest_of, new_salt
from millpond.archive.encode import encode_long, encode_rows
from millpond.archive.facts import Redaction, WindowFacts, has_redactions
from millpond.archive.schema import SCHEMA_JSON, TimestampType
from millpond.archive.window import WindowSpool, open_window
from millpond.errors import DamagedArchive, WrongUsage
from millpond.records import Row
from tests.unit.archive.strategies import PARSED_SCHEMA, SMALL_ROWS, as_avro, as_row
from tests.unit.builders import ORDERS_3, a_partition, make_rows, make_window, read_window

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "format.md"
SALT = bytes(range(16))
SWEEP = Redaction("5f0c8a52-3d3e-4c0b-9a57-6f2b8f0e1d11", 2, 0, 1, 1767312000000)

WORKED_EXAMPLE: list[Row] = [
    (1000, 1767225600000, b"k1", b"hello", ((b"h", b"1"), (b"h", None), (b"", b""))),
    (1001, 1767225600005, b"", None, ()),
    (1005, 1767225599999, None, b"", ()),
]


def by_hand(rows: list[Row], salt: bytes, timestamp_type: str) -> str:
    """The digest as docs/format.md 7.2 has it, from another Avro library."""
    out = io.BytesIO()
    for row in rows:
        fastavro.schemaless_writer(out, PARSED_SCHEMA, as_avro(row))
    return hmac.new(salt, timestamp_type.encode() + b"\0" + out.getvalue(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=15)
@given(rows=SMALL_ROWS, block_records=st.integers(1, 3))
def test_a_window_is_read_by_fastavro_and_by_us(codec: str, rows: list[Row], block_records: int) -> None:
    window = make_window(rows, codec=codec, first=0, last=2**63 - 1, block_records=block_records)
    reader = fastavro.reader(io.BytesIO(window.data))
    assert [as_row(record) for record in reader] == rows
    assert reader.codec == codec
    assert read_window(window.data) == (window.facts, rows)


def test_the_object_is_the_one_of_the_format_page_byte_for_byte() -> None:
    window = make_window(
        WORKED_EXAMPLE, first=1000, last=1007, codec="null", salt=SALT, sync=bytes(range(0xF0, 0x100)), epoch=7
    )
    appendix = FORMAT_PAGE.read_text().split("## Appendix B", 1)[1]
    printed = re.search(r"```text\n([0-9a-f\n]+)```", appendix)
    assert printed
    assert window.data.hex() == printed[1].replace("\n", "")
    assert window.facts.digest == "d0836ebbba9644b74432d681666627303e7b0bee7e2a049dc2c7f615e5a6f349"
    assert window.facts.size_bytes == 56
    assert (
        window.name.file_name(topic="orders", partition=3)
        == "orders-3-0000000000000001000-0000000000000001007-e7-t1767225599999-1767225600005.avro"
    )


def the_checker_of_the_format_page() -> dict[str, Any]:
    code = FORMAT_PAGE.read_text().split("## Appendix A", 1)[1].split("```python\n")[1].split("\nwith open(sys.argv")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_the_checker_of_the_format_page_accepts_our_windows_and_finds_damage(codec: str) -> None:
    check = the_checker_of_the_format_page()["check"]
    window = make_window(make_rows(0, 30), codec=codec)
    assert check(io.BufferedReader(io.BytesIO(window.data)))["millpond.digest"] == window.facts.digest
    with pytest.raises(AssertionError, match="damaged"):
        check(io.BufferedReader(io.BytesIO(window.data[:-1] + bytes([window.data[-1] ^ 1]))))


def test_the_schema_has_the_fingerprints_of_the_format_page() -> None:
    canonical = to_parsing_canonical_form(PARSED_SCHEMA)
    for algorithm in ("sha256", "CRC-64-AVRO"):
        assert f"`{fingerprint(canonical, algorithm)}`" in FORMAT_PAGE.read_text()


def test_the_header_holds_exactly_what_the_format_names() -> None:
    rows = make_rows(1000, 25)
    window = make_window(rows, first=990, last=1030, codec="deflate", salt=SALT)
    metadata = fastavro.reader(io.BytesIO(window.data)).metadata
    assert json.loads(metadata.pop("avro.schema")) == json.loads(SCHEMA_JSON)
    assert metadata == {
        "avro.codec": "deflate",
        "millpond.format": "1",
        "millpond.archive_id": "9f3c51d07ab2e846",
        "millpond.topic": "orders",
        "millpond.topic_id": "Qm3vXk1ZTb6R0nKXv0cV7w",
        "millpond.partition": "3",
        "millpond.first": "990",
        "millpond.last": "1030",
        "millpond.count": "25",
        "millpond.bytes": str(len(encode_rows(rows))),
        "millpond.leader_epoch": "7",
        "millpond.timestamp_type": "create_time",
        "millpond.min_timestamp": "1767225600000",
        "millpond.max_timestamp": "1767225600004",
        "millpond.salt": SALT.hex(),
        "millpond.digest": by_hand(rows, SALT, "create_time"),
        "millpond.written": "1767225660000",
    }


def test_the_object_metadata_says_the_same_with_dashes_for_dots_and_underscores() -> None:
    facts = make_window(make_rows(0, 3)).facts
    in_file = {re.sub(r"[._]", "-", name): text.decode() for name, text in facts.to_file_metadata().items()}
    assert facts.to_object_metadata() == in_file
    assert WindowFacts.from_object_metadata(facts.to_object_metadata()) == facts
    assert WindowFacts.from_file_metadata(facts.to_file_metadata()) == facts


def test_redactions_are_a_list_in_the_file_and_a_count_in_the_object_metadata() -> None:
    window = make_window(make_rows(0, 3), redactions=(replace(SWEEP, sweep="first"), SWEEP))
    assert read_window(window.data)[0].redactions == (replace(SWEEP, sweep="first"), SWEEP)
    written = json.loads(window.facts.to_file_metadata()["millpond.redactions"])
    assert written[1] == {"sweep": SWEEP.sweep, "dropped": 2, "tombstoned": 0, "masked": 1, "at": 1767312000000}
    metadata = window.facts.to_object_metadata()
    assert (metadata["millpond-redactions"], metadata["millpond-last-sweep"]) == ("2", SWEEP.sweep)
    assert has_redactions(metadata)
    assert not has_redactions(make_window(make_rows(0, 3)).facts.to_object_metadata())
    assert WindowFacts.from_object_metadata(metadata) == replace(window.facts, redactions=())


def test_unknown_names_in_the_metadata_are_ignored() -> None:
    facts = make_window(make_rows(0, 3), redactions=(SWEEP,)).facts
    entry = {"sweep": "s", "dropped": 1, "tombstoned": 0, "masked": 0, "at": 5, "why": "new"}
    in_file = facts.to_file_metadata() | {"millpond.future": b"\xc3\xa9", "other.tool": b"\xff"}
    in_file |= {"millpond.redactions": json.dumps([entry]).encode()}
    assert WindowFacts.from_file_metadata(in_file) == replace(facts, redactions=(Redaction("s", 1, 0, 0, 5),))
    in_store = facts.to_object_metadata() | {"millpond-future": "1", "content": "x"}
    assert WindowFacts.from_object_metadata(in_store) == replace(facts, redactions=())


def test_the_longest_metadata_fits_into_what_s3_allows() -> None:
    far = [(2**63 - 1, -(2**63), None, None, ()), (2**63 - 1, 2**63 - 1, None, None, ())]
    window = make_window(
        far,
        partition=a_partition("t" * 249, 2**31 - 1),
        first=2**63 - 2,
        epoch=2**31 - 1,
        timestamp_type=TimestampType.LOG_APPEND_TIME,
        archive_id="a" * 64,
        written=2**63 - 1,
        redactions=(replace(SWEEP, sweep="s" * 64),) * 1000,
    )
    metadata = replace(window.facts, count=2**63 - 1, size_bytes=2**63 - 1).to_object_metadata()
    assert sum(len(name) + len(text) for name, text in metadata.items()) < 1000


@given(SMALL_ROWS, st.sampled_from(list(TimestampType)))
def test_the_digest_is_that_of_the_format_page(rows: list[Row], timestamp_type: TimestampType) -> None:
    digest = digest_of([encode_rows(rows)], salt=SALT, timestamp_type=timestamp_type)
    assert digest == by_hand(rows, SALT, timestamp_type.value)


def test_the_digest_does_not_depend_on_codec_block_size_sync_or_place() -> None:
    rows = make_rows(0, 40)
    digests = {
        make_window(
            rows, codec=codec, block_records=size, salt=SALT, epoch=size, partition=a_partition("t", size)
        ).facts.digest
        for codec in CODECS
        for size in (1, 7, 40)
    }
    assert len(digests) == 1


CHANGES: list[Row] = [
    (6, 10, b"k", b"v", ((b"h", b"1"), (b"i", None))),
    (5, 11, b"k", b"v", ((b"h", b"1"), (b"i", None))),
    (5, -1, b"k", b"v", ((b"h", b"1"), (b"i", None))),
    (5, 10, None, b"v", ((b"h", b"1"), (b"i", None))),
    (5, 10, b"", b"v", ((b"h", b"1"), (b"i", None))),
    (5, 10, b"k", None, ((b"h", b"1"), (b"i", None))),
    (5, 10, b"k", b"", ((b"h", b"1"), (b"i", None))),
    (5, 10, b"kv", b"", ((b"h", b"1"), (b"i", None))),
    (5, 10, b"k", b"v", ()),
    (5, 10, b"k", b"v", ((b"i", None), (b"h", b"1"))),
    (5, 10, b"k", b"v", ((b"h", b"1"), (b"i", b""))),
    (5, 10, b"k", b"v", ((b"h", b"1"), (b"h", b"1"), (b"i", None))),
    (5, 10, b"k", b"v", ((b"h1", b""), (b"i", None))),
]


@pytest.mark.parametrize("changed", CHANGES)
def test_the_digest_depends_on_every_field(changed: Row) -> None:
    row: Row = (5, 10, b"k", b"v", ((b"h", b"1"), (b"i", None)))
    one = digest_of([encode_rows([row])], salt=SALT, timestamp_type=TimestampType.CREATE_TIME)
    assert digest_of([encode_rows([changed])], salt=SALT, timestamp_type=TimestampType.CREATE_TIME) != one


def test_the_digest_depends_on_the_order_the_salt_and_the_timestamp_type() -> None:
    rows = make_rows(0, 2)
    digests = {digest_of([encode_rows(rows)], salt=SALT, timestamp_type=kind) for kind in TimestampType}
    digests |= {digest_of([encode_rows(rows[::-1])], salt=SALT, timestamp_type=TimestampType.CREATE_TIME)}
    digests |= {digest_of([encode_rows(rows)], salt=SALT[::-1], timestamp_type=TimestampType.CREATE_TIME)}
    assert len(digests) == 5


def test_every_window_has_a_salt_of_its_own() -> None:
    assert len({new_salt() for _ in range(100)}) == 100
    assert len(new_salt()) == SALT_BYTES == 16
    one, other = make_window(make_rows(0, 3)), make_window(make_rows(0, 3))
    assert one.facts.digest != other.facts.digest


def test_kafkas_numbers_of_timestamp_types() -> None:
    assert [TimestampType.from_kafka(number).value for number in (0, 1, 2)] == [
        "none",
        "create_time",
        "log_append_time",
    ]


def a_spool(path: Path, codec: str = "zstandard") -> tuple[WindowSpool, list[Row]]:
    rows = make_rows(0, 30)
    spool = WindowSpool(path, codec=CODECS[codec], salt=SALT, timestamp_type=TimestampType.CREATE_TIME)
    for start in range(0, 30, 10):
        spool.add(10, encode_rows(rows[start : start + 10]))
    return spool, rows


def test_a_spool_counts_what_it_holds_and_reads_it_back(tmp_path: Path) -> None:
    spool, rows = a_spool(tmp_path / "spool")
    assert (spool.count, spool.size_bytes) == (30, len(encode_rows(rows)))
    assert b"".join(spool.encoded()) == encode_rows(rows)
    spool.finish(make_window(rows).facts)
    assert spool.stored_bytes == (tmp_path / "spool").stat().st_size
    assert b"".join(spool.encoded()) == encode_rows(rows)
    spool.discard()
    assert not (tmp_path / "spool").exists()
    spool.discard()


def test_two_spools_never_share_a_file(tmp_path: Path) -> None:
    a_spool(tmp_path / "spool")
    with pytest.raises(FileExistsError):
        a_spool(tmp_path / "spool")


def test_blocks_copied_from_another_window_are_the_same_window(tmp_path: Path) -> None:
    source = make_window(make_rows(0, 30), codec="deflate")
    spool = WindowSpool(
        tmp_path / "spool", codec=CODECS["deflate"], salt=SALT, timestamp_type=TimestampType.CREATE_TIME
    )
    for block in open_window(io.BytesIO(source.data)).blocks():
        spool.copy(block.block, block.encoded)
    facts, body = spool.finish(source.facts)
    assert read_window(body.read()) == (facts, make_rows(0, 30))
    assert facts.digest == by_hand(make_rows(0, 30), SALT, "create_time")


@settings(max_examples=30)
@given(moves=st.lists(st.tuples(st.integers(0, 2500), st.integers(-1, 700)), max_size=12))
def test_the_stream_to_upload_is_read_in_any_portions_from_any_place(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int]]
) -> None:
    spool, rows = a_spool(tmp_path_factory.mktemp("spool") / "spool", "null")
    _, body = spool.finish(make_window(rows).facts)
    whole = io.BytesIO(body.read())
    assert body.seek(0, io.SEEK_END) == whole.seek(0, io.SEEK_END)
    for place, size in moves:
        assert body.seek(place) == whole.seek(place)
        assert body.read(size) == whole.read(size)
    body.seek(-10, io.SEEK_END)
    whole.seek(-10, io.SEEK_END)
    assert body.read() == whole.read()


def test_a_window_without_records_is_a_window() -> None:
    """A redaction may leave none."""
    window = make_window([], first=5, last=9)
    facts, rows = read_window(window.data)
    assert (facts.count, facts.size_bytes, rows) == (0, 0, [])
    assert list(fastavro.reader(io.BytesIO(window.data))) == []


def test_a_codec_that_does_not_exist_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage) as caught:
        codec_named("snappy")
    assert caught.value.exit_code == 2
    assert "zstandard" in caught.value.hint


def with_metadata(changes: dict[str, bytes]) -> bytes:
    """A window whose header says something else."""
    window = make_window(make_rows(0, 3), codec="null", sync=b"s" * 16)
    metadata = window.facts.to_file_metadata() | changes
    blocks = window.data[len(write_header(CODECS["null"], window.facts.to_file_metadata(), b"s" * 16)) :]
    return write_header(CODECS["null"], metadata, b"s" * 16) + blocks


@pytest.mark.parametrize("version", [b"2", b"10", b"999999999"])
def test_a_newer_format_is_refused_with_advice(version: bytes) -> None:
    with pytest.raises(WrongUsage, match="format") as caught:
        read_window(with_metadata({"millpond.format": version}))
    assert caught.value.hint == "upgrade Millpond"
    assert caught.value.exit_code == 2


def test_a_newer_format_is_refused_even_if_its_schema_and_codec_are_new() -> None:
    """A new schema was once reported as damage before the format number was looked at."""
    changes = {"millpond.format": b"2", "avro.schema": b'"bytes"', "avro.codec": b"brotli"}
    with pytest.raises(WrongUsage):
        read_window(with_metadata(changes))


def test_a_newer_format_is_refused_from_object_metadata_too() -> None:
    metadata = make_window(make_rows(0, 3)).facts.to_object_metadata()
    with pytest.raises(WrongUsage):
        WindowFacts.from_object_metadata(metadata | {"millpond-format": "2"})
    with pytest.raises(DamagedArchive):
        WindowFacts.from_object_metadata({})


WRONG_SWEEP = b'[{"sweep":1,"dropped":0,"tombstoned":0,"masked":0,"at":0}]'
MALFORMED = {
    "format": [b"", b"0", b"-1", b"one", b"\xc2\xb2", b"01", b"\xff", b"1" * 5000],
    "partition": [b"", b"x", b"03", b"+3", b" 3", b"1_0", "٣".encode()],
    "first": [b"", b"1.0", b"\xff", b"9" * 5000],
    "count": [b"", b"-0", b"3 "],
    "leader_epoch": [b"", b"--1"],
    "timestamp_type": [b"", b"CreateTime", b"1"],
    "salt": [b"", b"zz" * 16, b"00" * 15, b"00" * 17, b"0" * 31 + b" ", b"AB" * 16],
    "digest": [b"", b"0" * 63, b"g" * 64],
    "written": [b"", b"soon"],
    "redactions": [b"", b"{", b"{}", b"[1]", b"null", b'[{"sweep":"s"}]', WRONG_SWEEP, b"\xff", b"[" * 100_000],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in MALFORMED.items() for text in texts])
def test_a_malformed_entry_of_the_header_is_damage(name: str, text: bytes) -> None:
    with pytest.raises(DamagedArchive) as caught:
        read_window(with_metadata({f"millpond.{name}": text}))
    assert caught.value.exit_code == 3
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("missing", sorted(make_window(make_rows(0, 1)).facts.to_file_metadata()))
def test_a_missing_entry_of_the_header_is_damage(missing: str) -> None:
    metadata = make_window(make_rows(0, 1)).facts.to_file_metadata()
    with pytest.raises(DamagedArchive):
        WindowFacts.from_file_metadata({name: text for name, text in metadata.items() if name != missing})


@pytest.mark.parametrize("schema", [b"", b"null", b"{", b"\xff", b'"bytes"', b"[" * 100_000, SCHEMA_JSON[:-1]])
def test_another_schema_is_damage(schema: bytes) -> None:
    with pytest.raises(DamagedArchive):
        read_window(with_metadata({"avro.schema": schema}))


def test_another_codec_is_damage() -> None:
    for codec in (b"snappy", b"\xff", b""):
        with pytest.raises(DamagedArchive):
            read_window(with_metadata({"avro.codec": codec}))


@pytest.mark.parametrize(("name", "text"), [("count", b"2"), ("bytes", b"1"), ("digest", b"0" * 64)])
def test_another_count_size_or_digest_than_the_records_have_is_damage(name: str, text: bytes) -> None:
    with pytest.raises(DamagedArchive):
        read_window(with_metadata({f"millpond.{name}": text}))


def test_a_header_in_several_blocks_is_read_as_avro_says() -> None:
    window = make_window(make_rows(0, 3), sync=b"s" * 16)
    container = open_container(io.BytesIO(window.data))
    pairs = [
        encode_long(len(name)) + name.encode() + encode_long(len(text)) + text
        for name, text in container.metadata.items()
    ]
    header = b"Obj\x01"
    for pair in pairs:
        header += encode_long(-1) + encode_long(len(pair)) + pair
    blocks = window.data[window.data.index(b"s" * 16) :]
    assert read_window(header + b"\0" + blocks) == (window.facts, make_rows(0, 3))


def test_a_window_found_where_it_belongs_is_confirmed() -> None:
    window = make_window(make_rows(0, 3))
    window.facts.confirm(archive_id=window.facts.archive_id, partition=ORDERS_3, name=window.name)
    twin = replace(window.name, twin="00000000")
    window.facts.confirm(archive_id=window.facts.archive_id, partition=ORDERS_3, name=twin)


def test_a_window_found_in_the_wrong_place_is_damage() -> None:
    window = make_window(make_rows(0, 3))
    place: dict[str, Any] = {"archive_id": window.facts.archive_id, "partition": ORDERS_3, "name": window.name}
    others: list[dict[str, Any]] = [
        {"archive_id": "another"},
        {"partition": a_partition(partition=4)},
        {"partition": a_partition("orders-3")},
        {"partition": a_partition(topic_id="5tq0mB2pQkC8hG4cJrWnZA")},
        {"name": replace(window.name, first=1)},
        {"name": replace(window.name, last=1)},
        {"name": replace(window.name, epoch=1)},
        {"name": replace(window.name, oldest_ms=1)},
        {"name": replace(window.name, newest_ms=2**40)},
    ]
    for other in others:
        with pytest.raises(DamagedArchive):
            window.facts.confirm(**(place | other))
