"""A person is forgotten in windows that were written as several objects, and their lists say so."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from millpond.archive.parts import NO_DIGEST, PartsDocument
from millpond.archive.parts_reading import FetchedParts
from millpond.backup.partitioner import Partitioner
from millpond.backup.path_policies import PathPolicies
from millpond.erasure.buckets import bucket_of, bucket_text
from millpond.erasure.secret import ErasureSecret, keyed_hash
from millpond.errors import RefusedForSafety
from millpond.records import Row
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from tests.unit.builders import make_window
from tests.unit.erasure.archive_builder import KEY_PLACE, SECRET, VALUE_PLACE, Pond, partition, request, searched
from tests.unit.erasure.fault_stores import Counting, Crash
from tests.unit.parts_builder import documents, keys_of, store_in_parts

ANNA, CUSTOMERS = "anna", ["anna", "ben", "carl", "dora", "emil", "fay"]
BY_KEY = {"orders": searched(KEY_PLACE)}


def rows_of(count: int, first: int = 0) -> list[Row]:
    return [
        (o, 1000 + o, CUSTOMERS[o % 6].encode(), json.dumps({"customer": {"id": CUSTOMERS[o % 6]}}).encode(), ())
        for o in range(first, first + count)
    ]


ROWS = rows_of(60)
OTHERS = [row for row in ROWS if row[2] != b"anna"]


def partitioner(pond: Pond, spec: str = "key", policy: Any = BY_KEY, *, secret: ErasureSecret = SECRET) -> Partitioner:
    """With a policy that was given to the backup before anybody asked to be forgotten."""
    given = request("x", topics=policy).policy
    policies = PathPolicies(pond.store, pond.layout, pond.archive_id, secret=secret, given=[given])
    return Partitioner.of(spec).protected(policies)


def store(pond: Pond, rows: list[Row] = ROWS, by: Partitioner | None = None, *, number: int = 0) -> str:
    of = partition(number=number)
    facts = make_window(rows, partition=of, archive_id=pond.archive_id).facts
    return store_in_parts(pond.store, rows, by or partitioner(pond), layout=pond.layout, facts=facts)


def document(pond: Pond, number: int = 0) -> PartsDocument:
    (found,) = documents(pond.store, partition(number=number), layout=pond.layout)
    return found


def content(pond: Pond) -> list[Row]:
    with ExitStack() as stack:
        fetched = FetchedParts(pond.layout, partition(), document(pond), pond.store.open, stack)
        return [row for block in fetched.open().blocks() for row in block.rows()]


@pytest.fixture
def pond() -> Pond:
    return Pond(MemoryStore())


def test_identifiers_stand_in_no_name(pond: Pond) -> None:
    store(pond)
    assert len(keys_of(pond.store, ".avro")) == len({bucket(pond, name) for name in CUSTOMERS})
    assert not any(name in key for key in keys_of(pond.store) for name in CUSTOMERS)
    assert not any(
        name.encode() in body for key, body in pond.all_content() if key.endswith(".parts") for name in CUSTOMERS
    )


def bucket(pond: Pond, name: str) -> str:
    key = SECRET.derived("k1", pond.archive_id, "customer_id")
    return bucket_text(bucket_of(keyed_hash(key, name.encode()), 256))


def test_the_person_is_gone_from_the_parts_and_everybody_else_is_there(pond: Pond) -> None:
    store(pond)
    receipt = pond.run(request(ANNA))
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 10)
    assert content(pond) == OTHERS


def test_the_list_states_the_parts_as_they_are_and_no_digest_of_what_was(pond: Pond) -> None:
    store(pond)
    before = document(pond)
    pond.run(request(ANNA))
    after = document(pond)
    changed = [part for old, part in zip(before.parts, after.parts, strict=True) if old != part]
    assert [part.redactions for part in changed] == [1] and len(before.parts) > 1
    assert (after.facts.count, after.facts.digest) == (50, NO_DIGEST)
    assert [(entry.sweep, entry.dropped) for entry in after.facts.redactions] == [("run-1", 10)]
    gone = [before.facts.digest, before.facts.salt, *(p.digest for p in before.parts if p not in after.parts)]
    assert not any(text.encode() in body for _, body in pond.all_content() for text in gone)
    assert all(len(pond.versions(key)) == 1 for key in keys_of(pond.store) if "/topics/" in key)


def test_a_window_without_the_person_is_left_as_it_is(pond: Pond) -> None:
    store(pond, OTHERS)
    before = dict(pond.all_content())
    receipt = pond.run(request(ANNA))
    assert receipt["status"] == "COMPLETE"
    after = dict(pond.all_content())
    assert {key: after[key] for key in before} == before


class Reads(MemoryStore):
    """Knows which keys were opened, and which of them in a certain version, as scans do."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.scanned: set[str] = set()

    def open(self, key: str, **more: Any) -> Any:
        self.opened.append(key)
        if more.get("version"):
            self.scanned.add(key)
        return super().open(key, **more)


def test_only_parts_that_may_hold_the_person_are_read() -> None:
    reads = Reads()
    pond = Pond(reads)
    store(pond)
    plan = pond.plan(request(ANNA))
    distinct = {bucket(pond, name) for name in CUSTOMERS}
    assert plan["totals"]["skipped"] == len(distinct) - 1
    reads.scanned.clear()
    assert pond.redact() == 0
    scanned = {key for key in reads.scanned if key.endswith(".avro")}
    assert len(scanned) == 1 and all(bucket(pond, ANNA) in key for key in scanned)
    assert pond.reconcile()["status"] == "COMPLETE"
    assert content(pond) == OTHERS


def test_windows_without_the_persons_bucket_are_not_opened_at_all() -> None:
    reads = Reads()
    pond = Pond(reads)
    rest = [row for row in OTHERS if bucket(pond, row[2].decode()) != bucket(pond, ANNA)]  # type: ignore[union-attr]
    store(pond, rest)
    pond.plan(request(ANNA))
    reads.opened.clear()
    assert pond.redact() == 0
    assert not [key for key in reads.opened if "-p" in key.rsplit("/", 1)[-1] and key.endswith(".avro")]
    assert pond.reconcile()["status"] == "COMPLETE"


ODD: list[tuple[bytes | None, bytes | None]] = [
    (b"anna", None),
    (b"ben", b'{"customer": {"id": "anna"}}'),
    (b"ben", b'{"customer": [{"id": "ben"}, {"id": "anna"}]}'),
    (b"ben", b'{"customer": {"id": "ben", "id": "anna"}}'),
    (b"ben", b'{"customer": [{"id": "anna"}, {}]}'),
    (b"ben", b'{"customer": [{"id": "anna"}, {"id": null}]}'),
    (b"ben", b'{"customer": {"id": ["carl", "anna"]}}'),
    (b"ben", b'{"customer": {"\\u0069d": "anna"}}'),
    (None, b'{"customer": {"id": "anna"}}'),
    (b"\xff", b'{"customer": {"id": "anna"}}'),
    (b"anna", b"no JSON"),
]


@pytest.mark.parametrize(
    "spec", ["key", "value.customer.id", "key,value.customer.id", "value.customer.id,key", "value.customer"]
)
@pytest.mark.parametrize(
    "places", [(KEY_PLACE,), (VALUE_PLACE,), (KEY_PLACE, VALUE_PLACE)], ids=["key", "value", "both"]
)
def test_a_part_that_holds_the_person_is_never_skipped(spec: str, places: Any) -> None:
    """The same records in one window are what the parts are held against."""
    rows = [(n, 1000 + n, key, value, ()) for n, (key, value) in enumerate(ODD * 3)] + rows_of(40, first=100)
    policy = {"orders": searched(*places)}
    parts, plain = Pond(MemoryStore()), Pond(MemoryStore())
    store(parts, rows, partitioner(parts, spec, policy))
    key = plain.write(rows)
    asked = request(ANNA, topics=policy)
    in_parts, in_one = parts.run(asked), plain.run(asked)
    assert content(parts) == plain.rows(key)
    assert in_parts["objects"]["dropped"] == in_one["objects"]["dropped"] > 0


def test_another_secret_in_the_names_means_that_everything_is_read(pond: Pond) -> None:
    other = ErasureSecret({"k1": "another-secret-another-secret-another"})
    store(pond, ROWS, partitioner(pond, secret=other))
    assert "skipped" not in pond.plan(request(ANNA))["totals"]
    assert pond.redact() == 0
    pond.reconcile()
    assert content(pond) == OTHERS


def test_names_made_under_an_older_key_still_tell_what_to_skip(pond: Pond) -> None:
    store(pond)
    pond.secret = ErasureSecret({**SECRET.keys, "k2": "fedcba9876543210" * 4})
    assert pond.plan(request(ANNA))["totals"]["skipped"] > 0
    assert pond.redact() == 0
    pond.reconcile()
    assert content(pond) == OTHERS


def test_names_in_clear_are_an_exception_of_the_receipt(pond: Pond) -> None:
    """No redaction reaches a name: the policy came after the backup."""
    store(pond, ROWS, Partitioner.of("key"))
    receipt = pond.run(request(ANNA))
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"
    assert {"kind": "identifiers in names", "topic": "orders", "objects": 6} in receipt["exceptions"]
    assert content(pond) == OTHERS


def test_orphans_are_searched_like_any_object(pond: Pond) -> None:
    key = store(pond)
    pond.store.delete_version(key, pond.versions(key)[0].version)
    receipt = pond.run(request(ANNA))
    assert receipt["objects"]["dropped"] == 10
    assert not any(b"anna" in body for name, body in pond.all_content() if name.endswith(".avro"))


def test_a_part_with_an_older_version_is_always_read(pond: Pond) -> None:
    store(pond, OTHERS)
    (key, *_) = keys_of(pond.store, ".avro")
    old, head = pond.read(key), pond.store.head(key)
    assert head is not None
    with pond.store.open(key) as stream:
        body = stream.read()
    pond.store.put_if_match(key, body, head.etag, head.metadata)
    lines = pond.plan(request(ANNA))["lines"]
    assert pond.redact() == 0
    pond.reconcile()
    assert len(pond.versions(key)) == 1 and pond.read(key)[0] == old[0] and lines > 1


def test_a_missing_part_leaves_the_list_alone_and_is_told(pond: Pond) -> None:
    store(pond)
    key = next(key for key in keys_of(pond.store, ".avro") if bucket(pond, ANNA) not in key)
    pond.store.delete_version(key, pond.versions(key)[0].version)
    receipt = pond.run(request(ANNA))
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"
    assert [exception["kind"] for exception in receipt["exceptions"]] == ["damaged"]


def test_an_older_list_of_other_parts_is_left_alone(pond: Pond) -> None:
    key = store(pond)
    good = document(pond)
    head = pond.store.head(key)
    assert head is not None
    last = good.parts[-1]
    fewer = replace(
        good,
        parts=good.parts[:-1],
        facts=replace(
            good.facts, count=good.facts.count - last.count, size_bytes=good.facts.size_bytes - last.size_bytes
        ),
    )
    pond.store.put_if_match(key, fewer.body(), head.etag, head.metadata)
    receipt = pond.run(request(ANNA))
    assert "unexplained version" in [exception["kind"] for exception in receipt["exceptions"]]
    assert len(pond.versions(key)) == 2


def test_a_part_written_into_the_window_after_the_plan_is_refused(pond: Pond) -> None:
    store(pond)
    pond.plan(request(ANNA))
    assert pond.redact() == 0
    stray = keys_of(pond.store, ".avro")[0].replace("bucket-", "bucket-0")
    with pond.store.open(keys_of(pond.store, ".avro")[0]) as stream:
        pond.store.put_if_absent(stray, stream.read())
    with pytest.raises(RefusedForSafety):
        pond.reconcile()


@pytest.mark.parametrize("units", [1, 3])
def test_workers_share_the_lines_of_parts_and_lists(pond: Pond, units: int) -> None:
    for number in range(3):
        store(pond, ROWS, number=number)
    pond.plan(request(ANNA))
    for unit in reversed(range(units)):  # lists come up before some of their parts
        assert pond.redact(unit=unit, units=units) == 0
    assert pond.reconcile()["objects"]["dropped"] == 30
    assert content(pond) == OTHERS


def test_a_folder_without_versions_is_redacted_too(tmp_path: Any) -> None:
    pond = Pond(FolderStore(tmp_path))
    store(pond)
    assert pond.run(request(ANNA))["status"] == "COMPLETE"
    assert content(pond) == OTHERS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_after_a_crash_at_any_call_the_next_try_finishes(after: bool) -> None:
    calls = 1
    while True:
        memory = MemoryStore()
        pond = Pond(memory)
        store(pond, rows_of(18))
        pond.plan(request(ANNA))
        dying = Counting(memory, die_at=calls, after=after)
        pond.store = dying  # type: ignore[assignment]
        try:
            pond.redact()
        except Crash:
            pond.store = memory
            assert [row for row in content(pond) if row[2] != b"anna"] == [r for r in rows_of(18) if r[2] != b"anna"]
            assert pond.redact() == 0
            receipt = pond.reconcile()
            assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 3)
            assert content(pond) == [row for row in rows_of(18) if row[2] != b"anna"]
            assert document(pond).facts.digest == NO_DIGEST
            calls += 1
            continue
        pond.store = memory
        break
    assert calls > 20
