"""What runs when asked: restore, redaction, and the hourly coverage report."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.bundle import product_code
from infra.config import Deployment
from infra.units.archive import EVERYTHING, Archive
from infra.units.controllers import Controller, Controllers
from infra.units.erasure import Erasure
from infra.units.image import ProductImage
from infra.units.jobs import Job, JobQueue
from infra.units.machine import RunMachine
from infra.units.network import Network
from infra.units.report import CoverageReport


class OperationsStack(cdk.Stack):
    """Attributes:
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
        self.restore = self._restore()
        self.redact = self._redact()
        self._report()
        cdk.CfnOutput(self, "RestoreMachineArn", value=self.restore.machine.state_machine_arn)
        cdk.CfnOutput(self, "RedactMachineArn", value=self.redact.machine.state_machine_arn)
        cdk.CfnOutput(self, "JobQueueArn", value=self._queue.queue.job_queue_arn)

    def _restore(self) -> RunMachine:
        to_brokers = {"MILLPOND_TO_BROKERS": ",".join(self._deployment.kafka.restore_brokers)}
        job = self._job("RestoreJob", module="batch_jobs.restore", environment=to_brokers)
        sharing = self._deployment.jobs.sharing
        plan = self._controllers.make(self, "PlanRestore", module="plan_restore", environment=sharing)
        prepare = self._controllers.make(
            self, "PrepareRestore", module="prepare_restore", environment=to_brokers, network=self._network
        )
        reconcile = self._controllers.make(self, "ReconcileRestore", module="reconcile_restore")
        for unit in (job, plan, prepare, reconcile):
            self._grant(unit, write=["runs"])
        return RunMachine(
            self,
            "Restore",
            name="restore",
            plan=plan,
            prepare=prepare,
            job=job,
            reconcile=reconcile,
            queue=self._queue,
            empty_run_fails=True,
            log_days=self._deployment.log_retention_days,
            log_data=True,
        )

    def _redact(self) -> RunMachine:
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
        return RunMachine(
            self,
            "Redact",
            name="redact",
            plan=plan,
            job=job,
            reconcile=reconcile,
            queue=self._queue,
            empty_run_fails=False,  # a person of whom nothing is found gets a receipt too
            log_days=self._deployment.log_retention_days,
            log_data=False,  # nothing personal may reach a log, not even by a mistaken input
        )

    def _report(self) -> None:
        report = self._controllers.make(self, "ReportCoverage", module="report_coverage")
        self._grant(report)
        interval = cdk.Duration.minutes(self._deployment.report_interval_min)
        CoverageReport(self, "HourlyReport", controller=report, interval=interval)

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
