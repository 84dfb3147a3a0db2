"""Batch's job records as DescribeJobs shows them: made from a job definition and a SubmitJob request."""

from __future__ import annotations

import copy
import re
import time
import uuid

from local.ministack.emulator import Json, batch

TERMINAL = ("SUCCEEDED", "FAILED")
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", *TERMINAL)


def now_ms() -> int:
    return int(time.time() * 1000)


def find_definition(reference: str) -> Json | None:
    """By name (the newest active revision), name:revision or ARN."""
    name, _, revision = reference.rsplit("/", 1)[-1].partition(":")
    revisions: list[Json] = batch._job_definitions.get(name) or []
    if revision:
        return next((found for found in revisions if str(found["revision"]) == revision), None)
    active = [found for found in revisions if found.get("status") == "ACTIVE"]
    return active[-1] if active else None


def new_job(request: Json, definition: Json) -> Json:
    """A job as submitted. What the request says wins over what the definition says."""
    job_id = str(uuid.uuid4())
    parameters = {**(definition.get("parameters") or {}), **(request.get("parameters") or {})}
    return {
        "jobId": job_id,
        "jobArn": batch._job_arn(job_id),
        "jobName": request["jobName"],
        "jobQueue": batch._jq_arn(request["jobQueue"].rsplit("/", 1)[-1]),
        "jobDefinition": definition["jobDefinitionArn"],
        "status": "SUBMITTED",
        "createdAt": now_ms(),
        "attempts": [],
        "dependsOn": request.get("dependsOn", []),
        "parameters": parameters,
        "tags": request.get("tags", {}),
        "retryStrategy": request.get("retryStrategy") or definition.get("retryStrategy") or {"attempts": 1},
        "timeout": request.get("timeout") or definition.get("timeout") or {},
        "container": _container(definition["containerProperties"], request.get("containerOverrides") or {}, parameters),
    }


def children(parent: Json, size: int) -> list[Json]:
    """Turn a job into the parent of an array and return its child jobs."""
    parent["arrayProperties"] = {"size": size, "statusSummary": {}}
    return [_child(parent, index) for index in range(size)]


def child_jobs(parent_id: str) -> list[Json]:
    return [job for job_id, job in list(batch._jobs.items()) if job_id.startswith(f"{parent_id}:")]


def summary(job: Json) -> Json:
    """A line of ListJobs."""
    keys = ("jobId", "jobArn", "jobName", "jobDefinition", "createdAt", "startedAt", "stoppedAt", "status")
    line = {key: job[key] for key in (*keys, "statusReason", "arrayProperties") if key in job}
    return {
        **line,
        "container": {key: job["container"][key] for key in ("exitCode", "reason") if key in job["container"]},
    }


def _child(parent: Json, index: int) -> Json:
    job = copy.deepcopy(parent)
    job_id = f"{parent['jobId']}:{index}"
    size = parent["arrayProperties"]["size"]
    return {**job, "jobId": job_id, "jobArn": batch._job_arn(job_id), "arrayProperties": {"index": index, "size": size}}


def _container(properties: Json, overrides: Json, parameters: dict[str, str]) -> Json:
    environment = {entry["name"]: entry.get("value", "") for entry in properties.get("environment") or []}
    environment.update({entry["name"]: entry.get("value", "") for entry in overrides.get("environment") or []})
    command = overrides.get("command") or properties.get("command") or []
    return {
        **{key: value for key, value in properties.items() if key not in ("command", "environment")},
        "command": [_substitute(part, parameters) for part in command],
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "resourceRequirements": overrides.get("resourceRequirements") or properties.get("resourceRequirements", []),
    }


def _substitute(part: str, parameters: dict[str, str]) -> str:
    reference = re.fullmatch(r"Ref::(\w+)", part)
    return parameters.get(reference[1], part) if reference else part
