"""What runs when asked or on a schedule: restore, redaction, snapshots, the hourly coverage report."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.bundle import product_code
from infra.config import Deployment
from infra.units.alarms import FunctionFails
from infra.units.archive import EVERYTHING, Archive
from infra.units.controllers import Controller, Controllers, Schedule
from infra.units.erasure import Erasure
from infra.units.image import ProductImage
from infra.units.jobs import Job, JobQueue
from infra.units.kafka_access import (
    grant_compare,
    grant_finish,
    grant_groups,
    grant_preflight,
    grant_prepare,
    grant_restore,
    grant_snapshot,
)
from infra.units.network import Network
from infra.units.redact_machine import RedactMachine
from infra.units.report import CoverageReport
from infra.units.restore_machine import RestoreMachine, RestoreSteps
from infra.units.results import RunResults
from infra.units.snapshots import Snapshots


class OperationsStack(cdk.Stack):
    """Attributes:
    results: Where it is told how restores end.
    restore, redact: The state machines.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, archive: Archive, erasure: Erasure,
        network: Network, env: cdk.Environment,
    ) -> None:  # fmt: skip
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{deployment.name}-operations",
            description="Millpond: restore, redaction and reports",
            env=env,
        )
        self._deployment, self._archive, self._erasure, self._network = deployment, archive, erasure, network
        self._controllers = _controllers(deployment, archive)
        self._image = ProductImage(self, "Image", cpu_architecture=deployment.cpu_architecture)
        self._queue = JobQueue(self, "Jobs", network=network, max_vcpus=deployment.jobs.max_vcpus)
        self.results = RunResults(self, "Results", emails=deployment.results.emails)
        self.restore = self._restore()
        self.redact = self._redact()
        self._report()
        self._snapshots()
        cdk.CfnOutput(self, "RestoreMachineArn", value=self.restore.machine.state_machine_arn)
        cdk.CfnOutput(self, "RedactMachineArn", value=self.redact.machine.state_machine_arn)
        cdk.CfnOutput(self, "ResultsTopicArn", value=self.results.topic.topic_arn)
        cdk.CfnOutput(self, "JobQueueArn", value=self._queue.queue.job_queue_arn)

    def _restore(self) -> RestoreMachine:
        target = self._deployment.kafka.restores_to
        environment = {**target.environment("TO_"), "MILLPOND_EMF": self._deployment.name}
        job = self._job("RestoreJob", module="batch_jobs.restore", environment=environment)
        self._grant(job, write=["runs/restore"])
        grant_restore(job.role, target)
        return RestoreMachine(
            self,
            "Restore",
            steps=self._restore_steps(),
            job=job,
            queue=self._queue,
            results=self.results,
            log_days=self._deployment.log_retention_days,
        )

    def _restore_steps(self) -> RestoreSteps:
        make, target = self._controllers.make, self._deployment.kafka.restores_to
        steps = RestoreSteps(
            validate=make(self, "ValidateRestore", module="validate_restore"),
            plan=make(self, "PlanRestore", module="plan_restore", environment=self._deployment.jobs.sharing),
            preflight=self._near_target("PreflightRestore", "preflight_restore"),
            prepare=self._near_target("PrepareRestore", "prepare_restore"),
            reconcile=make(self, "ReconcileRestore", module="reconcile_restore"),
            compare=self._near_target("CompareRestore", "compare_restore"),
            groups=self._near_target("RestoreGroups", "restore_groups"),
            finish=self._near_target("FinishRestore", "finish_restore"),
            report=make(self, "ReportRestore", module="report_restore"),
        )
        for step in steps.all():
            if step is not steps.validate:
                self._grant(step, write=["runs/restore"])
        grant_preflight(steps.preflight.role, target)
        grant_prepare(steps.prepare.role, target)
        grant_compare(steps.compare.role, target)
        grant_groups(steps.groups.role, target)
        grant_finish(steps.finish.role, target, acls=self._deployment.restore.acls)
        return steps

    def _near_target(self, construct_id: str, module: str) -> Controller:
        """A controller that reaches the cluster that restores write to."""
        environment = self._deployment.kafka.restores_to.environment("TO_")
        return self._controllers.make(self, construct_id, module=module, environment=environment, network=self._network)

    def _redact(self) -> RedactMachine:
        secret = {"MILLPOND_ERASURE_SECRET": self._erasure.secret.secret_arn}
        job = self._job("RedactJob", module="batch_jobs.redact", environment=secret)
        accepting = {**secret, "MILLPOND_INBOX": self._erasure.inbox_url, **self._deployment.jobs.sharing}
        plan = self._controllers.make(self, "PlanRedact", module="plan_redact", environment=accepting)
        reconcile = self._controllers.make(self, "ReconcileRedact", module="reconcile_redact")
        self._grant(job, write=["runs", "erasures", "topics"])
        self._archive.grant_purge(job.role, "topics")
        self._erasure.grant_hash(job.role)
        self._grant(plan, write=["runs", "erasures"])
        self._erasure.grant_hash(plan.role)
        self._erasure.grant_take_request(plan.role)
        self._grant(reconcile, write=["runs", "erasures"])
        return RedactMachine(
            self,
            "Redact",
            plan=plan,
            job=job,
            reconcile=reconcile,
            queue=self._queue,
            log_days=self._deployment.log_retention_days,
        )

    def _report(self) -> None:
        every_min, alone = self._deployment.report_interval_min, self._deployment.reserve_concurrency
        schedule = Schedule(within_min=15, alone=alone)
        report = self._controllers.make(self, "ReportCoverage", module="report_coverage", schedule=schedule)
        self._grant(report)
        CoverageReport(self, "HourlyReport", controller=report, interval=cdk.Duration.minutes(every_min))
        FunctionFails(
            self, "ReportFails", function=report.function, every_min=every_min, told="the coverage report fails"
        )

    def _snapshots(self) -> None:
        settings, backup = self._deployment.snapshots, self._deployment.backup
        environment = {
            **self._deployment.kafka.environment(),
            "MILLPOND_TOPICS": ",".join(backup.topics),
            "MILLPOND_EXCLUDE_TOPICS": ",".join(backup.exclude_topics),
            "MILLPOND_GROUPS": ",".join(settings.groups),
            "MILLPOND_EXCLUDE_GROUPS": ",".join(settings.exclude_groups),
        }
        snapshot = self._controllers.make(
            self,
            "Snapshot",
            module="snapshot",
            environment=environment,
            network=self._network,
            # A snapshot of groups gives up after two minutes by itself.
            schedule=Schedule(within_min=3, alone=self._deployment.reserve_concurrency),
        )
        self._grant(snapshot, write=["groups", "cluster"])
        grant_snapshot(snapshot.role, self._deployment.kafka)
        Snapshots(self, "Snapshots", controller=snapshot, settings=settings)
        if every_min := max(settings.groups_interval_min, settings.cluster_interval_min):
            FunctionFails(self, "SnapshotFails", function=snapshot.function, every_min=every_min, told="snapshots fail")

    def _job(self, construct_id: str, *, module: str, environment: dict[str, str]) -> Job:
        return Job(
            self,
            construct_id,
            command=["python", "-m", module],
            environment={"MILLPOND_ARCHIVE": self._archive.url, **environment},
            image=self._image,
            size=self._deployment.jobs,
            network=self._network,
            log_days=self._deployment.log_retention_days,
        )

    def _grant(self, unit: Job | Controller, *, write: list[str] | None = None) -> None:
        """All read the whole archive; who writes where is what tells them apart."""
        self._archive.grant_list(unit.role)
        self._archive.grant_read(unit.role, EVERYTHING)
        if write:
            self._archive.grant_write(unit.role, *write)


def _controllers(deployment: Deployment, archive: Archive) -> Controllers:
    arm = deployment.cpu_architecture == "arm64"
    return Controllers(
        code=product_code(python=deployment.lambda_python, platform=deployment.bundle_platform),
        python=deployment.lambda_python,
        architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
        log_days=deployment.log_retention_days,
        archive_url=archive.url,
    )
