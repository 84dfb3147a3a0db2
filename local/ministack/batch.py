"""AWS Batch: SubmitJob, TerminateJob and their like, and the CloudFormation resources. Jobs really run."""

from __future__ import annotations

import json
from collections.abc import Callable

from local.ministack.batch_records import TERMINAL, child_jobs, children, find_definition, new_job, summary
from local.ministack.batch_runs import BatchRuns
from local.ministack.emulator import Answer, Json, batch, provisioners, refuse
from local.ministack.settings import Settings

ARRAY_SIZES = range(2, 10_001)
# RegisterJobDefinition's stock version drops these.
KEPT = ("retryStrategy", "timeout", "parameters", "platformCapabilities", "propagateTags")


class Batch:
    """The operations that differ from MiniStack's own."""

    def __init__(self, settings: Settings) -> None:
        self.runs = BatchRuns(settings)

    def submit(self, request: Json) -> Answer:
        definition = find_definition(request.get("jobDefinition", ""))
        size = (request.get("arrayProperties") or {}).get("size")
        if error := _wrong(request, definition, size):
            return refuse(error)
        assert definition is not None
        job = new_job(request, definition)
        batch._jobs[job["jobId"]] = job
        if size:
            jobs = children(job, size)
            batch._jobs.update({child["jobId"]: child for child in jobs})
            for child in jobs:
                self.runs.start(child)
            self.runs.watch_array(job, jobs)
        else:
            self.runs.start(job)
        return ok({key: job[key] for key in ("jobId", "jobName", "jobArn")})

    def terminate(self, request: Json) -> Answer:
        """Ending a job that is over, or not known, is no error: as in AWS."""
        job = batch._jobs.get(request.get("jobId"))
        if job and job["status"] not in TERMINAL:
            self.runs.terminate(job, request.get("reason", ""))
        return ok({})

    def cancel(self, request: Json) -> Answer:
        """Only what has not started yet."""
        job = batch._jobs.get(request.get("jobId"))
        if job and job["status"] in ("SUBMITTED", "PENDING", "RUNNABLE"):
            self.runs.terminate(job, request.get("reason", ""))
        return ok({})


def list_jobs(request: Json) -> Answer:
    """Of a queue or of an array; RUNNING ones unless a status is named."""
    wanted = request.get("jobStatus") or "RUNNING"
    if parent := request.get("arrayJobId"):
        jobs = child_jobs(parent)
    else:
        queue = str(request.get("jobQueue", "")).rsplit("/", 1)[-1]
        jobs = [
            job for job in list(batch._jobs.values()) if job["jobQueue"].endswith(f"/{queue}") and not _is_child(job)
        ]
    return ok({"jobSummaryList": [summary(job) for job in jobs if job["status"] == wanted]})


def describe_definitions(request: Json) -> Answer:
    """The ones named, or every revision of every definition."""
    status = request.get("status")
    if references := request.get("jobDefinitions"):
        found = [definition for reference in references if (definition := find_definition(reference))]
    else:
        names = [request["jobDefinitionName"]] if request.get("jobDefinitionName") else list(batch._job_definitions)
        found = [definition for name in names for definition in batch._job_definitions.get(name, [])]
    return ok({"jobDefinitions": [each for each in found if status in (None, each["status"])]})


def register(request: Json) -> Answer:
    answer: Answer = batch._register_job_definition(request)
    if answer[0] == 200:
        record = batch._job_definitions[request["jobDefinitionName"]][-1]
        record.update({key: request[key] for key in KEPT if key in request})
    return answer


def install(settings: Settings) -> Batch:
    ours = Batch(settings)
    batch._DISPATCH.update(
        {
            "/v1/submitjob": ours.submit,
            "/v1/terminatejob": ours.terminate,
            "/v1/canceljob": ours.cancel,
            "/v1/listjobs": list_jobs,
            "/v1/registerjobdefinition": register,
            "/v1/describejobdefinitions": describe_definitions,
        }
    )
    _install_resources()
    return ours


def ok(body: Json) -> Answer:
    answer: Answer = batch._json(200, body)
    return answer


def _wrong(request: Json, definition: Json | None, size: int | None) -> str:
    if not request.get("jobName"):
        return "jobName is required"
    if not definition:
        return f"JobDefinition {request.get('jobDefinition')} not found"
    if str(request.get("jobQueue", "")).rsplit("/", 1)[-1] not in batch._job_queues:
        return f"JobQueue {request.get('jobQueue')} not found"
    if size is not None and size not in ARRAY_SIZES:
        return f"Array size {size} is not between {ARRAY_SIZES[0]} and {ARRAY_SIZES[-1]}"
    return ""


def _is_child(job: Json) -> bool:
    return "index" in (job.get("arrayProperties") or {})


# CloudFormation: a handler creates, updates and deletes one type of resource.


def _install_resources() -> None:
    provisioners._RESOURCE_HANDLERS.update(
        {
            "AWS::Batch::ComputeEnvironment": _resource(
                batch._create_compute_environment, "computeEnvironment", batch._compute_envs.pop
            ),
            "AWS::Batch::JobQueue": _resource(batch._create_job_queue, "jobQueue", batch._job_queues.pop),
            "AWS::Batch::JobDefinition": {
                **_resource(register, "jobDefinition", _deactivate),
                "update": _new_revision,
            },
        }
    )


def _resource(create: Callable[[Json], Answer], kind: str, drop: Callable[[str, None], object]) -> Json:
    def made(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        request = provisioners._pascal_to_camel(properties)
        request.setdefault(f"{kind}Name", provisioners._physical_name(stack, logical_id))
        if kind == "computeEnvironment":
            request["type"] = str(request["type"]).upper()
        return _created(create(request), kind)

    def changed(physical_id: str, _old: Json, _new: Json, _stack: str) -> tuple[str, Json]:
        return physical_id, {f"{kind[:1].upper()}{kind[1:]}Arn": physical_id}

    def removed(physical_id: str, _properties: Json) -> None:
        drop(physical_id.rsplit("/", 1)[-1], None)

    return {"create": made, "update": changed, "delete": removed}


def _created(answer: Answer, kind: str) -> tuple[str, Json]:
    status, _, body = answer
    fields = json.loads(body)
    if status >= 400:
        raise ValueError(fields.get("message", fields))
    arn = fields[f"{kind}Arn"]
    return arn, {f"{kind[:1].upper()}{kind[1:]}Arn": arn}


def _new_revision(physical_id: str, _old: Json, new: Json, _stack: str) -> tuple[str, Json]:
    name = physical_id.rsplit("/", 1)[-1].split(":")[0]
    return _created(register({**provisioners._pascal_to_camel(new), "jobDefinitionName": name}), "jobDefinition")


def _deactivate(name: str, _: None) -> None:
    if definition := find_definition(name):
        definition["status"] = "INACTIVE"
