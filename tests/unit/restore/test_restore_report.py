"""What a restore is said to have come to: done, done with exceptions, failed; as a document and as a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from millpond.archive.runs import Run
from millpond.errors import WrongUsage
from millpond.restore.reporting import page_view
from millpond.restore.reporting.exceptions import exceptions_of
from millpond.restore.reporting.page import duration, moment, page_of, size
from millpond.restore.reporting.report import report_restore
from millpond.storage.contract import read
from millpond.storage.memory import MemoryStore
from tests.unit.builders import LAYOUT
from tests.unit.restore.reported_run import BEGAN_MS, HOSTILE, ReportedRun, a_group, a_setting

END_MS = BEGAN_MS + 52_000


class Text(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.addresses = "", list[str](), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page(run: ReportedRun, name: str = "report.html") -> Text:
    found = Text()
    found.feed(read(run.run.store, run.run.key(name)).decode())
    found.close()
    return found


# -- status


def test_a_run_of_which_nothing_is_to_be_complained_is_done() -> None:
    run = ReportedRun({"orders": [100, 20], "payments": [3]}).whole()
    report = run.report()
    assert (report["status"], report["exceptions"], report["reasons"]) == ("done", [], [])
    assert (report["written"], report["read"], report["objects"]) == (123, 123, 9)
    assert run.run.find("report.json") == report
    assert "123 records are restored and proven equal" in page(run).text


def test_groups_that_the_snapshot_lacks_are_an_exception() -> None:
    groups = {"groups": [], "snapshot_failed": [{"code": "NOT_COORDINATOR"}] * 2}
    report: dict[str, Any] = {"warnings": [], "known_deviations": {}, "groups": groups, "settings": None}
    text = "2 parts of the groups could not be read when the snapshot was taken"
    assert list(exceptions_of(report)) == [{"about": "groups", "text": text}]


@pytest.mark.parametrize(
    ("about", "text", "more"),
    [
        ("allowed", "2 ranges", {"warnings": ["allowed: 2 ranges"]}),
        ("records", "4 records with timestamp 0", {"work": {"stamp_zero": 2}}),
        ("groups", "1 group left as they were", {"groups": [a_group("g", "active")]}),
        ("groups", ": g (b-1 (10.1.2.3))", {"groups": [a_group("g", "active", clients=["b-1 (10.1.2.3)"])]}),
        ("groups", "2 groups could not be set: a, b", {"groups": [a_group("a", "failed"), a_group("b", "failed")]}),
        ("settings", "x REFUSED", {"settings": [a_setting("restored.orders", "partly", refused={"x": "REFUSED"})]}),
        ("settings", "deleted since", {"settings": [{"topic": "restored.orders", "status": "gone"}]}),
        ("acls", "1 entry of access control refused: 1 NO", {"acls": {"failed": [{"code": "NO"}]}}),
        ("acls", "SECURITY_DISABLED", {"acls": {"code": "SECURITY_DISABLED"}}),
    ],
)
def test_what_a_person_should_know_is_an_exception_and_stands_on_the_page(
    about: str, text: str, more: dict[str, Any]
) -> None:
    run = ReportedRun({"orders": [5, 5]}, warnings=more.get("warnings", ())).plan().prepare()
    run.work(**more.get("work", {})).reconcile().compare().groups(*more.get("groups", ()))
    report = run.finish(*more.get("settings", ()), acls=more.get("acls")).report()
    assert report["status"] == "done-with-exceptions"
    assert [found["about"] for found in report["exceptions"]] == [about]
    assert text in report["exceptions"][0]["text"]
    assert report["exceptions"][0]["text"] in page(run).text and "with 1 exception" in page(run).text


def test_a_warning_alone_is_told_and_no_exception() -> None:
    run = ReportedRun({"orders": [5]}, warnings=["2 foreign objects are left out"]).whole()
    assert run.report()["status"] == "done"
    assert "2 foreign objects are left out" in page(run).text


def test_a_report_is_written_once_and_its_page_again_where_it_is_missing() -> None:
    run = ReportedRun({"orders": [5]}).whole()
    first = run.report()
    before = read(run.run.store, run.run.key("report.html"))
    assert run.report(now_ms=END_MS + 1) == first
    assert read(run.run.store, run.run.key("report.html")) == before
    other = ReportedRun({"orders": [5]}).whole()
    other.run.write_once(first, "report.json")  # as if the process had been killed right after
    other.report(now_ms=END_MS + 1)
    assert read(other.run.store, other.run.key("report.html")) == before


# -- failure


def test_a_failed_run_names_its_partitions_and_can_still_end_well() -> None:
    run = ReportedRun({"orders": [5, 6, 7]}).plan().prepare().work(but=[1, 2])
    run.run.write_failure(1, BEGAN_MS, "an earlier reason")
    run.run.write_failure(1, BEGAN_MS + 1, "a digest is wrong", object_key="kafka/topics/orders/damaged.avro")
    failed = run.report(reasons=["2 partitions are not restored"])
    name = f"report-{END_MS}"
    assert failed["status"] == "failed" and run.run.find("report.json") is None
    assert run.run.find(f"{name}.json") == failed
    assert failed["reasons"][0] == "2 partitions are not restored" and "the proof" in failed["reasons"][1]
    assert [(one["partition"], one["reason"], one["object"]) for one in failed["not_restored"]["first"]] == [
        (1, "a digest is wrong", "kafka/topics/orders/damaged.avro"),
        (2, "never tried", None),
    ]
    shown = page(run, f"{name}.html").text
    assert "did not come to its end" in shown and "a digest is wrong" in shown and "damaged.avro" in shown
    assert "an earlier reason" not in shown
    run.work().reconcile().compare().groups().finish()
    assert run.report(now_ms=END_MS + 9)["status"] == "done"
    assert run.run.find(f"{name}.json") == failed


@pytest.mark.parametrize("lacking", ["reconciled", "compared", "groups", "settings"])
def test_a_run_that_lacks_a_step_it_was_asked_for_is_failed(lacking: str) -> None:
    run = ReportedRun({"orders": [5]}, request={"groups": True}).whole()
    store = MemoryStore()
    for entry in list(run.run.store.list("")):
        if not isinstance(entry, str) and not entry.key.endswith(f"{lacking}.json"):
            store.put_if_absent(entry.key, read(run.run.store, entry.key))
    report = report_restore(store, LAYOUT, run_id=run.run.run_id, now_ms=END_MS)
    assert report["status"] == "failed" and Run(store, LAYOUT, "restore", "drill-7").find("report.json") is None


def test_what_was_not_asked_for_may_be_lacking() -> None:
    run = ReportedRun({"orders": [5]}, request={"compare": "none"}).plan().prepare().work().reconcile().finish()
    assert run.report()["status"] == "done"


def test_a_failure_behind_the_proof_says_that_the_records_are_there() -> None:
    run = ReportedRun({"orders": [5]}).plan().prepare().work().reconcile()
    assert run.report(reasons=["1 target partitions do not hold what the archive holds"])["status"] == "failed"
    assert "5 records are restored and proven equal, but" in page(run, f"report-{END_MS}.html").text


def test_a_reason_makes_a_run_failed_though_every_document_is_there() -> None:
    assert ReportedRun({"orders": [5]}).whole().report(reasons=["stopped"])["status"] == "failed"


def test_a_run_that_was_refused_before_it_had_a_plan_has_a_report_too() -> None:
    run = ReportedRun({})
    report = run.report(reasons=["objects vanished"])
    assert (report["status"], report["reasons"][0], report["topics"]) == ("failed", "objects vanished", [])
    assert "objects vanished" in page(run, f"report-{END_MS}.html").text


def test_a_run_that_nobody_planned_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="no plan"):
        ReportedRun({}).report()


# -- facts


def test_times_are_told_beside_the_estimate() -> None:
    times = ReportedRun({"orders": [5]}).whole().report()["times"]
    assert (times["seconds"], times["estimated_seconds"], times["worker_seconds"]) == (52.0, 95, 12.5)
    assert times["started_at"] == BEGAN_MS + 4_000 and times["settings_at"] == BEGAN_MS + 51_000


def test_each_topic_says_how_far_it_reaches_and_what_is_left_out() -> None:
    run = ReportedRun({"orders": [5, 6]}, left_out={"retention": 1_234}).whole()
    (topic,) = run.report()["topics"]
    assert topic["newest_ms"] == BEGAN_MS - 3_600_000 and topic["left_out"] == {"retention": 1_234}
    assert (topic["written"], topic["partitions"], topic["target_partitions"]) == (11, 2, 2)
    shown = page(run).text
    assert "2025-12-31 23:00:00 UTC" in shown and "1,234 (retention)" in shown


def test_a_topic_that_went_to_other_partitions_is_told_by_its_target_partitions() -> None:
    run = ReportedRun({"orders": [7]}, request={"repartition": {"partitions": 2}}).plan().prepare()
    parts = [
        {"topic": "orders", "target": "restored.orders", "partition": number, "base": 0, "end": count, "written": count}
        | {"digest_archive": "d", "digest_target": "d", "read": count, "objects": 1}
        for number, count in enumerate((3, 4))
    ]
    sums = {"topic": "orders", "target": "restored.orders", "written": 7, "read": 7, "suppressed": 0, "objects": 3}
    digests = {"digest_archive": "s", "digest_target": "s", "stamp_zero": 0}
    run.run.write_result(0, sums | digests | {"partitions": parts})
    report = run.reconcile().compare().finish().report()
    assert [part["written"] for part in report["partitions"]] == [3, 4] and report["written"] == 7
    assert report["topics"][0]["written"] == 7


# -- the page


def test_names_and_reasons_of_others_are_text_and_nothing_else() -> None:
    run = ReportedRun({"orders": [5]}, warnings=[HOSTILE, f"allowed: {HOSTILE}"]).plan().prepare().work(but=[0])
    run.run.write_failure(0, 1, HOSTILE, object_key=HOSTILE)
    failed = run.report(reasons=[HOSTILE])
    done = ReportedRun({"orders": [5]}, warnings=[HOSTILE], request={"groups": {"include": ["<b>"]}}).plan().prepare()
    done.work().reconcile().compare()
    done.groups(a_group(HOSTILE, reasons=[{"topic": HOSTILE, "status": "skipped", "reason": HOSTILE}]))
    done.finish(a_setting(HOSTILE, set={HOSTILE: HOSTILE}, held={HOSTILE: HOSTILE}, refused={HOSTILE: HOSTILE}))
    for document in (failed, done.report()):
        found = Text()
        found.feed(page_of(document))
        assert HOSTILE in found.text
        assert not {"script", "img"} & set(found.tags) and found.addresses == []


def test_the_page_holds_all_digests_and_asks_for_nothing() -> None:
    run = ReportedRun({"orders": [5, 6]}).whole()
    report = run.report()
    source = page_of(report)
    assert all(part["digest_target"] in source for part in report["partitions"])
    assert "http" not in source.replace("http-equiv", "") and "url(" not in source and "@import" not in source


def test_a_page_of_very_many_partitions_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_view, "ROWS", 5)
    run = ReportedRun({"a": [1] * 4, "b": [1] * 4}).whole()
    run.report()
    shown = page(run).text
    assert "and 3 more partitions, in the JSON document" in shown


def test_a_restore_of_no_records_says_so() -> None:
    run = ReportedRun({"orders": [0, 0]}).whole()
    run.report()
    assert "there was no record to restore" in page(run).text


def test_times_that_nobody_told_are_not_made_up() -> None:
    run = ReportedRun({"orders": [5]}).plan().prepare().work(started_at=None, finished_at=None).reconcile()
    report = run.compare().groups().finish().report()
    assert report["times"]["started_at"] is None
    assert "Waiting and preparing, writing and reading back, checking every result" in page(run).text


def test_the_document_is_json_of_stable_names() -> None:
    report = ReportedRun({"orders": [5]}).whole().report()
    assert json.loads(json.dumps(report)) == report
    names = "kind run_id status reasons exceptions times topics partitions compared groups settings warnings written"
    assert set(names.split()) <= set(report)


@pytest.mark.parametrize(
    ("shown", "due"),
    [
        (size(1023), "1023 bytes"),
        (size(1536), "1.5 KiB"),
        (size(5 << 30), "5.0 GiB"),
        (size(300 << 50), "300 PiB"),
        (duration(0.01), "under 0.1 s"),
        (duration(3.25), "3.2 s"),
        (duration(95), "1 min 35 s"),
        (duration(3600), "1 h"),
        (duration(7322), "2 h 2 min"),
        (moment(10**15), "1000000000000000 ms"),
        (moment(None), "-"),
    ],
)
def test_numbers_are_shown_for_people(shown: str, due: str) -> None:
    assert shown == due
