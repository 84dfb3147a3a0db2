"""Older versions, delete markers, and other writers: what is purged, what is left alone, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.archive.facts import Redaction
from millpond.errors import MillpondError, RefusedForSafety
from millpond.storage.contract import ObjectStore
from millpond.storage.folder import FolderStore
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import RUN, Pond, request, row, window
from tests.unit.erasure.fault_stores import Lagging, Locked, Meddled

ANNA, BEN, CARL = row(0, b"anna"), row(1, b"ben"), row(2, b"carl")
SPAN = {"first": 0, "last": 2}
SECOND = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def pond(store: MemoryStore) -> Pond:
    return Pond(store)


def exceptions(receipt: dict[str, Any]) -> list[tuple[str, str]]:
    return [(exception["kind"], exception.get("version", "")) for exception in receipt["exceptions"]]


def test_older_versions_with_the_same_records_go(pond: Pond) -> None:
    for _ in range(3):
        key = pond.write([ANNA, BEN, CARL])
    receipt = pond.run(request("anna"))
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[BEN, CARL]]
    assert (receipt["status"], receipt["objects"]["versions_purged"]) == ("COMPLETE", 3)


def test_what_an_earlier_redaction_left_behind_goes_when_the_newest_is_clean(pond: Pond) -> None:
    key = pond.write([ANNA, BEN])
    pond.write([BEN], first=0, last=1)
    receipt = pond.run(request("anna"))
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[BEN]]
    assert receipt["objects"]["dropped"] == 0


def test_an_older_version_that_nothing_explains_is_left_alone_and_reported(pond: Pond) -> None:
    key = pond.write([ANNA, BEN, CARL])
    (good,) = pond.versions(key)
    pond.write([ANNA, CARL], **SPAN)
    receipt = pond.run(request("anna"))
    newest, oldest = pond.versions(key)
    assert (pond.rows(key, newest.version), pond.rows(key, oldest.version)) == ([CARL], [ANNA, BEN, CARL])
    assert exceptions(receipt) == [("unexplained version", good.version)]
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_an_overwrite_with_other_records_of_the_same_number_is_not_taken_for_a_redaction(pond: Pond) -> None:
    pond.write([ANNA, BEN, CARL])
    key = pond.write([row(1, b"ben", b"forged"), CARL], **SPAN)
    receipt = pond.run(request("anna"))
    assert len(pond.versions(key)) == 2
    assert [kind for kind, _ in exceptions(receipt)] == ["unexplained version"]


def test_an_overwrite_that_is_no_window_destroys_nothing(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA, BEN])
    (good,) = pond.versions(key)
    store.put_if_match(key, b"garbage", good.etag)
    receipt = pond.run(request("anna"))
    bad, still = pond.versions(key)
    assert still == good
    assert exceptions(receipt) == [("damaged", bad.version), ("unexplained version", good.version)]


@pytest.mark.parametrize("wrong", [{"first": 1}, {"last": 9}, {"archive_id": "0123456789abcdef"}])
def test_an_overwrite_with_a_window_of_another_place_destroys_nothing(
    pond: Pond, store: MemoryStore, wrong: dict[str, Any]
) -> None:
    key = pond.write([ANNA, BEN], first=0, last=2)
    (good,) = pond.versions(key)
    more = {"first": 0, "last": 2, "archive_id": pond.archive_id, **wrong}
    with window([BEN], of=pond.layout.parse(key).partition, **more) as (_, body):
        store.put_if_match(key, body, good.etag)
    receipt = pond.run(request("anna"))
    assert good in pond.versions(key)
    assert [kind for kind, _ in exceptions(receipt)] == ["damaged", "unexplained version"]


def test_a_damaged_block_keeps_the_older_versions(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([BEN] + [row(n, b"x" * 50) for n in range(5, 9)], first=0, last=9)
    (good,) = pond.versions(key)
    content = bytearray(store.open(key).read())
    content[-40] ^= 1
    store.put_if_match(key, bytes(content), good.etag)
    receipt = pond.run(request("anna"))
    assert good in pond.versions(key)
    assert [kind for kind, _ in exceptions(receipt)] == ["damaged", "unexplained version"]


def test_a_damaged_older_version_is_left_alone(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA, BEN])
    (first,) = pond.versions(key)
    broken = store.put_if_match(key, store.open(key).read()[:-3], first.etag)
    store.put_if_match(key, store.open(key, version=first.version).read(), broken.etag)
    receipt = pond.run(request("anna"))
    newest, left = pond.versions(key)
    assert left.version == broken.version
    assert pond.rows(key, newest.version) == [BEN]
    assert exceptions(receipt) == [("unexplained version", broken.version)]


def test_versions_that_another_run_left_are_explained_by_its_plan(pond: Pond, store: MemoryStore) -> None:
    """Two overlapping runs: neither may block the purge of the other."""
    key = pond.write([ANNA, BEN, CARL])
    pond.plan(request("anna"))
    pond.plan(request("ben", request_id=SECOND), run_id="run-2")
    pond.redact()
    with_entry, _ = pond.read(key)
    assert [entry.sweep for entry in with_entry.redactions] == [RUN]
    # run-1 died behind its put, before its purge: the original is still there, below the rewritten one
    clean = store.open(key).read()
    store.delete_version(key, pond.versions(key)[0].version)
    with window([ANNA, BEN, CARL], of=pond.layout.parse(key).partition, archive_id=pond.archive_id, **SPAN) as (
        _,
        body,
    ):
        original = store.put_if_absent(key, body)
    store.put_if_match(key, clean, original.etag)
    pond.redact(run_id="run-2")
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[CARL]]
    receipt = pond.reconcile(run_id="run-2")
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 1)


def test_a_forged_list_of_redactions_explains_nothing(pond: Pond) -> None:
    key = pond.write([ANNA, BEN, CARL])
    forged = (Redaction("run-x", 1, 0, 0, 1), Redaction("../../erasures", 1, 0, 0, 1), Redaction(RUN, 1, 0, 0, 1))
    pond.write([CARL], redactions=forged, **SPAN)
    receipt = pond.run(request("anna"))
    assert len(pond.versions(key)) == 2
    assert [kind for kind, _ in exceptions(receipt)] == ["unexplained version", "unexplained redaction"]


def test_a_refused_delete_is_an_exception_of_the_receipt() -> None:
    pond = Pond(Locked())
    key = pond.write([ANNA, BEN])
    (locked,) = pond.versions(key)
    receipt = pond.run(request("anna"))
    assert pond.rows(key) == [BEN]
    assert exceptions(receipt) == [("delete refused", locked.version)]
    assert "AccessDenied" in receipt["exceptions"][0]["reason"]
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_under_a_delete_marker_a_match_brings_the_window_back_without_it(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA, BEN])
    store.delete(key)
    receipt = pond.run(request("anna"))
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[BEN]]
    assert pond.rows(key) == [BEN]
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 1)
    assert receipt["scope"]["orders"]["objects_hidden"] == 0


def test_under_a_delete_marker_a_window_without_a_match_stays_hidden(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([BEN])
    state = pond.versions(key)
    store.delete(key)
    receipt = pond.run(request("anna"))
    assert (pond.versions(key), store.head(key)) == (state, None)
    assert (receipt["status"], receipt["scope"]["orders"]["objects_hidden"]) == ("COMPLETE", 1)


def test_below_a_delete_marker_a_clean_window_still_loses_its_dirty_older_version(
    pond: Pond, store: MemoryStore
) -> None:
    key = pond.write([ANNA, BEN])
    pond.write([BEN], first=0, last=1)
    store.delete(key)
    pond.run(request("anna"))
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[BEN]]
    assert store.head(key) is None


def test_delete_markers_between_versions_go(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA, BEN])
    store.delete(key)
    pond.write([ANNA, BEN])
    pond.run(request("anna"))
    assert len(list(store.list_versions(key))) == 1


def test_a_key_of_which_only_delete_markers_remain_is_not_planned(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA])
    (info,) = pond.versions(key)
    store.delete(key)
    store.delete_version(key, info.version)
    pond.write([BEN])
    assert pond.plan(request("anna"))["lines"] == 1


def test_a_window_that_is_pruned_between_plan_and_work_is_done(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([ANNA])
    pond.plan(request("anna"))
    store.delete_version(key, pond.versions(key)[0].version)
    assert pond.redact() == 0
    assert pond.reconcile()["objects"]["records_in"] == 0


def test_a_replacement_between_scan_and_put_is_scanned_as_well() -> None:
    store = Meddled()
    pond = Pond(store)
    key = pond.write([ANNA, BEN])

    def replace(_: str) -> None:
        store.before.clear()
        pond.write([ANNA, BEN], codec="null", block=1)

    pond.plan(request("anna"))
    store.before["put_if_match"] = replace
    assert pond.redact() == 0
    receipt = pond.reconcile()
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[BEN]]
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 1)
    assert receipt["scope"]["orders"]["places"][0]["matched"] == 1


def test_a_replacement_with_other_counts_in_the_same_millisecond_is_counted_right() -> None:
    store = Meddled()
    pond = Pond(store)
    key = pond.write([ANNA, BEN, CARL])
    pond.plan(request("anna"))

    def replace(_: str) -> None:
        store.before.clear()
        pond.write([ANNA, row(1, b"anna"), CARL])

    store.before["put_if_match"] = replace
    pond.redact()
    assert pond.rows(key) == [CARL]
    receipt = pond.reconcile()
    assert receipt["objects"]["dropped"] == 2
    assert receipt["scope"]["orders"]["places"][0]["matched"] == 2
    assert [kind for kind, _ in exceptions(receipt)] == ["unexplained version"], "the overwritten one had ben"


def test_a_key_that_never_stands_still_fails_after_five_rounds() -> None:
    store = Meddled()
    pond = Pond(store)
    pond.write([ANNA, BEN])
    pond.plan(request("anna"))
    puts = []

    def replace(key: str) -> None:
        puts.append(key)
        meddle, store.before = store.before, {}
        pond.write([ANNA, BEN])
        store.before = meddle

    store.before["put_if_match"] = replace
    assert pond.redact() == 1
    assert len(puts) == 5
    store.before.clear()
    with pytest.raises(MillpondError, match=r"line 0: .* changed in each of 5 rounds"):
        pond.reconcile()
    assert pond.redact() == 0
    assert pond.reconcile()["status"] == "COMPLETE"


def test_an_overwrite_during_the_purge_never_costs_the_good_copy() -> None:
    store = Meddled()
    pond = Pond(store)
    key = pond.write([ANNA, BEN])
    pond.plan(request("anna"))

    def overwrite(_: str) -> None:
        store.before.clear()
        found = store.head(key)
        assert found is not None
        store.put_if_match(key, b"garbage", found.etag)

    store.before["delete_version"] = overwrite
    assert pond.redact() == 0
    receipt = pond.reconcile()
    garbage, good = pond.versions(key)
    assert pond.rows(key, good.version) == [BEN]
    assert exceptions(receipt) == [("damaged", garbage.version), ("unexplained version", good.version)]


def test_what_an_unfinished_round_left_alone_is_told_once() -> None:
    store = Meddled()
    pond = Pond(store)
    pond.write([ANNA, BEN, CARL])
    key = pond.write([ANNA, CARL], **SPAN)
    pond.plan(request("anna"))

    def append(_: str) -> None:
        store.before.clear()
        pond.write([CARL], **SPAN)

    store.before["delete_version"] = append
    assert pond.redact() == 0
    receipt = pond.reconcile()
    assert [pond.rows(key, info.version) for info in pond.versions(key)] == [[CARL], [ANNA, BEN, CARL]]
    assert [kind for kind, _ in exceptions(receipt)] == ["unexplained version"]


def test_an_older_version_that_only_a_later_listing_shows_stops_the_receipt() -> None:
    store = Lagging()
    pond = Pond(store)
    pond.write([ANNA, BEN])
    pond.write([BEN], first=0, last=1)
    store.lags = True
    pond.plan(request("anna"))
    pond.redact()
    store.lags = False
    with pytest.raises(RefusedForSafety, match="is not as its redaction left it"):
        pond.reconcile()


def test_a_window_that_changed_after_its_result_stops_the_receipt(pond: Pond) -> None:
    pond.write([ANNA, BEN])
    asked = request("anna")
    pond.plan(asked)
    pond.redact()
    pond.write([ANNA, BEN])
    with pytest.raises(RefusedForSafety, match="is not as its redaction left it"):
        pond.reconcile()
    assert pond.store.head(pond.layout.receipt(str(asked.request_id))) is None


@pytest.mark.parametrize("change", ["anna again", "nothing"])
def test_a_store_without_versions_is_redacted_too(tmp_path: Any, change: str) -> None:
    store: ObjectStore = FolderStore(tmp_path)
    pond = Pond(store)
    key = pond.write([ANNA, BEN])
    pond.plan(request("anna"))
    assert pond.redact() == 0
    assert pond.rows(key) == [BEN]
    if change == "nothing":
        assert pond.reconcile()["objects"]["dropped"] == 1
        return
    pond.write([ANNA, BEN])
    with pytest.raises(RefusedForSafety):
        pond.reconcile()
