"""What we rely on in the local AWS: jobs and tasks that really run, end and fail, and S3's conditional puts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws import LocalAws
from local.processes import wait_until

ROLE = "arn:aws:iam::123456789012:role/local"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1"


@pytest.fixture
def run_python(aws: LocalAws, unique_name: Callable[[str], str]) -> Callable[..., dict[str, Any]]:
    """The SubmitJob request for a job that runs this Python text; keywords go to the job definition."""
    batch = aws.client("batch")
    compute, queue = unique_name("compute"), unique_name("queue")
    batch.create_compute_environment(computeEnvironmentName=compute, type="MANAGED")
    order = [{"order": 1, "computeEnvironment": compute}]
    batch.create_job_queue(jobQueueName=queue, priority=1, computeEnvironmentOrder=order)

    def register(code: str, **more: Any) -> dict[str, Any]:
        name = unique_name("job")
        container = {"image": IMAGE, "command": ["python", "-c", code]}
        batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=container, **more)
        return {"jobName": name, "jobQueue": queue, "jobDefinition": name}

    return register


def test_each_child_of_an_array_job_sees_its_own_index(
    aws: LocalAws, s3: Any, bucket: str, run_python: Callable[..., dict[str, Any]]
) -> None:
    code = (
        "import boto3, os; index = os.environ['AWS_BATCH_JOB_ARRAY_INDEX'];"
        f"boto3.client('s3').put_object(Bucket='{bucket}', Key=index, Body=b'')"
    )
    job_id = aws.client("batch").submit_job(**run_python(code), arrayProperties={"size": 3})["jobId"]
    parent = aws.wait_for_job(job_id)
    assert (parent["status"], parent["arrayProperties"]["statusSummary"]) == ("SUCCEEDED", {"SUCCEEDED": 3})
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["0", "1", "2"]


def test_an_array_fails_when_one_child_fails(aws: LocalAws, run_python: Callable[..., dict[str, Any]]) -> None:
    request = run_python("import os, sys; sys.exit(int(os.environ['AWS_BATCH_JOB_ARRAY_INDEX']))")
    job_id = aws.client("batch").submit_job(**request, arrayProperties={"size": 2})["jobId"]
    parent = aws.wait_for_job(job_id)
    assert (parent["status"], parent["arrayProperties"]["statusSummary"]) == ("FAILED", {"SUCCEEDED": 1, "FAILED": 1})
    failed = aws.client("batch").list_jobs(arrayJobId=job_id, jobStatus="FAILED")["jobSummaryList"]
    assert [found["container"]["exitCode"] for found in failed] == [1]


@pytest.mark.parametrize(("code", "attempts"), [(75, 3), (1, 1)])
def test_only_the_exit_code_for_trying_again_is_tried_again(
    aws: LocalAws, run_python: Callable[..., dict[str, Any]], code: int, attempts: int
) -> None:
    rules = [{"onExitCode": "75", "action": "RETRY"}, {"onExitCode": "*", "action": "EXIT"}]
    strategy = {"attempts": 3, "evaluateOnExit": rules}
    request = run_python(f"raise SystemExit({code})", retryStrategy=strategy)
    job = aws.wait_for_job(aws.client("batch").submit_job(**request)["jobId"])
    assert (job["status"], [tried["container"]["exitCode"] for tried in job["attempts"]]) == (
        "FAILED",
        [code] * attempts,
    )


def test_a_job_that_takes_too_long_is_ended_once(aws: LocalAws, run_python: Callable[..., dict[str, Any]]) -> None:
    limits = {"timeout": {"attemptDurationSeconds": 1}, "retryStrategy": {"attempts": 3}}
    job = aws.wait_for_job(
        aws.client("batch").submit_job(**run_python("import time; time.sleep(60)", **limits))["jobId"]
    )
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert [tried["container"]["exitCode"] for tried in job["attempts"]] == [143]


def test_a_terminated_job_gets_sigterm_and_fails_even_if_it_ends_well(
    aws: LocalAws, run_python: Callable[..., dict[str, Any]]
) -> None:
    batch = aws.client("batch")
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('goodbye'), sys.exit(0)));"
        "print('ready'); time.sleep(60)"
    )
    job_id = batch.submit_job(**run_python(code))["jobId"]
    aws.wait_for_job(job_id, "RUNNING")
    wait_until(lambda: "ready" in (aws.directory / f"containers/batch-{job_id}-1.log").read_text(), "the job is ready")
    batch.terminate_job(jobId=job_id, reason="enough")
    job = aws.wait_for_job(job_id)
    assert (job["status"], job["statusReason"], job["container"]["exitCode"]) == ("FAILED", "enough", 0)
    logs = aws.client("logs").get_log_events(
        logGroupName="/aws/batch/job", logStreamName=job["container"]["logStreamName"]
    )
    assert [event["message"] for event in logs["events"]] == ["ready", "goodbye"]


@pytest.mark.parametrize(("code", "status", "error"), [(0, "SUCCEEDED", None), (4, "FAILED", "States.TaskFailed")])
def test_a_state_machine_waits_for_its_job_and_fails_with_it(
    aws: LocalAws, run_python: Callable[..., dict[str, Any]], code: int, status: str, error: str | None
) -> None:
    request = run_python(f"raise SystemExit({code})")
    parameters = {key[:1].upper() + key[1:]: value for key, value in request.items()}
    task = {"Type": "Task", "Resource": "arn:aws:states:::batch:submitJob.sync", "Parameters": parameters, "End": True}
    done = run_machine(aws, request["jobName"], {"StartAt": "Job", "States": {"Job": task}})
    assert (done["status"], done.get("error")) == (status, error)
    job = json.loads(done["output"] if code == 0 else done["cause"])
    assert (job["Status"], job["Container"]["ExitCode"]) == (status, code)


def run_machine(aws: LocalAws, name: str, definition: dict[str, Any], given: str = "{}") -> dict[str, Any]:
    states = aws.client("stepfunctions")
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    started = states.start_execution(stateMachineArn=machine["stateMachineArn"], input=given)
    return aws.wait_for_execution(started["executionArn"])


SERVICE = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("flushed"), sys.exit(7)))
print("up", os.environ["NAME"])
time.sleep(60)
"""


@pytest.fixture
def service(aws: LocalAws, unique_name: Callable[[str], str]) -> tuple[str, str]:
    """Cluster and name of a service of one task that says goodbye on SIGTERM."""
    ecs, name = aws.client("ecs"), unique_name("service")
    ecs.create_cluster(clusterName=name)
    container = {
        "name": "app",
        "image": IMAGE,
        "command": ["python", "-c", SERVICE],
        "environment": [{"name": "NAME", "value": name}],
        "stopTimeout": 20,
    }
    ecs.register_task_definition(family=name, containerDefinitions=[container])
    ecs.create_service(cluster=name, serviceName=name, taskDefinition=name, desiredCount=1, launchType="FARGATE")
    return name, name


def said(aws: LocalAws, task: dict[str, Any]) -> str:
    number = task["taskArn"].rsplit("/", 1)[-1][:8]
    return "".join(log.read_text() for log in (aws.directory / "containers").glob(f"*{number}*.log"))


def test_a_task_of_a_service_gets_sigterm_and_is_replaced(aws: LocalAws, service: tuple[str, str]) -> None:
    cluster, name = service
    ecs = aws.client("ecs")
    first = aws.wait_for_tasks(cluster, name, 1)[0]
    wait_until(lambda: "up" in said(aws, first), "the task is up")
    ecs.stop_task(cluster=cluster, task=first["taskArn"])

    def stopped() -> dict[str, Any] | None:
        task: dict[str, Any] = ecs.describe_tasks(cluster=cluster, tasks=[first["taskArn"]])["tasks"][0]
        return task if task["lastStatus"] == "STOPPED" else None

    assert wait_until(stopped, "the task has stopped")["containers"][0]["exitCode"] == 7
    assert said(aws, first).splitlines() == [f"up {name}", "flushed"]
    assert aws.wait_for_tasks(cluster, name, 1)[0]["taskArn"] != first["taskArn"]


def test_a_task_that_crashes_is_replaced_and_a_service_goes_to_none(aws: LocalAws, service: tuple[str, str]) -> None:
    cluster, name = service
    first = aws.wait_for_tasks(cluster, name, 1)[0]
    aws.kill_task(first["taskArn"])

    def replaced() -> bool:
        return aws.wait_for_tasks(cluster, name, 1)[0]["taskArn"] != first["taskArn"]

    wait_until(replaced, "another task runs")
    aws.client("ecs").update_service(cluster=cluster, service=name, desiredCount=0)
    assert aws.wait_for_tasks(cluster, name, 0) == []


def test_exactly_one_of_two_conditional_puts_wins(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfMatch=etag)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"four", IfMatch=etag)
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2


HANDLER = """
import os, sys
import boto3

class TryAgain(Exception):
    pass

def handler(event, context):
    if event.get("fail"):
        raise TryAgain("not now\\nhint: later")
    buckets = boto3.client("s3").list_buckets()["Buckets"]
    return {"python": sys.executable, "stage": os.environ["STAGE"], "buckets": [b["Name"] for b in buckets]}
"""


@pytest.fixture
def function(aws: LocalAws, unique_name: Callable[[str], str]) -> str:
    """A function whose handler is deep in a package, as ours are."""
    packed, name = io.BytesIO(), unique_name("function")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("handlers/__init__.py", "")
        archive.writestr("handlers/plan_restore/__init__.py", "")
        archive.writestr("handlers/plan_restore/handler.py", HANDLER)
    aws.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="handlers.plan_restore.handler.handler",
        Code={"ZipFile": packed.getvalue()},
        Environment={"Variables": {"STAGE": "local"}},
        Timeout=20,
    )
    return name


def test_a_dotted_handler_runs_on_this_python_and_reaches_s3(aws: LocalAws, function: str, bucket: str) -> None:
    answer = json.load(aws.client("lambda").invoke(FunctionName=function, Payload=b"{}")["Payload"])
    assert (answer["stage"], bucket in answer["buckets"]) == ("local", True)


def test_a_state_machine_catches_a_function_error_by_its_type(aws: LocalAws, function: str) -> None:
    catch = [{"ErrorEquals": ["TryAgain"], "Next": "Caught"}]
    task = {"Type": "Task", "Resource": f"arn:aws:lambda:us-east-1:123456789012:function:{function}", "End": True}
    states = {"Call": {**task, "Catch": catch}, "Caught": {"Type": "Pass", "End": True}}
    done = run_machine(aws, function, {"StartAt": "Call", "States": states}, '{"fail": true}')
    assert (done["status"], json.loads(done["output"])["Error"]) == ("SUCCEEDED", "TryAgain")
