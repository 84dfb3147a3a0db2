from __future__ import annotations

import json

import pytest

from millpond.erasure.secret import ErasureSecret
from millpond.erasure.sweeps import redact_run
from millpond.errors import MillpondError, RefusedForSafety, WrongUsage
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.erasure.archive_builder import KEY_PLACE, NOW, VALUE_PLACE, Pond, partition, request, row, searched

EMAIL_PLACE = {"type": "email", "at": "value", "format": "json", "path": "mail"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def pond(store: MemoryStore) -> Pond:
    return Pond(store)


def test_a_plan_names_every_version_of_every_window_of_searched_topics(pond: Pond, store: MemoryStore) -> None:
    twice = pond.write([row(0, b"a")])
    pond.write([row(0, b"a")])
    hidden = pond.write([row(4, b"a"), row(6, b"a")], first=3, last=9)
    store.delete(hidden)
    pond.write([row(0, b"a")], of=partition("logs"))
    pond.write([row(0, b"a")], of=partition("mails"))
    topics = {"orders": searched(), "logs": {"none": "machines"}, "mails": searched(EMAIL_PLACE)}
    document = pond.plan(request("anna", topics=topics))
    lines = [line for _, line in redact_run(store, pond.layout, "run-1").lines()]
    versions = {key: [v.info.version for v in store.list_versions(key)] for key in (twice, hidden)}
    assert lines == [{"key": key, "versions": versions[key]} for key in (twice, hidden)]
    assert document["totals"]["objects"] == 2
    assert document["totals"]["versions"] == 4
    assert document["ends"] == {"orders": {"A" * 22: {"0": 10}}}
    assert {topic: scope["class"] for topic, scope in document["topics"].items()} == {
        "logs": "none",
        "mails": "other types",
        "orders": "searched",
    }
    assert document["exceptions"] == []


def test_a_plan_holds_hashes_and_no_identifier(pond: Pond, store: MemoryStore) -> None:
    pond.write([row(0, b"anna")])
    document = pond.plan(request("anna", "ben"))
    asked = document["request"]
    assert set(asked) == {
        "request_id",
        "reference",
        "received_at",
        "policy",
        "topics",
        "hashes",
        "key_id",
        "key_check",
    }
    assert [len(digest) for digest in asked["hashes"]["customer_id"]] == [64, 64]
    assert b"anna" not in read(store, redact_run(store, pond.layout, "run-1").key("plan.jsonl"))
    assert json.loads(read(store, f"pond/erasures/policies/{asked['policy']}.json"))["topics"].keys() == {"orders"}


def test_the_order_of_subjects_does_not_show(pond: Pond) -> None:
    pond.write([row(0, b"a")])
    one = pond.plan(request("anna", "ben", "carl", "dora", "anna"))
    hashes = one["request"]["hashes"]["customer_id"]
    assert (hashes, len(hashes)) == (sorted(hashes), 4)
    assert pond.plan(request("dora", "ben", "carl", "anna")) == one


def test_a_topic_that_the_policy_does_not_classify_is_an_exception(pond: Pond) -> None:
    pond.write([row(0, b"anna")])
    pond.write([row(0, b"anna")], of=partition("strange"))
    receipt = pond.run(request("anna"))
    assert receipt["exceptions"] == [{"kind": "unclassified topic", "topic": "strange", "objects": 1}]
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_foreign_objects_are_counted_by_topic_and_not_named(pond: Pond, store: MemoryStore) -> None:
    key = pond.write([row(0, b"anna")])
    folder = key.rsplit("/", 1)[0]
    for name in (f"{folder}/jane.csv", f"{folder}/parts/x/y.avro", "pond/topics/jane/x", "pond/topics/jane"):
        store.put_if_absent(name, b"x")
    store.put_if_absent("pond/topics/orders/gone", b"x")
    store.delete_version("pond/topics/orders/gone", store.head("pond/topics/orders/gone").version)  # type: ignore[union-attr]
    receipt = pond.run(request("anna"))
    assert receipt["exceptions"] == [
        {"kind": "foreign objects", "topic": "orders", "objects": 2},
        {"kind": "foreign objects", "topic": None, "objects": 2},
    ]
    assert b"jane" not in read(store, pond.layout.receipt(receipt["request_id"]))


def test_only_topics_that_the_request_names_are_in_scope(pond: Pond, store: MemoryStore) -> None:
    pond.write([row(0, b"anna")])
    other = pond.write([row(0, b"anna")], of=partition("payments"))
    store.put_if_absent("pond/topics/payments/foreign", b"x")
    store.put_if_absent("pond/topics/nowhere", b"x")
    topics = {"orders": searched(), "payments": searched()}
    receipt = pond.run(request("anna", topics=topics, patterns=["ord.*"]))
    assert list(receipt["scope"]) == ["orders"]
    assert receipt["exceptions"] == []
    assert pond.rows(other) == [row(0, b"anna")]


def test_a_pattern_that_fits_no_archived_topic_is_refused(pond: Pond) -> None:
    pond.write([row(0, b"anna")])
    with pytest.raises(WrongUsage, match=r"topics\.0 of the request fits no archived topic"):
        pond.plan(request("anna", topics={"payments": searched()}, patterns=["payments"]))


def test_a_type_without_any_place_is_refused(pond: Pond) -> None:
    with pytest.raises(WrongUsage, match="no topic in the request's scope has a place of type customer_id"):
        pond.plan(request("anna", topics={"orders": searched(EMAIL_PLACE)}))


def test_dropping_by_value_from_a_compacted_topic_is_refused(pond: Pond) -> None:
    by_value, by_key = request("anna", topics={"orders": searched(KEY_PLACE, VALUE_PLACE)}), request("anna")
    with pytest.raises(RefusedForSafety, match="compacted topic orders"):
        pond.plan(by_value, compacted={"orders"})
    assert pond.plan(by_key, compacted={"orders"})["lines"] == 0
    assert pond.plan(by_value, compacted={"other"}, run_id="run-2")["lines"] == 0


def test_a_run_id_belongs_to_one_request(pond: Pond) -> None:
    pond.plan(request("anna"))
    with pytest.raises(RefusedForSafety):
        pond.plan(request("ben"))
    with pytest.raises(RefusedForSafety):
        pond.plan(request("anna", topics={"orders": searched(VALUE_PLACE)}))


def test_a_request_with_a_receipt_is_not_planned_again(pond: Pond) -> None:
    pond.write([row(0, b"anna")])
    pond.run(request("anna"))
    with pytest.raises(RefusedForSafety, match="has its receipt already"):
        pond.plan(request("anna"), run_id="run-2")


def test_a_request_that_two_runs_planned_has_the_receipt_of_one(pond: Pond) -> None:
    pond.write([row(0, b"anna")])
    pond.plan(request("anna"), run_id="run-2")
    pond.run(request("anna"))
    pond.redact(run_id="run-2")
    with pytest.raises(RefusedForSafety, match="from run run-1"):
        pond.reconcile(run_id="run-2")


def test_a_plan_goes_on_with_the_key_it_was_made_with(pond: Pond) -> None:
    key = pond.write([row(0, b"anna"), row(1, b"ben")])
    pond.plan(request("anna"))
    pond.secret = ErasureSecret({**pond.secret.keys, "k2": "f" * 64})
    assert pond.plan(request("anna"))["request"]["key_id"] == "k1"
    pond.redact()
    assert pond.rows(key) == [row(1, b"ben")]


@pytest.mark.parametrize("keys", [{"k1": "f" * 64}, {"k2": "f" * 64}])
def test_work_with_another_secret_is_refused_before_it_finds_nothing(pond: Pond, keys: dict[str, str]) -> None:
    pond.write([row(0, b"anna")])
    pond.plan(request("anna"))
    pond.secret = ErasureSecret(keys)
    with pytest.raises(WrongUsage, match="erasure secret"):
        pond.redact()


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "x" * 65, ".", "a b"])
def test_a_run_id_that_could_not_be_a_folder_is_refused(pond: Pond, run_id: str) -> None:
    with pytest.raises(WrongUsage):
        pond.plan(request("anna"), run_id=run_id)


def test_an_archive_without_windows_gives_a_plan_without_lines_and_a_receipt(pond: Pond) -> None:
    document = pond.plan(request("anna"))
    assert (document["lines"], document["units"]) == (0, 0)
    assert pond.reconcile()["status"] == "COMPLETE"


def test_without_results_there_is_no_receipt(pond: Pond) -> None:
    pond.write([row(0, b"anna")])
    pond.write([row(0, b"anna")], of=partition(number=1))
    pond.plan(request("anna"))
    pond.redact(unit=1, units=2)
    with pytest.raises(MillpondError, match="1 of 2 lines of redact run run-1 have no result\nline 0: not tried"):
        pond.reconcile()


def test_windows_written_behind_the_plan_are_said_not_to_be_searched(pond: Pond) -> None:
    pond.write([row(0, b"anna")], first=0, last=4)
    pond.plan(request("anna"))
    pond.write([row(5, b"anna")])
    pond.write([row(0, b"anna")], of=partition(number=1))
    pond.redact()
    behind = pond.reconcile()["not_searched"][0]
    assert behind["what"] == "records behind the plan"
    assert behind["from"] == {"orders": {"A" * 22: {"0": 5}}}
    assert behind["windows"] == {"orders": 2}


def test_a_window_written_into_the_scope_after_the_plan_stops_the_receipt(pond: Pond) -> None:
    pond.write([row(8, b"anna")])
    pond.plan(request("anna"))
    pond.write([row(3, b"anna")])
    pond.redact()
    with pytest.raises(RefusedForSafety, match="was written after redact run run-1 was planned"):
        pond.reconcile()
    assert pond.run(request("anna"), run_id="run-2")["status"] == "COMPLETE"


@pytest.mark.parametrize(
    ("received", "now", "due", "days", "in_time"),
    [
        ("2025-12-15T08:00:00Z", NOW, "2026-01-15", 17, True),
        ("2026-01-31T23:59:59Z", 1_772_323_199_000, "2026-02-28", 28, True),
        ("2026-01-31T23:59:59Z", 1_772_323_200_000, "2026-02-28", 29, False),
        ("2026-03-31T00:00:00Z", NOW + 90 * 86_400_000, "2026-04-30", 1, True),
        ("2025-11-15T08:00:00+02:00", NOW, "2025-12-15", 47, False),
    ],
)
def test_the_receipt_counts_days_against_one_month(
    pond: Pond, received: str, now: int, due: str, days: int, in_time: bool
) -> None:
    pond.plan(request("anna", received_at=received))
    found = pond.reconcile(now=now)["term"]
    assert (found["due"], found["days"], found["in_time"]) == (due, days, in_time)
