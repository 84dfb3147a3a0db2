"""What the state machines share: controllers as steps, one Batch job for all units of work, logs, rights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra import nag
from infra.units.controllers import Controller
from infra.units.jobs import Job, JobQueue
from infra.units.logs import log_group

RUN_ID = "$.run_id"
UNITS = "$.units"
FAILURE = "$.failure"
REPORT = "$.report"
EXECUTION = "$$.Execution.Name"
INPUT = "$$.Execution.Input"


def call(
    scope: Construct, construct_id: str, controller: Controller, payload: Mapping[str, object] | None, *,
    result_path: str | None = None,
) -> tasks.LambdaInvoke:  # fmt: skip
    """A controller as a step. Retries are CDK's for Lambda's own failures, none for ours.

    Args:
        payload: What it is told, such as `this_run()`; None for the state's data as they are.
        result_path: Where its answer goes; None is CDK's "in place of the data".
    """
    return tasks.LambdaInvoke(
        scope,
        construct_id,
        lambda_function=controller.function,
        payload_response_only=True,
        payload=None if payload is None else sfn.TaskInput.from_object(dict(payload)),
        result_path=result_path,
    )


def this_run() -> dict[str, object]:
    """The run that the execution is at."""
    return {"run_id": sfn.JsonPath.string_at(RUN_ID)}


def submit(
    scope: Construct, construct_id: str, *, name: str, job: Job, queue: JobQueue, array: bool
) -> tasks.BatchSubmitJob:
    """The Batch job of a run, waited for. An array job has 2 to 10,000 children; one unit is a job without array."""
    units = sfn.JsonPath.number_at(UNITS)
    return tasks.BatchSubmitJob(
        scope,
        construct_id,
        job_name=name,  # not the run's id: Batch refuses characters that executions may have
        job_queue_arn=queue.queue.job_queue_arn,
        job_definition_arn=job.definition.job_definition_arn,
        array_size=units if array else None,
        container_overrides=tasks.BatchContainerOverrides(
            environment={
                "MILLPOND_RUN_ID": sfn.JsonPath.string_at(RUN_ID),
                "MILLPOND_UNITS": sfn.JsonPath.format("{}", sfn.JsonPath.string_at(UNITS)),
            }
        ),
        result_path=sfn.JsonPath.DISCARD,
    )


def machine(
    scope: Construct, definition: sfn.IChainable, *, controllers: Sequence[Controller], log_days: int, log_data: bool
) -> sfn.StateMachine:
    """The state machine of a run: it may stop its jobs, and its findings of cdk-nag are accepted."""
    made = sfn.StateMachine(
        scope,
        "Machine",
        definition_body=sfn.DefinitionBody.from_chainable(definition),
        tracing_enabled=True,
        logs=sfn.LogOptions(
            destination=log_group(scope, "Logs", days=log_days),
            level=sfn.LogLevel.ALL,
            include_execution_data=log_data,
        ),
    )
    _let_stop_jobs(made)
    _accept_findings(made, controllers)
    return made


def _let_stop_jobs(made: sfn.StateMachine) -> None:
    """CDK grants SubmitJob alone; without these, stopping an execution would leave its job running."""
    jobs = cdk.Stack.of(made).format_arn(service="batch", resource="job", resource_name="*")
    made.add_to_role_policy(iam.PolicyStatement(actions=["batch:TerminateJob"], resources=[jobs]))
    made.add_to_role_policy(iam.PolicyStatement(actions=["batch:DescribeJobs"], resources=["*"]))
    nag.accept_wildcard(made, jobs, "A job has no name before it is submitted.")


def _accept_findings(made: sfn.StateMachine, controllers: Sequence[Controller]) -> None:
    definitions = cdk.Stack.of(made).format_arn(service="batch", resource="job-definition", resource_name="*")
    nag.accept_wildcard(made, definitions, "CDK grants SubmitJob on all definitions: revisions have no names.")
    nag.accept_wildcard(made, "*", "X-Ray, DescribeJobs and the delivery of logs know no resources.")
    for controller in controllers:
        versions = f"{controller.function.function_arn}:*"
        nag.accept_wildcard(made, versions, "CDK grants the versions of a function along with it.")
