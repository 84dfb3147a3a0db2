"""The first and the last step of a restore's execution: what may be typed, and what is said at the end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions.plan_restore.handler import handler as plan
from functions.reconcile_restore.handler import handler as reconcile
from functions.report_restore.handler import handler as report
from functions.run_failure import Failure
from functions.validate_restore.handler import handler as validate
from functions.validate_restore.schema import schema
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.errors import MillpondError, WrongUsage
from millpond.restore.request import parse_request
from millpond.storage.folder import FolderStore
from tests.unit.builders import ARCHIVE_ID, make_rows, put_rows

DOCS = Path(__file__).resolve().parents[3] / "docs"
HERE = Layout("")
CONTEXT: Any = SimpleNamespace(
    aws_request_id="request-1", function_name="f", memory_limit_in_mb=1, invoked_function_arn=""
)
CANARY = "canary-4711"


def checked(document: Any, execution: str = "drill-1") -> Any:
    return validate({"execution": execution, "request": document}, CONTEXT)


# -- what may be typed


def test_a_request_makes_a_run_with_the_executions_name() -> None:
    assert checked({"topics": ["orders"], "prefix": "p."}) == {"run_id": "drill-1", "resumes": False}


def test_resume_goes_on_with_the_run_that_it_names() -> None:
    assert checked({"resume": "drill-0"}) == {"run_id": "drill-0", "resumes": True}
    assert checked({"resume": "drill-0"}, "a name that no run may have") == {"run_id": "drill-0", "resumes": True}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"topcs": ["orders"]}, "topcs: Extra inputs are not permitted"),
        ({"topics": "orders"}, "topics: "),
        ({"topics": ["orders"], "since": "yesterday"}, "since: "),
        ({"topics": ["orders"], "groups": {"inclde": ["a"]}}, "groups.inclde: Extra inputs"),
        ({"topics": ["orders"], "compare": CANARY}, "compare: Input should be 'none', 'sampled' or 'whole'"),
        ({}, "name the topics to restore, or all of them"),
        ([], "is one JSON object"),
        ("orders", "is one JSON object"),
        (None, "is one JSON object"),
        ({"resume": "a", "topics": ["orders"]}, "takes no other field: topics"),
        ({"resume": 3}, "resume: is no id of a run"),
        ({"resume": "../x"}, "resume: is no id of a run"),
    ],
)
def test_a_wrong_input_is_told_with_its_field_and_an_example_or_a_way_on(document: Any, said: str) -> None:
    with pytest.raises(WrongUsage) as refusal:
        checked(document)
    told = str(refusal.value)
    assert said in told and CANARY not in told
    assert re.search(r"hint: (an example: \{.*\}|runs/restore/)", told)


@pytest.mark.parametrize("name", ["a run", "x" * 81, "läuft", "a=b"])
def test_an_execution_whose_name_is_no_id_of_a_run_is_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match="the name of the execution is the id of the run"):
        checked({"topics": ["orders"]}, name)


# -- what is published of it


def test_the_published_schema_is_that_of_the_request() -> None:
    published = (DOCS / "restore-request.schema.json").read_text()
    assert published == schema(), (
        "write it anew: python -m functions.validate_restore.schema > docs/restore-request.schema.json"
    )


def test_the_schema_takes_times_and_switches_as_they_may_be_typed() -> None:
    fields = json.loads(schema())["properties"]
    assert types(fields["since"]) == {"integer", "string", "null"}
    assert types(fields["groups"]) == {"boolean", "object", "null"}
    assert types(fields["partitions"]["items"]) == {"integer", "string"}


def types(field: dict[str, Any]) -> set[str]:
    """Of everything that a field may hold; references are objects."""
    kinds = [types(one) for one in field.get("anyOf", [])]
    return set().union(*kinds) if kinds else {field.get("type", "object")}


def examples(name: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)]


def test_every_example_of_a_request_in_the_docs_is_one() -> None:
    others = (one for one in examples("operations.md") if {"topics", "all", "resume"} & set(one))
    found = [*examples("restore.md"), *others]
    assert len(found) > 5
    fields = json.loads(schema())["properties"].keys()
    for document in found:
        if set(document) == {"resume"}:
            assert checked(document)["resumes"]
        else:
            parse_request(document)
            assert document.keys() <= fields


# -- what is said at the end


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    monkeypatch.setenv("MILLPOND_ARCHIVE", tmp_path.as_uri())
    store = FolderStore(tmp_path)
    identity = {"format": 1, "archive_id": ARCHIVE_ID, "cluster_id": "c", "created": 1}
    store.put_if_absent(HERE.identity, json.dumps(identity).encode())
    put_rows(store, make_rows(0, 10), layout=HERE)
    return store


@pytest.fixture
def run(store: FolderStore) -> Run:
    """A planned run of one partition."""
    planned = plan({"run_id": "r", "request": {"all": True, "compare": "none"}}, CONTEXT)
    assert planned["lines"] == 1
    return Run(store, HERE, "restore", "r")


def finish(run: Run) -> None:
    ((number, line),) = run.lines(whole=False)
    counts = {"base": 0, "end": 10, "read": 10, "filtered": 0, "suppressed": 0, "written": 10, "stamp_zero": 0}
    place = {"topic": line["topic"], "target": line["target"], "partition": line["partition"]}
    run.write_result(number, {**place, "digest_archive": "d", "digest_target": "d", "objects": 1, **counts})
    reconcile({"run_id": "r"}, CONTEXT)
    run.write_once({"finished_at": 5, "topics": [], "acls": None}, "settings.json")


def lambda_error(kind: str, message: str) -> dict[str, str]:
    """A function's exception as Step Functions hands it to a catch."""
    return {"Error": kind, "Cause": json.dumps({"errorMessage": message, "errorType": kind, "stackTrace": ["x"]})}


def ended(run: Run | None = None, **state: Any) -> Any:
    return report({"run_id": "r" if run else "drill-1", **({"units": 1} if run else {}), **state}, CONTEXT)


def test_a_finished_run_is_reported_and_its_message_is_small(run: Run) -> None:
    finish(run)
    message = ended(run)
    assert message == {
        "run_id": "r",
        "status": "done",
        "partitions": 1,
        "read": 10,
        "suppressed": 0,
        "written": 10,
        "report": "runs/restore/r/report.json",
    }
    assert run.find("report.json") is not None and ended(run) == message


def test_a_run_that_is_not_at_its_end_is_never_said_to_be_done(run: Run) -> None:
    with pytest.raises(MillpondError, match=r"has not come to its end: not done: .*final settings"):
        ended(run)
    assert run.find("report.json") is None


def test_a_failed_run_gets_a_report_of_its_own_and_its_reason_in_words(run: Run) -> None:
    failure = lambda_error("DamagedArchive", "orders-3 is damaged\nhint: look")
    told = ended(run, failure=failure)
    assert (told["Error"], told["Cause"]) == ("DamagedArchive", "orders-3 is damaged\nhint: look")
    message = told["Message"]
    assert (message["status"], message["reason"], message["not_restored"]) == ("failed", told["Cause"], 1)
    assert re.fullmatch(r"runs/restore/r/report-[0-9]{13}\.json", message["report"])
    document = run.find(message["report"].rsplit("/", 1)[1])
    assert document is not None and document["status"] == "failed"
    assert document["reasons"][0].startswith("DamagedArchive: orders-3 is damaged")
    assert run.find("report.json") is None


def test_of_a_failed_job_the_missing_partitions_come_before_what_batch_says(run: Run) -> None:
    job = {
        "Error": "States.TaskFailed",
        "Cause": json.dumps({"JobId": "j-1", "StatusReason": "Array Child Job failed"}),
    }
    told = ended(run, failure=job, missing=lambda_error("MillpondError", "1 of 1 partitions are not restored"))
    assert told["Error"] == "MillpondError"
    assert told["Cause"] == "1 of 1 partitions are not restored\njob j-1: Array Child Job failed"
    assert ended(run, failure=job)["Cause"] == "job j-1: Array Child Job failed"


def test_a_plan_that_stopped_is_reported_though_there_is_no_plan(store: FolderStore) -> None:
    told = ended(resumes=False, failure=lambda_error("DamagedArchive", "offsets 3 to 4 are missing"))
    name = told["Message"]["report"].rsplit("/", 1)[1]
    assert Run(store, HERE, "restore", "drill-1").find(name) is not None


@pytest.mark.parametrize("state", [{}, {"resumes": True}])
def test_what_never_was_a_run_leaves_nothing_in_the_archive(store: FolderStore, state: dict[str, Any]) -> None:
    told = ended(**state, failure=lambda_error("WrongUsage", "topcs: Extra inputs\nhint: an example"))
    assert told["Error"] == "WrongUsage" and told["Cause"].startswith("topcs: ")
    assert "report" not in told["Message"] and next(store.list("runs/"), None) is None


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ('{"errorMessage": "words"}', "words"),
        ('{"errorMessage": null}', '{"errorMessage": null}'),
        ('{"JobId": "j"}', "job j: it ended without a reason"),
        ("no JSON", "no JSON"),
        ("[1]", "[1]"),
        ("", ""),
        (json.dumps({"errorMessage": "x" * 50_000}), "x" * 8000),
    ],
)
def test_a_cause_is_read_as_far_as_it_can_be(cause: str, reason: str) -> None:
    assert Failure(Error="E", Cause=cause).reason == reason


def test_messages_hold_no_words_but_our_own(run: Run) -> None:
    """What an unexpected exception says may be anything; it stays in the execution and the log."""
    told = ended(run, failure=lambda_error("KeyError", CANARY))
    assert told["Cause"] == CANARY and CANARY not in json.dumps(told["Message"])
    for key in [info.key for info in run.store.list("runs/")]:  # type: ignore[union-attr]
        with run.store.open(key) as stream:
            assert CANARY.encode() not in stream.read(), key
