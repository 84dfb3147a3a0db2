"""Files of one partition become one run of offsets; what is there is passed over, what is wrong is named."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.errors import DamagedArchive, RefusedForSafety, WrongUsage
from millpond.imports.names import cluster_id_of, topic_id_of
from millpond.kafka.selection import Selection
from millpond.records import Row
from millpond.storage.memory import MemoryStore
from tests.unit.imports.foreign import (
    LAYOUT,
    Import,
    commit,
    keep_file,
    keep_key,
    keep_store,
    oso_store,
    row,
)

KEEP, OSO = "kafka-data-keep", "kafka-backup"
ORDERS = ("orders", 0)


def rows(first: int, last: int) -> list[Row]:
    return [row(offset, b"value-%d" % offset) for offset in range(first, last + 1)]


def test_importing_again_adds_nothing() -> None:
    into = Import(window_bytes=300)
    source = oso_store(rows(5, 40), [*rows(50, 60), commit(61)], [commit(70)])
    assert into(source, OSO)["records"] == 47
    before = into.stored()
    again = into(source, OSO)
    assert into.stored() == before
    assert (again["records"], again["held"], again["windows"]) == (0, 47, 0)


def test_a_backup_that_grew_adds_only_what_is_new() -> None:
    into, source = Import(), keep_store(rows(0, 9))
    into(source, KEEP)
    before = set(into.stored())
    source.put_if_absent(keep_key(5), keep_file(rows(5, 19)))
    assert into(source, KEEP)["records"] == 10
    assert into.rows()[*ORDERS] == rows(0, 19)
    assert before < set(into.stored()) and len(set(into.stored()) - before) == 1


def test_a_file_that_was_missing_fills_its_gap_later() -> None:
    into = Import()
    into(keep_store(rows(0, 9), rows(20, 29)), KEEP)
    assert into.markers() == [(10, 19, "skipped")]
    into(keep_store(rows(0, 9), rows(10, 19), rows(20, 29)), KEEP)
    assert into.rows()[*ORDERS] == rows(0, 29)


def test_a_gap_that_grew_over_windows_of_the_archive_is_marked_around_them() -> None:
    into = Import()
    into(keep_store(rows(0, 4), rows(10, 14)), KEEP)
    into(keep_store(rows(0, 4), rows(20, 24)), KEEP)
    assert into.markers() == [(5, 9, "skipped"), (15, 19, "skipped")]
    assert [found[0] for found in into.rows()[*ORDERS]] == [*range(5), *range(10, 15), *range(20, 25)]
    assert into.listings()[ORDERS].unexplained() == []


def test_offsets_before_and_between_files_are_marked() -> None:
    into = Import()
    into(keep_store(rows(7, 9), rows(12, 14)), KEEP)
    assert into.markers() == [(0, 6, "skipped"), (10, 11, "skipped")]
    assert into.listings()[ORDERS].unexplained() == []


def test_offsets_that_a_file_passes_over_are_inside_its_coverage() -> None:
    into = Import()
    into(keep_store([row(0), row(4), row(9)]), KEEP)
    assert into.markers() == []
    assert into.listings()[ORDERS].position(log_start=0) == 10


def test_a_gap_is_explained_as_far_as_the_manifest_does() -> None:
    gaps = [
        {"start_offset": 12, "end_offset": 15, "reason": "offset_out_of_range"},
        {"start_offset": 17, "end_offset": 18, "reason": "Rm -rf"},
        {"start_offset": 30, "end_offset": 33, "reason": "offset_out_of_range"},
    ]
    into = Import()
    into(oso_store(rows(0, 9), rows(20, 29), gaps=gaps), OSO)
    assert into.markers() == [
        (10, 11, "skipped"),
        (12, 14, "retention"),
        (15, 16, "skipped"),
        (17, 17, "skipped"),
        (18, 19, "skipped"),
        (30, 32, "retention"),
    ]


def test_a_segment_of_control_records_alone_becomes_an_empty_marker() -> None:
    into = Import(window_bytes=1)
    into(oso_store([row(0)], [commit(1), commit(2, abort=True)]), OSO)
    assert into.markers() == [(1, 2, "empty")]


@pytest.mark.parametrize(
    "looks_alike",
    [
        (b"\0\0\0\1", b"\0\0\0\0\0\2", ((b"h", b""),)),
        (b"\0\0\0\2", b"\0\0\0\0\0\2", ()),
        (b"\0\0\0\1", b"\0\0\0\0\0", ()),
        (b"\0\0\0\1", b"\0\1\0\0\0\2", ()),
        (b"\0\0\0\1", None, ()),
        (b"\0\0\0\0\1", b"\0\0\0\0\0\2", ()),
    ],
)
def test_what_is_only_like_a_control_record_is_a_record(looks_alike: tuple[bytes, bytes | None, tuple]) -> None:  # type: ignore[type-arg]
    into, found = Import(), (0, 5, *looks_alike)
    into(oso_store([found]), OSO)
    assert into.rows()[*ORDERS] == [found]


def test_headers_that_the_tool_added_are_taken_away_and_those_alike_are_kept() -> None:
    own = (b"x-original-offset", struct.pack("<q", 3)), (b"x-original-timestamp", struct.pack("<q", 1_700_000_000_000))
    source = [
        (
            0,
            9,
            None,
            b"a",
            ((b"x-original-offset", struct.pack("<q", 0)), (b"x-original-timestamp", struct.pack("<q", 9))),
        ),
        (1, 9, None, b"b", own),
        (2, 9, None, b"c", ((b"x-source-cluster", b"src"),)),
        (3, 1_700_000_000_000, None, b"d", ((b"mine", b"1"), *own, (b"x-source-cluster", b"src"))),
    ]
    into = Import()
    into(oso_store(source), OSO)
    assert [found[4] for found in into.rows()[*ORDERS]] == [
        (),
        own,
        ((b"x-source-cluster", b"src"),),
        ((b"mine", b"1"),),
    ]


def test_without_abort_markers_in_one_partition_nothing_is_dropped_there() -> None:
    source = oso_store([row(0), commit(1), row(2), row(3), commit(4, abort=True), row(5), commit(6), row(7)])
    into = Import()
    report = into(source, OSO, drop_aborted=True)
    assert [found[0] for found in into.rows()[*ORDERS]] == [0, 5, 7]
    (partition,) = report["topics"][0]["partitions"]
    assert partition["left_out"] == {"commit": 2, "aborted_record": 2, "abort": 1}


def test_files_that_disagree_stop_their_partition_and_are_named_with_the_offset() -> None:
    source = keep_store(rows(0, 9))
    other = [row(5, b"value-5"), row(6, b"another"), row(7, b"value-7")]
    source.put_if_absent(keep_key(5), keep_file(other))
    source.put_if_absent(keep_key(0, "fine"), keep_file([row(0)], "fine"))
    into = Import()
    report = into(source, KEEP)
    (problem,) = report["problems"]
    assert keep_key(0) in problem["problem"] and keep_key(5) in problem["problem"]
    assert "at offset 6 of orders-0" in problem["problem"]
    assert into.rows() == {ORDERS: rows(0, 5), ("fine", 0): [row(0)]}


def test_a_damaged_file_stops_its_partition_at_the_record_before_and_a_mended_one_goes_on() -> None:
    source = keep_store(rows(0, 9), rows(10, 19), rows(20, 29))
    source.delete(keep_key(10))
    source.put_if_absent(keep_key(10), keep_file(rows(10, 19))[:-1])
    source.put_if_absent(keep_key(0, "fine"), keep_file([row(0)], "fine"))
    into = Import()
    report = into(source, KEEP)
    assert keep_key(10) in report["problems"][0]["problem"]
    kept = into.rows()
    assert kept["fine", 0] == [row(0)]
    assert kept[ORDERS] == rows(0, kept[ORDERS][-1][0]) and kept[ORDERS][-1][0] < 19
    assert into.markers() == []
    whole = keep_store(rows(0, 9), rows(10, 19), rows(20, 29))
    assert into(whole, KEEP)["problems"] == []
    assert into.rows()[ORDERS] == rows(0, 29)


@pytest.mark.parametrize(
    "content", [b"", b"no avro", b"Obj\x01", keep_file(rows(1, 3)), keep_file(rows(0, 3), "other")]
)
def test_a_file_that_is_not_what_its_name_says_is_named(content: bytes) -> None:
    source = MemoryStore()
    source.put_if_absent(keep_key(0), content)
    into = Import()
    (problem,) = into(source, KEEP)["problems"]
    assert keep_key(0) in problem["problem"]
    assert into.rows() == {}


def test_a_segment_that_the_manifest_lists_and_is_gone_stops_its_partition() -> None:
    source = oso_store(rows(0, 9), rows(10, 19), rows(20, 29))
    source.delete("b1/topics/orders/partition=0/segment-00000000000000000010.bin")
    into = Import()
    (problem,) = into(source, OSO)["problems"]
    assert "segment-00000000000000000010.bin" in problem["problem"]
    assert into.rows()[ORDERS] == rows(0, 9)
    assert into.markers() == []


def test_files_that_cannot_be_placed_are_problems_and_others_are_ignored() -> None:
    source = keep_store(rows(0, 3))
    source.put_if_absent("backup/orders/0/orders-1-0000000000000000004.avro", b"x")
    source.put_if_absent("backup/README", b"x")
    report = Import()(source, KEEP)
    assert [found["object"] for found in report["problems"]] == ["backup/orders/0/orders-1-0000000000000000004.avro"]
    assert report["ignored"] == ["backup/README"]
    listed = oso_store(rows(0, 3))
    listed.put_if_absent("b1/topics/orders/partition=0/segment-00000000000000000004.bin.zst", b"x")
    (problem,) = Import()(listed, OSO)["problems"]
    assert "does not list it" in problem["problem"]


def test_a_source_with_no_backup_or_with_two_is_refused() -> None:
    two = keep_store(rows(0, 3))
    two.put_if_absent("again/" + keep_key(0), keep_file(rows(0, 3)))
    both = oso_store(rows(0, 3))
    both.put_if_absent("b2/manifest.json", b"{}")
    for source, name in ((two, KEEP), (both, OSO), (MemoryStore(), KEEP), (MemoryStore(), OSO)):
        into = Import()
        with pytest.raises(WrongUsage):
            into(source, name)
        assert into.stored() == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [("key", "b1/../secret/segment-00000000000000000000.bin"), ("start_offset", 1), ("end_offset", -1), ("key", 7)],
)
def test_a_manifest_that_contradicts_itself_is_refused(name: str, changed: object) -> None:
    source = oso_store(rows(0, 3))
    with source.open("b1/manifest.json") as stream:
        manifest = json.loads(stream.read())
    manifest["topics"][0]["partitions"][0]["segments"][0][name] = changed
    source.delete("b1/manifest.json")
    source.put_if_absent("b1/manifest.json", json.dumps(manifest).encode())
    into = Import()
    with pytest.raises(DamagedArchive, match=r"b1/manifest\.json"):
        into(source, OSO)
    assert into.stored() == []


def test_only_the_topics_that_are_asked_for_come() -> None:
    source = keep_store(rows(0, 3))
    source.put_if_absent(keep_key(0, "other"), keep_file([row(0)], "other"))
    into = Import()
    into(source, KEEP, topics=Selection.of(["oth.*"]))
    assert list(into.rows()) == [("other", 0)]


def test_a_dry_run_reads_everything_and_writes_nothing() -> None:
    into = Import(window_bytes=300)
    report = into(keep_store(rows(0, 30)), KEEP, dry_run=True)
    assert into.stored() == []
    assert (report["records"], report["archive_id"], report["dry_run"]) == (31, None, True)
    assert report["windows"] == into(keep_store(rows(0, 30)), KEEP)["windows"] > 1


def test_an_archive_of_another_cluster_is_refused_until_the_cluster_is_named() -> None:
    into = Import()
    into(keep_store(rows(0, 3)), KEEP, cluster_id="prod")
    before = into.stored()
    with pytest.raises(RefusedForSafety, match="holds cluster prod"):
        into(oso_store(rows(0, 3)), OSO)
    assert into.stored() == before
    into(oso_store(rows(0, 3)), OSO, cluster_id="prod")
    assert len({key.split("/")[3] for key in into.stored() if key.endswith(".avro")}) == 2  # two lives of one topic


def test_names_depend_on_format_source_and_topic_alone() -> None:
    names = [topic_id_of(of, source, topic) for of in (KEEP, OSO) for source in "ab" for topic in ("x", "y")]
    assert len(set(names)) == 8
    assert topic_id_of(KEEP, "s3://source/keep", "orders") == "nNGIpyhAVimRCOlBJeNaiA"
    assert cluster_id_of(KEEP, "a") != cluster_id_of(KEEP, "b")
    assert not any(topic_id_of(KEEP, "a", str(number)).startswith("-") for number in range(500))


@settings(max_examples=60, deadline=None)
@given(
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=6),
    kept=st.sets(st.integers(0, 90)),
    window_bytes=st.sampled_from([1, 200, 1 << 20]),
)
def test_any_files_yield_the_union_of_their_records(
    spans: list[tuple[int, int]], kept: set[int], window_bytes: int
) -> None:
    """Files start with a record; what they pass over is the same for all."""
    files = {}
    for first, more in spans:
        found = [offset for offset in range(first, first + more + 1) if offset in kept or offset == first]
        files[first] = [row(offset, b"%d" % offset) for offset in found]
    into = Import(window_bytes=window_bytes)
    source = keep_store(*files.values())
    assert into(source, KEEP)["problems"] == []
    assert into.rows()[ORDERS] == sorted({found for of in files.values() for found in of})
    listing = into.listings()[ORDERS]
    assert listing.unexplained() == []
    read = {offset for of in files.values() for offset in range(of[0][0], of[-1][0] + 1)}
    marked = {offset for first, last, _ in into.markers() for offset in range(first, last + 1)}
    assert not read & marked
    before = into.stored()
    into(source, KEEP)
    assert into.stored() == before


def test_a_topic_id_of_an_import_is_one_that_the_archive_knows() -> None:
    into = Import()
    report = into(keep_store(rows(0, 3)), KEEP)
    found = LAYOUT.parse_incarnation(LAYOUT.topic("orders") + report["topics"][0]["topic_id"] + "/")
    assert found is not None and found.topic == "orders"


def test_a_folder_is_read_by_the_names_that_its_tool_gave(tmp_path: Path) -> None:
    """The archive's own folders write capitals in another way."""
    file = tmp_path / "deep" / keep_key(0, "Orders_V2.x")
    file.parent.mkdir(parents=True)
    file.write_bytes(keep_file(rows(0, 3), "Orders_V2.x"))
    (tmp_path / "loop").symlink_to(tmp_path)
    into = Import()
    assert into(tmp_path, KEEP)["ignored"] == []
    assert into.rows() == {("Orders_V2.x", 0): rows(0, 3)}
