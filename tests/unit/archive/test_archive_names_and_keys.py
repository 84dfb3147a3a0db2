from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.archive.keys import EventKey, Incarnation, Layout, PartitionId, PartitionObject
from millpond.archive.names import GapName, GapReason, PartName, WindowName
from tests.unit.builders import LAYOUT, ORDERS_3, TOPIC_ID, a_partition

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "format.md"

OFFSETS = st.integers(0, 2**63 - 1)
ODD_TOPICS = [
    "a",
    "-",
    "_",
    "...",
    "-1",
    "1",
    "0",
    "1-2",
    "events",
    "parts",
    "topics",
    "orders-1",
    "a.b_c-d",
    "t" * 249,
]
ODD_TOPICS += [
    "orders-3-0000000000000000000-0000000000000000009-e0-t0-0.avro",
    "0000000000000000000",
    ".-_" * 83,
    "-e5",
]
TOPICS = st.sampled_from(ODD_TOPICS) | st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True).filter(
    lambda topic: topic not in (".", "..")
)
TOPIC_IDS = st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True) | st.sampled_from(["no-id-0", "no-id-17"])
PARTITIONS = st.builds(
    PartitionId,
    st.builds(Incarnation, TOPICS, TOPIC_IDS),
    st.sampled_from([0, 1, 9, 10, 2**31 - 1]) | st.integers(0, 99),
)
EPOCHS = st.sampled_from([-1, 0, 1, 2**31 - 1]) | st.integers(-1, 1000)
STAMPS = st.sampled_from([-1, 0, -(2**63), 2**63 - 1]) | st.integers(-(2**63), 2**63 - 1)
PATH_PARTS = st.from_regex(r"[A-Za-z0-9._~%-]{1,9}=[A-Za-z0-9._~%-]{1,9}", fullmatch=True)
PREFIXES = st.sampled_from(["", "backups", "a/b/c", "topics", "topics/orders", "p" * 300])


@st.composite
def window_names(draw: st.DrawFn) -> WindowName:
    first, last = sorted((draw(OFFSETS), draw(OFFSETS)))
    oldest, newest = sorted((draw(STAMPS), draw(STAMPS)))
    bounds = first, last, draw(EPOCHS), oldest, newest, draw(st.sampled_from(["", "0a1b2c3d", "00000000"]))
    return WindowName(*bounds, parts=draw(st.booleans()))


@st.composite
def part_names(draw: st.DrawFn) -> PartName:
    window = draw(window_names())
    bounds = window.first, window.last, window.epoch, window.oldest_ms, window.newest_ms, window.twin
    path = "/".join(draw(st.lists(PATH_PARTS, min_size=1, max_size=3)))
    return PartName(*bounds, path=path, index=draw(st.sampled_from([0, 9, 999, 10**9 - 1])))


@st.composite
def gap_names(draw: st.DrawFn) -> GapName:
    first, last = sorted((draw(OFFSETS), draw(OFFSETS)))
    return GapName(first, last, draw(st.sampled_from(list(GapReason))))


@given(PREFIXES, PARTITIONS, window_names() | gap_names())
def test_a_key_reads_back_as_what_was_written(prefix: str, partition: PartitionId, name: WindowName | GapName) -> None:
    layout = Layout(prefix)
    key = layout.object(partition, name)
    assert layout.parse(key) == PartitionObject(partition, name)
    assert key.startswith(layout.folder(partition))
    assert len(key.encode()) <= 1024


@given(PREFIXES, PARTITIONS, part_names())
def test_the_key_of_a_part_reads_back(prefix: str, partition: PartitionId, name: PartName) -> None:
    layout = Layout(prefix)
    key = layout.object(partition, name)
    assert layout.parse(key) == PartitionObject(partition, name)
    assert key == layout.folder(partition) + layout.relative(partition, name)
    assert replace(name.window, parts=True).file_name(topic="t", partition=1).removesuffix(".parts") in (
        name.file_name(topic="t", partition=1)
    )


@given(PREFIXES, TOPICS, TOPIC_IDS, st.integers(0, 10**13 - 1))
def test_an_events_key_reads_back(prefix: str, topic: str, topic_id: str, at_ms: int) -> None:
    layout, incarnation = Layout(prefix), Incarnation(topic, topic_id)
    for kind in ("truncated", "missing", "recreated", "tombstones-maybe-lost"):
        assert layout.parse(layout.event(incarnation, at_ms, kind)) == EventKey(incarnation, at_ms, kind)


@given(PREFIXES, PARTITIONS)
def test_folders_read_back(prefix: str, partition: PartitionId) -> None:
    layout = Layout(prefix)
    assert layout.parse_topic(layout.topic(partition.topic)) == partition.topic
    assert layout.parse_incarnation(layout.incarnation(partition.incarnation)) == partition.incarnation


def test_the_keys_of_the_format_page_are_parsed() -> None:
    examples = FORMAT_PAGE.read_text().split("One example of each:", 1)[1].split("```")[1].splitlines()[1:]
    layout = Layout("")
    found = {key: layout.parse(key) for key in examples}
    ours = [key for key, what in found.items() if what is not None]
    endings = [key.rsplit("/", 1)[-1].rsplit(".", 1)[-1] for key in ours]
    assert endings == ["avro", "avro", "gap", "parts", "avro", "json"]
    for key in ours:
        what = found[key]
        if isinstance(what, PartitionObject):
            assert layout.object(what.partition, what.name) == key
        elif what is not None:
            assert layout.event(what.incarnation, what.at_ms, what.kind) == key


def test_the_keys_of_an_archive_are_those_of_the_format_page() -> None:
    name = WindowName(1000, 1007, 7, -1, -1, "d0836ebb")
    assert LAYOUT.identity == "backups/kafka/archive.json"
    assert LAYOUT.topics == "backups/kafka/topics/"
    assert LAYOUT.object(ORDERS_3, name) == (
        f"backups/kafka/topics/orders/{TOPIC_ID}/3/"
        "orders-3-0000000000000001000-0000000000000001007-e7-t-1--1-dd0836ebb.avro"
    )
    assert LAYOUT.cluster(1767225660000) == "backups/kafka/cluster/2026/01/01/1767225660000.json"
    assert LAYOUT.cluster(1767225599999) == "backups/kafka/cluster/2025/12/31/1767225599999.json"
    assert LAYOUT.run("restore", "r-1", "plan.jsonl") == "backups/kafka/runs/restore/r-1/plan.jsonl"
    assert LAYOUT.receipt("5f0c") == "backups/kafka/erasures/receipts/5f0c.json"
    assert Layout("").identity == "archive.json"


@given(PARTITIONS, st.lists(window_names() | gap_names(), min_size=2))
def test_listing_order_is_offset_order(partition: PartitionId, names: list[WindowName | GapName]) -> None:
    in_listing = sorted(names, key=lambda name: LAYOUT.object(partition, name).encode())
    assert [(name.first, name.last) for name in in_listing] == sorted((name.first, name.last) for name in names)


@given(st.lists(gap_names()), st.lists(window_names()))
def test_names_can_be_sorted(gaps: list[GapName], windows: list[WindowName]) -> None:
    """Two markers over the same offsets with different reasons could once not be compared."""
    both = gaps + [replace(gap, reason=GapReason.EMPTY) for gap in gaps]
    assert [gap.first for gap in sorted(both)] == sorted(gap.first for gap in both)
    assert [window.first for window in sorted(windows)] == sorted(window.first for window in windows)


@given(PARTITIONS, PARTITIONS, window_names() | gap_names())
def test_a_file_of_another_topic_or_partition_is_foreign(
    ours: PartitionId, theirs: PartitionId, name: WindowName | GapName
) -> None:
    if (ours.topic, ours.partition) != (theirs.topic, theirs.partition):
        file_name = name.file_name(topic=theirs.topic, partition=theirs.partition)
        assert LAYOUT.parse(LAYOUT.folder(ours) + file_name) is None


def test_a_neighbours_file_in_our_folder_is_foreign() -> None:
    name = WindowName(0, 9, 0, 0, 0)
    theirs = name.file_name(topic="orders-1", partition=2)
    assert WindowName.parse(theirs, topic="orders", partition=1) is None
    assert LAYOUT.parse(LAYOUT.folder(a_partition("orders", 1)) + theirs) is None
    theirs = name.file_name(topic="orders", partition=1)
    assert LAYOUT.parse(LAYOUT.folder(a_partition("orders-1", 2)) + theirs) is None


STEM = "orders-3-0000000000000001000-0000000000000001007-e7-t5-9"
FOREIGN_FILES = [
    "",
    "orders-3",
    "README.md",
    f"{STEM}.avro.bak",
    f" {STEM}.avro",
    f"{STEM}.avro\n",
    f"{STEM}.AVRO",
    f"{STEM}",
    f"{STEM}.parts.avro",
    f"{STEM}-p0.parts",
    f"x{STEM}.avro",
    f"{STEM}-dd0836eb.avro",
    f"{STEM}-dD0836EBB.avro",
    f"{STEM}-d.avro",
    f"{STEM}-dd0836ebb-dd0836ebb.avro",
    f"{STEM}-dd0836ebb0.avro",
    f"{STEM}-p0.avro",
    "orders-03-0000000000000001000-0000000000000001007-e7-t5-9.avro",
    "orders-3-000000000000001000-0000000000000001007-e7-t5-9.avro",
    "orders-3-00000000000000001000-0000000000000001007-e7-t5-9.avro",
    "orders-3-0000000000000001008-0000000000000001007-e7-t5-9.avro",
    "orders-3-0000000000000001000-9223372036854775808-e7-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e07-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e-2-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e2147483648-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t05-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t-0-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t9-5.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t5-9223372036854775808.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t-9223372036854775809-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t5-9.avro/x",
    "orders-3-000000000000000\u0661000-0000000000000001007-e7-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e\u0667-t5-9.avro",
    "orders-3-0000000000000001000-0000000000000001007-e7-t\u0665-9.avro",
    "orders-3-0000000000000000000-0000000000000000999-lost.gap",
    "orders-3-0000000000000000000-0000000000000000999-.gap",
    "orders-3-0000000000000000000-0000000000000000999.gap",
    "orders-3-0000000000000000999-0000000000000000000-retention.gap",
    "orders-3-0000000000000000000-9999999999999999999-retention.gap",
    "orders-3-0000000000000000000-0000000000000000999-retention.gap.tmp",
]


@pytest.mark.parametrize("file_name", FOREIGN_FILES)
def test_any_other_file_in_a_partitions_folder_is_foreign(file_name: str) -> None:
    assert LAYOUT.parse(LAYOUT.folder(ORDERS_3) + file_name) is None


FOREIGN_KEYS = [
    "archive.json",
    "topics",
    "topics/",
    f"topics/orders/{TOPIC_ID}/3/",
    f"topics/orders/{TOPIC_ID}/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/03/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/\u0663/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/-3/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/3/x/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=d e/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de//{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/../country=de/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de/{STEM}-p00.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de/{STEM}-p0.parts",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de/{STEM}-p.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}/3/parts/country=de/{STEM}.parts",
    f"topics/orders/{TOPIC_ID}/4/parts/country=de/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID}/events/parts/country=de/{STEM}-p0.avro",
    f"topics/orders/{TOPIC_ID[1:]}/3/{STEM}.avro",
    f"topics/orders/{TOPIC_ID}=/3/{STEM}.avro",
    f"topics/orders/no-id-/3/{STEM}.avro",
    f"topics/orders/no-id-01/3/{STEM}.avro",
    f"topics/orders/no-id-\u0663/3/{STEM}.avro",
    f"topics/./{TOPIC_ID}/3/.-3-0000000000000000000-0000000000000000999-empty.gap",
    f"topics/../{TOPIC_ID}/3/..-3-0000000000000000000-0000000000000000999-empty.gap",
    f"topics/größe/{TOPIC_ID}/3/größe-3-0000000000000000000-0000000000000000999-empty.gap",
    f"topics/{'t' * 250}/{TOPIC_ID}/3/{'t' * 250}-3-0000000000000000000-0000000000000000999-empty.gap",
    f"topics/a/{TOPIC_ID}/2147483648/a-2147483648-0000000000000000000-0000000000000000999-empty.gap",
    f"topics//{TOPIC_ID}/3/-3-0000000000000000000-0000000000000000999-empty.gap",
    f"topics/orders/{TOPIC_ID}/alias.json",
    f"topics/orders/{TOPIC_ID}/events/1767225700000-exploded.json",
    f"topics/orders/{TOPIC_ID}/events/176722570000-recreated.json",
    f"topics/orders/{TOPIC_ID}/events/17672257000000-recreated.json",
    f"topics/orders/{TOPIC_ID}/events/1767225700000-recreated.json.bak",
    f"topics/orders/{TOPIC_ID}/Events/1767225700000-recreated.json",
    f"other/orders/{TOPIC_ID}/3/{STEM}.avro",
    f"topicsx/orders/{TOPIC_ID}/3/{STEM}.avro",
    f"x/topics/orders/{TOPIC_ID}/3/{STEM}.avro",
]


@pytest.mark.parametrize("key", FOREIGN_KEYS)
def test_any_other_key_is_foreign(key: str) -> None:
    assert LAYOUT.parse(f"{LAYOUT.prefix}/{key}") is None
    assert Layout("").parse(key) is None


def test_a_key_outside_the_prefix_is_foreign() -> None:
    key = Layout("").object(ORDERS_3, WindowName(0, 9, 0, 0, 0))
    assert LAYOUT.parse(key) is None
    assert LAYOUT.parse("/" + LAYOUT.under(key)) is None
    assert Layout("").parse(LAYOUT.under(key)) is None


@given(st.text(max_size=40) | st.from_regex(r"topics/[^/]{0,9}/[^/]{0,30}/[^/]{0,9}/.{0,90}", fullmatch=True))
def test_any_text_is_a_key_or_foreign_and_never_a_crash(key: str) -> None:
    what = Layout("").parse(key)
    if isinstance(what, PartitionObject):
        assert Layout("").object(what.partition, what.name) == key


@given(window_names(), st.integers(0, 200), st.characters())
def test_a_changed_character_makes_another_name_or_a_foreign_one(name: WindowName, at: int, other: str) -> None:
    """No two keys are the same object: what parses is written the same way."""
    key = Layout("").object(ORDERS_3, name)
    at %= len(key)
    changed = key[:at] + other + key[at + 1 :]
    what = Layout("").parse(changed)
    if what is not None:
        assert isinstance(what, PartitionObject)
        assert Layout("").object(what.partition, what.name) == changed


def test_reasons_are_those_of_the_format_page() -> None:
    listed = re.search(r"^REASON +: *= (.+)$|^REASON +=\s(.+)$", FORMAT_PAGE.read_text(), re.MULTILINE)
    assert listed
    assert {reason.value for reason in GapReason} == set((listed[1] or listed[2]).split("|"))


def test_values_print_as_kafka_names_them() -> None:
    assert str(ORDERS_3) == "orders-3"
    assert str(ORDERS_3.incarnation) == f"orders ({TOPIC_ID})"
