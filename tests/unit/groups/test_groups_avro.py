"""The object of a group snapshot: as the format page has it, readable by any Avro reader, never a crash."""

from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import fastavro
import pytest
from fastavro.schema import to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

from millpond.errors import DamagedArchive, WrongUsage
from millpond.groups.avro import SCHEMA, decode, encode
from millpond.groups.values import Failure, Group, GroupSnapshot, PartitionOffset, TopicOffsets
from tests.unit.groups.golden_snapshot import BILLING, SNAPSHOT, SYNC

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "format.md"

LONGS = st.integers(-(2**63), 2**63 - 1)
INTS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(max_size=20)
PARTITIONS = st.builds(PartitionOffset, INTS, LONGS, INTS, TEXTS, LONGS, st.booleans())
TOPICS = st.builds(TopicOffsets, TEXTS, TEXTS, st.lists(PARTITIONS, max_size=4).map(tuple))
GROUPS = st.builds(Group, TEXTS, TEXTS, TEXTS, TEXTS, INTS, st.lists(TOPICS, max_size=3).map(tuple))
FAILURES = st.builds(Failure, TEXTS, TEXTS, TEXTS, TEXTS, INTS)
SNAPSHOTS = st.builds(
    GroupSnapshot, LONGS, TEXTS, st.lists(GROUPS, max_size=4).map(tuple), st.lists(FAILURES, max_size=3).map(tuple)
)


def section(heading: str) -> str:
    return FORMAT_PAGE.read_text().split(heading, 1)[1].split("\n#", 1)[0]


def test_the_golden_bytes_of_the_format_page() -> None:
    printed = re.search(r"```text\n([0-9a-f\n]+)```", section("## Appendix C"))
    assert printed
    golden = bytes.fromhex(printed[1].replace("\n", ""))
    assert encode(SNAPSHOT, codec="null", sync=SYNC) == golden
    assert decode(golden, "the golden snapshot") == SNAPSHOT


def test_the_schema_of_the_format_page() -> None:
    printed = section("### 11.5").split("```json\n", 1)[1].split("```", 1)[0]
    assert json.loads(printed) == SCHEMA
    written = fastavro.reader(io.BytesIO(encode(SNAPSHOT))).metadata["avro.schema"]
    assert to_parsing_canonical_form(json.loads(written)) == to_parsing_canonical_form(SCHEMA)


@given(SNAPSHOTS)
def test_a_snapshot_reads_back_as_what_was_written(snapshot: GroupSnapshot) -> None:
    assert decode(encode(snapshot), "it") == snapshot


def test_any_avro_reader_reads_it() -> None:
    reader = fastavro.reader(io.BytesIO(encode(SNAPSHOT)))
    records = list(reader)
    assert [record["group_id"] for record in records] == ["billing", "shipping"]  # type: ignore[index,call-overload]
    assert records[0] == json.loads(json.dumps({"at": SNAPSHOT.at, **asdict(BILLING)}))
    facts = {name: text for name, text in reader.metadata.items() if name.startswith("millpond.")}
    assert json.loads(facts.pop("millpond.failed")) == [asdict(failure) for failure in SNAPSHOT.failed]
    assert facts == {
        "millpond.format": "1",
        "millpond.archive_id": SNAPSHOT.archive_id,
        "millpond.at": "1767225660000",
        "millpond.count": "2",
    }


def test_a_file_that_ends_at_a_block_boundary_is_found_out() -> None:
    many = replace(SNAPSHOT, groups=tuple(replace(BILLING, group_id=f"g{n}" * 999) for n in range(900)))
    data = encode(many, sync=SYNC, codec="null")
    ends = [found.end() for found in re.finditer(re.escape(SYNC), data)]
    assert len(ends) > 3
    with pytest.raises(DamagedArchive, match=r"holds \d+ groups, its header says 900"):
        decode(data[: ends[-2]], "it")


@given(st.data())
def test_damage_is_an_error_and_never_a_crash(data: st.DataObject) -> None:
    content = encode(SNAPSHOT, sync=SYNC)
    at = data.draw(st.integers(0, len(content) - 1))
    cut = data.draw(st.booleans())
    damaged = content[:at] if cut else content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]
    with suppress(DamagedArchive, WrongUsage):
        assert isinstance(decode(damaged, "groups/x.avro"), GroupSnapshot) and not cut


def test_what_is_no_snapshot_is_damage_and_named() -> None:
    for content in (
        b"",
        b"Obj",
        b"{}",
        encode(SNAPSHOT)[:-1],
        encode(SNAPSHOT).replace(b"millpond.at", b"millpond.xx"),
    ):
        with pytest.raises(DamagedArchive, match=r"groups/x\.avro"):
            decode(content, "groups/x.avro")


def test_a_newer_format_is_refused() -> None:
    content = encode(SNAPSHOT, codec="null").replace(b"millpond.format\x021", b"millpond.format\x022")
    with pytest.raises(WrongUsage, match="format 2"):
        decode(content, "it")


def test_fields_of_a_later_release_are_ignored() -> None:
    schema = json.loads(json.dumps(SCHEMA))
    schema["fields"].append({"name": "later", "type": "string"})
    out = io.BytesIO()
    facts = {
        "millpond.format": "1",
        "millpond.archive_id": SNAPSHOT.archive_id,
        "millpond.at": str(SNAPSHOT.at),
        "millpond.count": "1",
        "millpond.failed": '[{"part": "offsets", "code": "X", "later": 1}]',
    }
    fastavro.writer(out, schema, [{"at": 1, "later": "x", **asdict(BILLING)}], metadata=facts)
    found = decode(out.getvalue(), "it")
    assert found.groups == (BILLING,) and found.failed == (Failure("offsets", "X"),)
