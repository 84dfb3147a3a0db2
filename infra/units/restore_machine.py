"""The state machine of a restore: from the input to the report, and one way out for whatever fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of

import aws_cdk as cdk
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.units.controllers import Controller
from infra.units.jobs import Job, JobQueue
from infra.units.machine import EXECUTION, FAILURE, INPUT, RUN_ID, UNITS, call, machine, submit, this_run
from infra.units.results import RunResults

_MISSING, _MESSAGE = "$.missing", f"{FAILURE}.Message"
_ALL = ["States.ALL"]
_LATER: Sequence[str] = ("TryAgain", "Lambda.TooManyRequestsException")
_QUARTERS_OF_AN_HOUR = 4 * 24


@dataclass(frozen=True)
class RestoreSteps:
    """The controllers of a restore, in the order of its steps."""

    validate: Controller
    plan: Controller
    preflight: Controller
    prepare: Controller
    reconcile: Controller
    compare: Controller
    groups: Controller
    finish: Controller
    report: Controller

    def all(self) -> list[Controller]:
        return [getattr(self, field.name) for field in fields_of(self)]


class RestoreMachine(Construct):
    """A run of `restore`. The execution's input is the request, its name the run's id, or the input names a run to go
    on with. Lists of work are objects in the archive; between the steps go the run's id and what is chosen by.

    Every step that fails leads to the same end: what is missing is named, a report is written of what there is, the
    topic is told, and the execution fails with the error and the reason of that step.

    Attributes:
        machine: To be started from the console, the command line or a schedule.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, steps: RestoreSteps, job: Job, queue: JobQueue,
        results: RunResults, log_days: int,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        self._steps, self._job, self._queue, self._told = steps, job, queue, results.topic
        self._fail = sfn.Fail(self, "Failed", error_path=f"{FAILURE}.Error", cause_path=f"{FAILURE}.Cause")
        self._failing = self._failure()
        self.machine = machine(self, self._whole(), controllers=steps.all(), log_days=log_days, log_data=True)
        results.grant_encrypt(self.machine)

    def _whole(self) -> sfn.Chain:
        return (
            sfn.Chain.start(self._named())
            .next(self._validate())
            .next(self._plan())
            .next(self._step("Preflight", self._steps.preflight))
            .next(self._step("Prepare", self._steps.prepare))
            .next(self._job_of_run(self._after_the_job()))
        )

    def _named(self) -> sfn.Pass:
        """From here on the state's data are the machine's own, whatever the input was."""
        return sfn.Pass(self, "Named", parameters={"run_id": sfn.JsonPath.string_at(EXECUTION)})

    def _validate(self) -> tasks.LambdaInvoke:
        asked: dict[str, object] = {
            "execution": sfn.JsonPath.string_at(EXECUTION),
            "request": sfn.JsonPath.object_at(INPUT),
        }
        return self._step("Validate", self._steps.validate, payload=asked, result_path="$")

    def _plan(self) -> tasks.LambdaInvoke:
        asked: dict[str, object] = {"run_id": sfn.JsonPath.string_at(RUN_ID), "request": sfn.JsonPath.object_at(INPUT)}
        return self._step("Plan", self._steps.plan, payload=asked, result_path="$")

    def _job_of_run(self, then: sfn.IChainable) -> sfn.Choice:
        """Topics without records need none. A failed one is asked what is missing: Batch says only that a container
        ended."""
        missing = call(self, "WhatIsMissing", self._steps.reconcile, this_run(), result_path=sfn.JsonPath.DISCARD)
        missing.add_catch(self._failing, errors=_ALL, result_path=_MISSING).next(self._failing)
        single, array = (
            submit(self, name, name="restore", job=self._job, queue=self._queue, array=array)
            for name, array in (("RunOne", False), ("RunArray", True))
        )
        for step in (single, array):
            step.add_catch(missing, errors=_ALL, result_path=FAILURE).next(then)
        return (
            sfn.Choice(self, "HowManyUnits")
            .when(sfn.Condition.number_equals(UNITS, 0), then)
            .when(sfn.Condition.number_equals(UNITS, 1), single)
            .otherwise(array)
        )

    def _after_the_job(self) -> sfn.Chain:
        finish = sfn.Chain.start(self._step("Finish", self._steps.finish)).next(self._success())
        groups = self._unless("$.groups", False, "AreGroupsAsked", self._step("Groups", self._steps.groups), finish)
        compared = self._unless("$.compare", "none", "IsComparisonAsked", self._compare(), groups)
        return sfn.Chain.start(self._step("Reconcile", self._steps.reconcile)).next(compared)

    def _compare(self) -> tasks.LambdaInvoke:
        """All records may take longer than the quarter of an hour that a function has: it goes on where that ended."""
        step = self._step("Compare", self._steps.compare)
        step.add_retry(
            errors=["Sandbox.Timedout", "Lambda.Unknown"],
            interval=cdk.Duration.seconds(1),
            max_attempts=_QUARTERS_OF_AN_HOUR,
            backoff_rate=1,
        )
        return step

    def _unless(
        self, field: str, value: bool | str, construct_id: str, step: tasks.LambdaInvoke, then: sfn.IChainable
    ) -> sfn.Choice:
        """The step unless the plan says this, and then what comes next."""
        if isinstance(value, str):
            left_out = sfn.Condition.string_equals(field, value)
        else:
            left_out = sfn.Condition.boolean_equals(field, value)
        step.next(then)
        return sfn.Choice(self, construct_id).when(left_out, then).otherwise(step)

    def _success(self) -> sfn.Chain:
        report = self._step("Report", self._steps.report, result_path="$")
        tell = self._tell("Notify", "Millpond: a restore is done", message="$")
        tell.add_catch(self._fail, errors=_ALL, result_path=FAILURE)
        return sfn.Chain.start(report).next(tell).next(sfn.Succeed(self, "Done"))

    def _failure(self) -> sfn.IChainable:
        """The report of a failed run, the message, and the end. Where one of the first two fails, the reason of the
        end is still that of the step."""
        report = call(self, "ReportFailure", self._steps.report, None, result_path=FAILURE)
        unreported = sfn.Pass(
            self,
            "Unreported",
            parameters={
                "run_id": sfn.JsonPath.string_at(RUN_ID),
                "status": "failed",
                "error": sfn.JsonPath.string_at(f"{FAILURE}.Error"),
            },
            result_path=_MESSAGE,
        )
        tell = self._tell("NotifyFailure", "Millpond: a restore has failed", message=_MESSAGE)
        tell.add_catch(self._fail, errors=_ALL, result_path=sfn.JsonPath.DISCARD)
        report.add_catch(unreported, errors=_ALL, result_path=sfn.JsonPath.DISCARD)
        report.next(tell)
        unreported.next(tell)
        tell.next(self._fail)
        return report

    def _tell(self, construct_id: str, subject: str, *, message: str) -> tasks.SnsPublish:
        text = sfn.JsonPath.json_to_string(sfn.JsonPath.object_at(message))
        publish = tasks.SnsPublish(
            self,
            construct_id,
            topic=self._told,
            subject=subject,
            message=sfn.TaskInput.from_text(text),
            result_path=sfn.JsonPath.DISCARD,
        )
        publish.add_retry(errors=_ALL, interval=cdk.Duration.seconds(2), max_attempts=3, backoff_rate=2)
        return publish

    def _step(
        self, construct_id: str, controller: Controller, *, payload: Mapping[str, object] | None = None,
        result_path: str | None = sfn.JsonPath.DISCARD,
    ) -> tasks.LambdaInvoke:  # fmt: skip
        """A step whose failure ends the run. Each may be repeated, so what may succeed later is tried again."""
        step = call(self, construct_id, controller, payload or this_run(), result_path=result_path)
        step.add_retry(
            errors=list(_LATER), interval=cdk.Duration.seconds(10), max_attempts=3, backoff_rate=2,
            jitter_strategy=sfn.JitterType.FULL,
        )  # fmt: skip
        step.add_catch(self._failing, errors=_ALL, result_path=FAILURE)
        return step
