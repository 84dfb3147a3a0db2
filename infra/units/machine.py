"""The state machine of a run: plan, prepare, one Batch job for all units of work, reconcile."""

from __future__ import annotations

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


class RunMachine(Construct):
    """A run of `restore` or `redact`. The execution's input is the request, its name the run's id; lists of work are
    objects in the archive, so inputs stay small. Reconcile has the last word: it runs after a failed job too, and names
    what is missing.

    Attributes:
        machine: To be started from the console, the command line or a schedule.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, name: str, plan: Controller, reconcile: Controller, job: Job,
        queue: JobQueue, prepare: Controller | None = None, empty_run_fails: bool, log_days: int, log_data: bool,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        self._name, self._job, self._queue = name, job, queue
        finish = self._reconcile(reconcile)
        nothing: sfn.IChainable = self._nothing_to_do() if empty_run_fails else finish
        work = self._choose(nothing=nothing, finish=finish)
        start = self._plan(plan)
        steps = start.next(self._prepare(prepare)) if prepare else sfn.Chain.start(start)
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            definition_body=sfn.DefinitionBody.from_chainable(steps.next(work)),
            tracing_enabled=True,
            logs=sfn.LogOptions(
                destination=log_group(self, "Logs", days=log_days),
                level=sfn.LogLevel.ALL,
                include_execution_data=log_data,
            ),
        )
        self._let_stop_jobs()
        self._accept_findings([plan, reconcile, *([prepare] if prepare else [])])

    def _plan(self, controller: Controller) -> tasks.LambdaInvoke:
        return tasks.LambdaInvoke(
            self,
            "Plan",
            lambda_function=controller.function,
            payload_response_only=True,
            payload=sfn.TaskInput.from_object(
                {
                    "run_id": sfn.JsonPath.string_at("$$.Execution.Name"),
                    "request": sfn.JsonPath.object_at("$$.Execution.Input"),
                }
            ),
        )

    def _prepare(self, controller: Controller) -> tasks.LambdaInvoke:
        return self._invoke("Prepare", controller, result_path=sfn.JsonPath.DISCARD)

    def _reconcile(self, controller: Controller) -> sfn.Chain:
        """Check and report; then fail all the same where the job had failed, so that nobody takes it for a good run."""
        failed = sfn.Fail(self, "JobFailed", error="JobFailed", cause_path=f"{FAILURE}.Cause")
        done = sfn.Succeed(self, "Done", output_path=REPORT)
        verdict = sfn.Choice(self, "DidTheJobFail").when(sfn.Condition.is_present(FAILURE), failed).otherwise(done)
        return self._invoke("Reconcile", controller, result_path=REPORT).next(verdict)

    def _invoke(self, construct_id: str, controller: Controller, *, result_path: str) -> tasks.LambdaInvoke:
        """A controller that is told the run's id. Retries are CDK's for Lambda's own failures, none for ours."""
        return tasks.LambdaInvoke(
            self,
            construct_id,
            lambda_function=controller.function,
            payload_response_only=True,
            payload=sfn.TaskInput.from_object({"run_id": sfn.JsonPath.string_at(RUN_ID)}),
            result_path=result_path,
        )

    def _nothing_to_do(self) -> sfn.Fail:
        return sfn.Fail(
            self, "NothingToRestore", error="NothingToRestore", cause="the plan holds no partition; see the run's plan"
        )

    def _choose(self, *, nothing: sfn.IChainable, finish: sfn.Chain) -> sfn.Choice:
        """An array job has 2 to 10,000 children; a plan with one unit is a job without array."""
        single, array = self._submit("RunOne", array=False), self._submit("RunArray", array=True)
        for step in (single, array):
            step.add_catch(finish, errors=["States.ALL"], result_path=FAILURE).next(finish)
        return (
            sfn.Choice(self, "HowMany")
            .when(sfn.Condition.number_equals(UNITS, 0), nothing)
            .when(sfn.Condition.number_equals(UNITS, 1), single)
            .otherwise(array)
        )

    def _submit(self, construct_id: str, *, array: bool) -> tasks.BatchSubmitJob:
        units = sfn.JsonPath.number_at(UNITS)
        return tasks.BatchSubmitJob(
            self,
            construct_id,
            job_name=self._name,  # not the run's id: Batch refuses characters that executions may have
            job_queue_arn=self._queue.queue.job_queue_arn,
            job_definition_arn=self._job.definition.job_definition_arn,
            array_size=units if array else None,
            container_overrides=tasks.BatchContainerOverrides(
                environment={
                    "MILLPOND_RUN_ID": sfn.JsonPath.string_at(RUN_ID),
                    "MILLPOND_UNITS": sfn.JsonPath.format("{}", sfn.JsonPath.string_at(UNITS)),
                }
            ),
            result_path=sfn.JsonPath.DISCARD,
        )

    def _let_stop_jobs(self) -> None:
        """CDK grants SubmitJob alone; without these, stopping an execution would leave its job running."""
        jobs = cdk.Stack.of(self).format_arn(service="batch", resource="job", resource_name="*")
        self.machine.add_to_role_policy(iam.PolicyStatement(actions=["batch:TerminateJob"], resources=[jobs]))
        self.machine.add_to_role_policy(iam.PolicyStatement(actions=["batch:DescribeJobs"], resources=["*"]))
        nag.accept_wildcard(self.machine, jobs, "A job has no name before it is submitted.")

    def _accept_findings(self, controllers: list[Controller]) -> None:
        definitions = cdk.Stack.of(self).format_arn(service="batch", resource="job-definition", resource_name="*")
        nag.accept_wildcard(
            self.machine, definitions, "CDK grants SubmitJob on all definitions: revisions have no names."
        )
        nag.accept_wildcard(self.machine, "*", "X-Ray, DescribeJobs and the delivery of logs know no resources.")
        for controller in controllers:
            versions = f"{controller.function.function_arn}:*"
            nag.accept_wildcard(self.machine, versions, "CDK grants the versions of a function along with it.")
