"""Controllers and jobs: one image, one bundle, and for each the least that it needs."""

from __future__ import annotations

import pytest

from tests.infra.conftest import Assembly
from tests.infra.policies import flat, may, of_type

TOPIC = "<ArchiveBucket>/archive/topics/orders/id/0/orders-0.avro"
RUN = "<ArchiveBucket>/archive/runs/restore/r1/report.json"
LEDGER = "<ArchiveBucket>/archive/erasures/ledger/0000000000000000001.json"
REQUEST = "<ErasureInbox>/request-1.json"
SECRET = "<ErasureSecret>"

RESTORING = ("RestoreJobRole", "PlanRestoreRole", "PrepareRestoreRole", "ReconcileRestoreRole")
CONTROLLERS = {
    "PlanRestoreFunction": "plan_restore",
    "PrepareRestoreFunction": "prepare_restore",
    "ReconcileRestoreFunction": "reconcile_restore",
    "PlanRedactFunction": "plan_redact",
    "ReconcileRedactFunction": "reconcile_redact",
    "ReportCoverageFunction": "report_coverage",
}


def test_service_and_jobs_run_the_byte_identical_image(assembly: Assembly) -> None:
    task = of_type(assembly.backup, "AWS::ECS::TaskDefinition")["BackupTask"]
    jobs = of_type(assembly.operations, "AWS::Batch::JobDefinition").values()
    images = {flat(c["Image"]) for c in task["ContainerDefinitions"]} | {
        flat(job["ContainerProperties"]["Image"]) for job in jobs
    }
    assert len(jobs) == 2 and len(images) == 1


def test_all_controllers_share_one_bundle(assembly: Assembly) -> None:
    functions = of_type(assembly.operations, "AWS::Lambda::Function")
    assert {name: function["Handler"] for name, function in functions.items()} == {
        name: f"functions.{module}.handler.handler" for name, module in CONTROLLERS.items()
    }
    assert len({function["Code"]["S3Key"] for function in functions.values()}) == 1
    assert {function["Runtime"] for function in functions.values()} == {"python3.12"}


def test_only_the_controller_that_prepares_is_in_the_network(assembly: Assembly) -> None:
    functions = of_type(assembly.operations, "AWS::Lambda::Function")
    assert [name for name, function in functions.items() if "VpcConfig" in function] == ["PrepareRestoreFunction"]


def test_controllers_are_told_what_they_need_and_no_more(assembly: Assembly) -> None:
    told = {
        name: {variable for variable in function["Environment"]["Variables"] if variable.startswith("MILLPOND_")}
        for name, function in of_type(assembly.operations, "AWS::Lambda::Function").items()
    }
    assert all("MILLPOND_ARCHIVE" in variables for variables in told.values())
    assert told["PrepareRestoreFunction"] == {"MILLPOND_ARCHIVE", "MILLPOND_TO_BROKERS"}
    assert told["PlanRedactFunction"] == {"MILLPOND_ARCHIVE", "MILLPOND_INBOX", "MILLPOND_ERASURE_SECRET"}
    assert all(len(told[name]) == 1 for name in told if name not in ("PrepareRestoreFunction", "PlanRedactFunction"))


@pytest.mark.parametrize("name", ["restore", "redact"])
def test_a_job_tries_again_unless_its_exit_code_is_final(assembly: Assembly, name: str) -> None:
    job = of_type(assembly.operations, "AWS::Batch::JobDefinition")[f"{name.capitalize()}JobDefinition"]
    assert job["ContainerProperties"]["Command"] == ["python", "-m", f"batch_jobs.{name}"]
    assert job["RetryStrategy"]["Attempts"] == 3
    rules = [(rule["OnExitCode"], rule["Action"]) for rule in job["RetryStrategy"]["EvaluateOnExit"]]
    assert rules == [("75", "RETRY"), ("1", "EXIT"), ("2", "EXIT"), ("3", "EXIT"), ("4", "EXIT")]
    assert job["Timeout"]["AttemptDurationSeconds"] == 24 * 3600


@pytest.mark.parametrize("role", RESTORING)
def test_restore_reads_the_archive_and_writes_runs_alone(assembly: Assembly, role: str) -> None:
    assert may(assembly.operations, role, "s3:GetObjectVersion", TOPIC)
    assert may(assembly.operations, role, "s3:PutObject", RUN)
    assert not may(assembly.operations, role, "s3:PutObject", TOPIC)
    assert not may(assembly.operations, role, "s3:PutObject", LEDGER)
    assert not may(assembly.operations, role, "s3:DeleteObjectVersion", TOPIC)
    assert not may(assembly.operations, role, "secretsmanager:GetSecretValue", SECRET)


def test_the_redact_job_alone_removes_versions_and_only_of_records(assembly: Assembly) -> None:
    purging = [
        role
        for role in (*RESTORING, "RedactJobRole", "PlanRedactRole", "ReconcileRedactRole", "ReportCoverageRole")
        if may(assembly.operations, role, "s3:DeleteObjectVersion", TOPIC)
    ]
    assert purging == ["RedactJobRole"]
    assert not may(assembly.operations, "RedactJobRole", "s3:DeleteObject", TOPIC)
    assert not may(assembly.operations, "RedactJobRole", "s3:DeleteObjectVersion", LEDGER)
    assert not may(assembly.operations, "RedactJobRole", "s3:DeleteObjectVersion", RUN)


def test_the_redact_job_rewrites_records_and_reads_the_secret_but_no_request(assembly: Assembly) -> None:
    for written in (TOPIC, RUN, LEDGER):
        assert may(assembly.operations, "RedactJobRole", "s3:PutObject", written)
    assert may(assembly.operations, "RedactJobRole", "secretsmanager:GetSecretValue", SECRET)
    assert not may(assembly.operations, "RedactJobRole", "s3:GetObject", REQUEST)


def test_only_the_redact_planner_takes_requests_from_the_inbox(assembly: Assembly) -> None:
    assert may(assembly.operations, "PlanRedactRole", "s3:GetObject", REQUEST)
    assert may(assembly.operations, "PlanRedactRole", "s3:DeleteObject", REQUEST)
    assert not may(assembly.operations, "PlanRedactRole", "s3:PutObject", TOPIC)
    assert not may(assembly.operations, "ReconcileRedactRole", "s3:GetObject", REQUEST)


def test_the_report_only_reads(assembly: Assembly) -> None:
    assert may(assembly.operations, "ReportCoverageRole", "s3:GetObject", TOPIC)
    assert not may(assembly.operations, "ReportCoverageRole", "s3:PutObject", RUN)


def test_coverage_is_reported_every_hour(assembly: Assembly) -> None:
    (schedule,) = of_type(assembly.operations, "AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert flat(schedule["Target"]["Arn"]) == "<ReportCoverageFunction>"
    assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 900, "MaximumRetryAttempts": 2}


def test_a_job_that_can_never_start_is_given_up(assembly: Assembly) -> None:
    (queue,) = of_type(assembly.operations, "AWS::Batch::JobQueue").values()
    actions = queue["JobStateTimeLimitActions"]
    assert {(action["State"], action["Action"], action["MaxTimeSeconds"]) for action in actions} == {
        ("RUNNABLE", "CANCEL", 3600)
    }
