"""AWS Batch on Fargate: a queue, and one definition per kind of job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import config
from infra.units.image import ProductImage, accept_image_pull
from infra.units.logs import log_group
from infra.units.network import Network

TRY_AGAIN = 75
FINAL = (1, 2, 3, 4)  # failed, wrong usage, found a problem, refused for safety: the same at every try
ATTEMPTS = 3


class JobQueue(Construct):
    """Queue and compute environment of all jobs.

    Attributes:
        queue: Where the state machines submit.
    """

    def __init__(self, scope: Construct, construct_id: str, *, network: Network, max_vcpus: int) -> None:
        super().__init__(scope, construct_id)
        compute = batch.FargateComputeEnvironment(
            self,
            "Compute",
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            security_groups=list(network.security_groups),
            maxv_cpus=max_vcpus,
        )
        self.queue = batch.JobQueue(
            self,
            "Queue",
            compute_environments=[batch.OrderedComputeEnvironment(compute_environment=compute, order=1)],
            job_state_time_limit_actions=_give_up_where_no_machine_fits(),
        )


class Job(Construct):
    """One kind of job.

    Attributes:
        definition: What is submitted.
        role: What the job's own code may do; for grants.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, command: Sequence[str], environment: Mapping[str, str],
        image: ProductImage, size: config.Jobs, network: Network, log_days: int,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        container = batch.EcsFargateContainerDefinition(
            self,
            "Container",
            image=image.image,
            fargate_cpu_architecture=image.architecture,
            command=list(command),
            environment={"MILLPOND_LOG_FORMAT": "json", "MILLPOND_SPOOL": "/spool", **environment},
            cpu=size.cpu / 1024,
            memory=cdk.Size.mebibytes(size.memory_mib),
            ephemeral_storage_size=cdk.Size.gibibytes(size.disk_gib),
            job_role=self.role,
            assign_public_ip=network.public,
            logging=ecs.LogDriver.aws_logs(stream_prefix="job", log_group=log_group(self, "Logs", days=log_days)),
        )
        accept_image_pull(container.execution_role)
        self.definition = batch.EcsJobDefinition(
            self,
            "Definition",
            container=container,
            timeout=cdk.Duration.hours(size.timeout_h),
            retry_attempts=ATTEMPTS,
            retry_strategies=_retries(),
        )


def _give_up_where_no_machine_fits() -> list[batch.JobStateTimeLimitAction]:
    """A job that can never start would wait for ever, and the execution with it."""
    reasons = (
        batch.JobStateTimeLimitActionsReason.COMPUTE_ENVIRONMENT_MAX_RESOURCE,
        batch.JobStateTimeLimitActionsReason.JOB_RESOURCE_REQUIREMENT,
    )
    return [batch.JobStateTimeLimitAction(max_time=cdk.Duration.hours(1), reason=reason) for reason in reasons]


def _retries() -> list[batch.RetryStrategy]:
    """Batch takes five rules and tries again where none fits: so the final exit codes are named, and a lost host, a
    kill or an image that could not be fetched (no exit code, or one above 128) is tried again."""
    again = batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.custom(on_exit_code=str(TRY_AGAIN)))
    return [
        again,
        *(batch.RetryStrategy.of(batch.Action.EXIT, batch.Reason.custom(on_exit_code=str(code))) for code in FINAL),
    ]
