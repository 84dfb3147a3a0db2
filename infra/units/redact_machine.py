"""The state machine of a redaction: plan, one Batch job for all units of work, reconcile."""

from __future__ import annotations

from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from infra.units.controllers import Controller
from infra.units.jobs import Job, JobQueue
from infra.units.machine import EXECUTION, FAILURE, INPUT, REPORT, UNITS, call, machine, submit, this_run


class RedactMachine(Construct):
    """A run of `redact`. The execution's input names the request, its name is the run's id; lists of work are objects
    in the archive, so inputs stay small. Reconcile has the last word: it runs after a failed job too, and names what is
    missing. A person of whom nothing is found gets a receipt too.

    Attributes:
        machine: To be started from the console, the command line or a schedule.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, plan: Controller, reconcile: Controller, job: Job,
        queue: JobQueue, log_days: int,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        self._job, self._queue = job, queue
        finish = self._reconcile(reconcile)
        self.machine = machine(
            self,
            self._plan(plan).next(self._choose(finish)),
            controllers=[plan, reconcile],
            log_days=log_days,
            log_data=False,  # nothing personal may reach a log, not even by a mistaken input
        )

    def _plan(self, controller: Controller) -> tasks.LambdaInvoke:
        told: dict[str, object] = {
            "run_id": sfn.JsonPath.string_at(EXECUTION),
            "request": sfn.JsonPath.object_at(INPUT),
        }
        return call(self, "Plan", controller, told)

    def _reconcile(self, controller: Controller) -> sfn.Chain:
        """Check and report; then fail all the same where the job had failed, so that nobody takes it for a good run."""
        failed = sfn.Fail(self, "JobFailed", error="JobFailed", cause_path=f"{FAILURE}.Cause")
        done = sfn.Succeed(self, "Done", output_path=REPORT)
        verdict = sfn.Choice(self, "DidTheJobFail").when(sfn.Condition.is_present(FAILURE), failed).otherwise(done)
        return call(self, "Reconcile", controller, this_run(), result_path=REPORT).next(verdict)

    def _choose(self, finish: sfn.Chain) -> sfn.Choice:
        single, array = self._submit("RunOne", array=False), self._submit("RunArray", array=True)
        for step in (single, array):
            step.add_catch(finish, errors=["States.ALL"], result_path=FAILURE).next(finish)
        return (
            sfn.Choice(self, "HowMany")
            .when(sfn.Condition.number_equals(UNITS, 0), finish)
            .when(sfn.Condition.number_equals(UNITS, 1), single)
            .otherwise(array)
        )

    def _submit(self, construct_id: str, *, array: bool) -> tasks.BatchSubmitJob:
        return submit(self, construct_id, name="redact", job=self._job, queue=self._queue, array=array)
