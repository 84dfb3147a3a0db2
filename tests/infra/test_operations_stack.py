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

RESTORING = (
    *("RestoreJobRole", "PlanRestoreRole", "PreflightRestoreRole", "PrepareRestoreRole", "ReconcileRestoreRole"),
    *("CompareRestoreRole", "RestoreGroupsRole", "FinishRestoreRole", "ReportRestoreRole"),
)
CONTROLLERS = {
    "ValidateRestoreFunction": "validate_restore",
    "PlanRestoreFunction": "plan_restore",
    "PreflightRestoreFunction": "preflight_restore",
    "PrepareRestoreFunction": "prepare_restore",
    "ReconcileRestoreFunction": "reconcile_restore",
    "CompareRestoreFunction": "compare_restore",
    "RestoreGroupsFunction": "restore_groups",
    "FinishRestoreFunction": "finish_restore",
    "ReportRestoreFunction": "report_restore",
    "PlanRedactFunction": "plan_redact",
    "ReconcileRedactFunction": "reconcile_redact",
    "ReportCoverageFunction": "report_coverage",
    "SnapshotFunction": "snapshot",
}
NEAR_TARGET = (
    *("PreflightRestoreFunction", "PrepareRestoreFunction", "CompareRestoreFunction"),
    *("RestoreGroupsFunction", "FinishRestoreFunction"),
)
NEAR_KAFKA = (*NEAR_TARGET, "SnapshotFunction")


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


def test_only_controllers_that_talk_to_kafka_are_in_the_network(assembly: Assembly) -> None:
    functions = of_type(assembly.operations, "AWS::Lambda::Function")
    assert {name for name, function in functions.items() if "VpcConfig" in function} == set(NEAR_KAFKA)


def test_controllers_are_told_what_they_need_and_no_more(assembly: Assembly) -> None:
    told = {
        name: {variable for variable in function["Environment"]["Variables"] if variable.startswith("MILLPOND_")}
        for name, function in of_type(assembly.operations, "AWS::Lambda::Function").items()
    }
    assert all("MILLPOND_ARCHIVE" in variables for variables in told.values())
    assert all(told[name] == {"MILLPOND_ARCHIVE", "MILLPOND_TO_BROKERS"} for name in NEAR_TARGET)
    assert told["PlanRedactFunction"] == {"MILLPOND_ARCHIVE", "MILLPOND_INBOX", "MILLPOND_ERASURE_SECRET"}
    assert all(len(told[name]) == 1 for name in told if name not in (*NEAR_KAFKA, "PlanRedactFunction"))


def test_what_runs_on_a_schedule_runs_once_at_a_time_and_is_not_repeated(assembly: Assembly) -> None:
    functions = of_type(assembly.operations, "AWS::Lambda::Function")
    alone = {name: found["Timeout"] for name, found in functions.items() if "ReservedConcurrentExecutions" in found}
    assert alone == {"SnapshotFunction": 180, "ReportCoverageFunction": 900}
    assert {functions[name]["ReservedConcurrentExecutions"] for name in alone} == {1}
    repeats = of_type(assembly.operations, "AWS::Lambda::EventInvokeConfig").values()
    assert {(flat(one["FunctionName"]), one["MaximumRetryAttempts"]) for one in repeats} == {
        (f"<{name}>", 0) for name in alone
    }


@pytest.mark.parametrize("name", ["restore", "redact"])
def test_a_job_tries_again_unless_its_exit_code_is_final(assembly: Assembly, name: str) -> None:
    job = of_type(assembly.operations, "AWS::Batch::JobDefinition")[f"{name.capitalize()}JobDefinition"]
    assert job["ContainerProperties"]["Command"] == ["python", "-m", f"batch_jobs.{name}"]
    assert job["RetryStrategy"]["Attempts"] == 3
    rules = [(rule["OnExitCode"], rule["Action"]) for rule in job["RetryStrategy"]["EvaluateOnExit"]]
    assert rules == [("75", "RETRY"), ("1", "EXIT"), ("2", "EXIT"), ("3", "EXIT"), ("4", "EXIT")]
    assert job["Timeout"]["AttemptDurationSeconds"] == 24 * 3600


def test_the_restore_job_says_its_metrics_under_the_deployments_name(assembly: Assembly) -> None:
    job = of_type(assembly.operations, "AWS::Batch::JobDefinition")["RestoreJobDefinition"]
    told = {pair["Name"]: pair["Value"] for pair in job["ContainerProperties"]["Environment"]}
    assert told["MILLPOND_EMF"] == "millpond"


def test_who_checks_the_input_reaches_nothing(assembly: Assembly) -> None:
    for action, resource in (("s3:GetObject", RUN), ("s3:PutObject", RUN), ("s3:ListBucket", "<ArchiveBucket>")):
        assert not may(assembly.operations, "ValidateRestoreRole", action, resource)


@pytest.mark.parametrize("role", RESTORING)
def test_restore_reads_the_archive_and_writes_its_runs_alone(assembly: Assembly, role: str) -> None:
    assert may(assembly.operations, role, "s3:GetObjectVersion", TOPIC)
    assert may(assembly.operations, role, "s3:PutObject", RUN)
    assert not may(assembly.operations, role, "s3:PutObject", RUN.replace("restore", "redact"))
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
    schedule = of_type(assembly.operations, "AWS::Scheduler::Schedule")["HourlyReportSchedule"]
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert flat(schedule["Target"]["Arn"]) == "<ReportCoverageFunction>"
    assert schedule["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 900, "MaximumRetryAttempts": 2}


def test_a_job_that_can_never_start_is_given_up(assembly: Assembly) -> None:
    (queue,) = of_type(assembly.operations, "AWS::Batch::JobQueue").values()
    actions = queue["JobStateTimeLimitActions"]
    assert {(action["State"], action["Action"], action["MaxTimeSeconds"]) for action in actions} == {
        ("RUNNABLE", "CANCEL", 3600)
    }
