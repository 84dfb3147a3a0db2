"""Lists of parts: what they say, and everything that is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.catalog import read_partition
from millpond.archive.coverage import Span
from millpond.archive.facts import PartOf, Redaction, WindowFacts
from millpond.archive.keys import Layout
from millpond.archive.names import GapReason
from millpond.archive.parts import NO_DIGEST, PartsDocument, document_of, listed_parts, part_keys, read_document
from millpond.archive.parts_reading import FetchedParts
from millpond.errors import DamagedArchive, WrongUsage
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT, ORDERS_3, a_partition, make_rows, make_window, put_gap, put_rows
from tests.unit.parts_builder import documents, keys_of, store_in_parts

ROWS = [(o, at, b"k%d" % (o % 3), value, headers) for o, at, _, value, headers in make_rows(0, 30)]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def document(store: MemoryStore) -> PartsDocument:
    store_in_parts(store, ROWS)
    (found,) = documents(store)
    return found


def test_a_list_reads_back_as_it_was_written(document: PartsDocument) -> None:
    assert PartsDocument.parse(document.body(), LAYOUT, ORDERS_3, "it") == document
    assert document.proven


def test_names_that_nobody_knows_are_ignored(document: PartsDocument) -> None:
    more = json.loads(document.body()) | {"more": 1}
    more["window"]["more"] = "x"
    more["parts"][0]["more"] = [1]
    assert PartsDocument.parse(json.dumps(more).encode(), LAYOUT, ORDERS_3, "it") == document


def _without(name: str) -> Callable[[Any], Any]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def _part(**more: Any) -> Callable[[Any], Any]:
    return lambda body: body | {"parts": [body["parts"][0] | more, *body["parts"][1:]]}


@pytest.mark.parametrize(
    "change",
    [
        _without("window"),
        _without("parts"),
        _without("partition_by"),
        lambda body: [body],
        lambda body: body | {"parts": []},
        lambda body: body | {"parts": body["parts"][1:]},
        lambda body: body | {"parts": body["parts"][::-1]},
        lambda body: body | {"parts": [*body["parts"], body["parts"][-1]]},
        lambda body: body | {"partition_by": ["key"]},
        lambda body: body | {"window": body["window"] | {"count": 30}},
        lambda body: body | {"window": body["window"] | {"count": "29"}},
        lambda body: body | {"window": _without("salt")(body["window"])},
        lambda body: body | {"window": body["window"] | {"first": "1"}},
        _part(count=9),
        _part(count="10"),
        _part(bytes=1),
        _part(digest=None),
        _part(key=5),
        _part(key="parts/key=k0/x-p0.avro"),
        _part(key="orders-3-0000000000000000000-0000000000000000029-e7-t1767225600000-1767225600004.avro"),
    ],
)
def test_what_contradicts_itself_is_damage(document: PartsDocument, change: Callable[[Any], Any]) -> None:
    body = json.dumps(change(json.loads(document.body()))).encode()
    with pytest.raises(DamagedArchive, match=r"it|metadata"):
        PartsDocument.parse(body, LAYOUT, ORDERS_3, "it")


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"{}", b"\xff", b'{"window": {}, "parts": [1]}'])
def test_what_is_no_list_is_damage_and_no_crash(body: bytes) -> None:
    with pytest.raises(DamagedArchive):
        PartsDocument.parse(body, LAYOUT, ORDERS_3, "it")


def test_a_list_of_a_newer_format_asks_for_an_upgrade(document: PartsDocument) -> None:
    body = json.loads(document.body())
    body["window"]["format"] = "2"
    with pytest.raises(WrongUsage) as caught:
        PartsDocument.parse(json.dumps(body).encode(), LAYOUT, ORDERS_3, "it")
    assert "upgrade" in caught.value.hint


def test_a_list_under_another_windows_name_is_damage(store: MemoryStore) -> None:
    store_in_parts(store, ROWS)
    (window,) = read_partition(store, LAYOUT, ORDERS_3).windows
    with pytest.raises(DamagedArchive, match="another window"):
        read_document(store, LAYOUT, ORDERS_3, replace(window.name, last=99), window.info)
    with pytest.raises(DamagedArchive, match="another window"):
        read_document(store, LAYOUT, ORDERS_3, window.name, window.info, "another archive")
    with pytest.raises(DamagedArchive):
        read_document(store, LAYOUT, a_partition(partition=4), window.name, window.info)


def test_a_listing_keeps_windows_and_parts_apart(store: MemoryStore) -> None:
    put_gap(store, 30, 39, GapReason.EMPTY)
    key = store_in_parts(store, ROWS)
    put_rows(store, make_rows(40, 5))
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert [window.info.key for window in listing.windows][:1] == [key] and len(listing.windows) == 2
    assert [part.info.key for part in listing.parts] == keys_of(store, "0.avro") + keys_of(store, "-p1.avro") + keys_of(
        store, "-p2.avro"
    )
    assert listing.covered() == [Span(0, 44)] and listing.position(log_start=0) == 45
    assert listing.unexplained() == []


def test_parts_without_a_list_cover_nothing(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS)
    store.delete(key)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    assert (len(listing.parts), listing.windows, listing.covered()) == (3, (), [])
    assert listing.position(log_start=0) == 0


def test_the_parts_of_a_list_are_found_in_order_or_named_as_missing(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    (document,) = documents(store)
    found = [part.info.key for part in listed_parts(LAYOUT, listing, document, key)]
    assert found == part_keys(LAYOUT, ORDERS_3, document) == sorted(found)
    store.delete(found[1])
    with pytest.raises(DamagedArchive) as caught:
        listed_parts(LAYOUT, read_partition(store, LAYOUT, ORDERS_3), document, key)
    assert found[1].rsplit("/", 1)[1] in str(caught.value) and key in str(caught.value)


def test_facts_of_a_part_fit_its_names_and_no_others(store: MemoryStore) -> None:
    store_in_parts(store, ROWS)
    listing = read_partition(store, LAYOUT, ORDERS_3)
    first, second = listing.parts[0], listing.parts[1]
    head = store.head(first.info.key)
    assert head is not None
    facts = WindowFacts.from_object_metadata(head.metadata)
    assert facts.fits(first.name) and facts.fits(replace(first.name, twin="0a1b2c3d"))
    assert not facts.fits(second.name)
    assert not facts.fits(listing.windows[0].name)
    assert not replace(facts, part=None).fits(first.name)
    for other in ({"last": 30}, {"epoch": 8}, {"newest_ms": first.name.newest_ms + 1}):
        assert not facts.fits(replace(first.name, **other))  # type: ignore[arg-type]


def test_the_metadata_of_any_part_fits_into_what_s3_takes() -> None:
    place = a_partition("t" * 249, 2**31 - 1)
    facts = make_window(ROWS, partition=place, epoch=2**31 - 1).facts
    most = 2**63 - 1
    facts = replace(facts, first=most, last=most, count=most, size_bytes=most, min_timestamp=-most, max_timestamp=-most)
    stem = facts.name.stem(topic=place.topic, partition=place.partition)
    entry = Redaction("s" * 80, most, most, most, most)
    metadata = replace(facts, part=PartOf(999, 1000, stem), redactions=(entry,)).to_object_metadata()
    assert sum(len(name) + len(text) for name, text in metadata.items()) < 2048


def test_entries_of_all_parts_are_summed_up_for_the_window(document: PartsDocument) -> None:
    part = make_window(ROWS[:5]).facts
    one = replace(part, redactions=(Redaction("a", 1, 0, 0, 5), Redaction("b", 2, 0, 1, 9)))
    other = replace(part, redactions=(Redaction("b", 3, 1, 0, 8),))
    found = document_of(document.facts, (), [("x", one), ("y", other), ("z", part)])
    assert found.facts.redactions == (Redaction("a", 1, 0, 0, 5), Redaction("b", 5, 1, 1, 9))
    assert (found.facts.count, found.facts.digest, found.proven) == (15, NO_DIGEST, False)


def test_many_parts_need_one_connection_at_a_time(store: MemoryStore) -> None:
    rows = [(o, at, b"k%d" % (o % 40), value, headers) for o, at, _, value, headers in make_rows(0, 200)]
    store_in_parts(store, rows)
    (document,) = documents(store)
    opened: list[Any] = []

    def fetch(key: str) -> Any:
        assert all(stream.closed for stream in opened)
        opened.append(store.open(key))
        return opened[-1]

    with ExitStack() as stack:
        fetched = FetchedParts(LAYOUT, ORDERS_3, document, fetch, stack)
        for _ in range(2):
            assert [row for block in fetched.open().blocks() for row in block.rows()] == rows
    assert len(opened) == 40


def test_large_windows_are_merged_from_disk(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millpond.archive.parts_reading._IN_MEMORY", 100)
    store_in_parts(store, ROWS)
    (document,) = documents(store)
    with ExitStack() as stack:
        fetched = FetchedParts(LAYOUT, ORDERS_3, document, store.open, stack)
        assert [row for block in fetched.open().blocks() for row in block.rows()] == ROWS


def test_an_archive_without_a_prefix_holds_parts_too(store: MemoryStore) -> None:
    key = store_in_parts(store, ROWS, layout=Layout(""))
    assert key.startswith("topics/") and json.loads(read(store, key))["parts"][0]["key"].startswith("parts/key=k0/")
    assert len(read_partition(store, Layout(""), ORDERS_3).parts) == 3
