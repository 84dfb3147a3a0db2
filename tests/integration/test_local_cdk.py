"""The unmodified CDK deploys to the local AWS what our stacks are made of, and an image asset without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.processes import wait_until

APP = Path(__file__).parent / "local_cdk_app"


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the CDK writes, outside of the working tree."""
    return tmp_path_factory.mktemp("cdk.out")


@pytest.fixture(scope="module")
def stack(aws: LocalAws, assembly: Path) -> dict[str, str]:
    """The outputs of the deployed stack."""
    aws.cdk("bootstrap")
    aws.cdk("deploy", "--require-approval", "never", f"--output={assembly}", cwd=APP)
    return aws.outputs("Local")


def test_a_service_of_an_image_asset_runs_here(aws: LocalAws, stack: dict[str, str]) -> None:
    task = aws.wait_for_tasks(stack["ClusterName"], stack["ServiceName"], 1)[0]
    definition = aws.client("batch").describe_job_definitions(jobDefinitions=[stack["JobDefinitionArn"]])
    image = definition["jobDefinitions"][0]["containerProperties"]["image"]
    assert task["containers"][0]["image"] == image
    repository, tag = image.split("/", 1)[1].split(":")
    asked = {"repositoryName": repository, "imageIds": [{"imageTag": tag}]}
    assert len(aws.client("ecr").describe_images(**asked)["imageDetails"]) == 1
    wait_until(lambda: "backup is up" in messages(aws, stack), "the service writes its log")


def test_a_state_machine_runs_a_function_and_an_array_job(aws: LocalAws, stack: dict[str, str]) -> None:
    started = aws.client("stepfunctions").start_execution(stateMachineArn=stack["MachineArn"])
    done = aws.wait_for_execution(started["executionArn"])
    assert done["status"] == "SUCCEEDED", done
    said = [message for message in messages(aws, stack) if "plan" in message]
    assert sorted(said) == ["43 0 plan.jsonl", "43 1 plan.jsonl"]
    body = aws.client("s3").get_object(Bucket=stack["BucketName"], Key="plan.jsonl")["Body"].read()
    assert len(body) == 43


def messages(aws: LocalAws, stack: dict[str, str]) -> list[str]:
    found: dict[str, Any] = aws.client("logs").filter_log_events(logGroupName=stack["LogGroupName"])
    return [event["message"] for event in found["events"]]


def test_deploying_again_changes_nothing(aws: LocalAws, stack: dict[str, str], assembly: Path) -> None:
    assert "no changes" in aws.cdk("deploy", "--require-approval", "never", f"--app={assembly}")
