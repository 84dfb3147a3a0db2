"""The backup consumer: an ECS service on Fargate, N tasks in one consumer group."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import config, nag
from infra.units.image import ProductImage, accept_image_pull
from infra.units.logs import log_group
from infra.units.network import Network

SPOOL = "/spool"

# The image has no curl. http.client goes past any proxy that the environment names.
IS_WELL = (
    "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8081, timeout=5); "
    "c.request('GET', '/__/health'); sys.exit(c.getresponse().status != 200)"
)


class BackupConsumer(Construct):
    """Cluster, task and service.

    Attributes:
        cluster, service: For alarms and outputs.
        role: What the consumer's own code may do; for grants.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, image: ProductImage, network: Network, settings: config.Backup,
        environment: Mapping[str, str], log_days: int,
    ) -> None:  # fmt: skip
        super().__init__(scope, construct_id)
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=network.vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        task = _task(self, image, settings)
        self.role: iam.IRole = task.task_role
        _add_container(self, task, image, environment, log_days)
        self.service = ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=task,
            desired_count=settings.tasks,
            vpc_subnets=network.subnets,
            security_groups=list(network.security_groups),
            assign_public_ip=network.public,
            min_healthy_percent=100,  # a new task joins the group before an old one leaves it
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
        )


def _task(scope: Construct, image: ProductImage, size: config.Container) -> ecs.FargateTaskDefinition:
    return ecs.FargateTaskDefinition(
        scope,
        "Task",
        cpu=size.cpu,
        memory_limit_mib=size.memory_mib,
        ephemeral_storage_gib=size.disk_gib,
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=image.architecture, operating_system_family=ecs.OperatingSystemFamily.LINUX
        ),
        volumes=[ecs.Volume(name="spool")],
    )


def _health_check() -> ecs.HealthCheck:
    """Asks the consumer inside its container, so no port is opened. A loop that hangs is unhealthy after one minute;
    three checks later the task is replaced."""
    return ecs.HealthCheck(
        command=["CMD", "python", "-c", IS_WELL],
        interval=cdk.Duration.seconds(30),
        timeout=cdk.Duration.seconds(10),
        retries=3,
        start_period=cdk.Duration.seconds(120),
    )


def _add_container(
    scope: Construct,
    task: ecs.FargateTaskDefinition,
    image: ProductImage,
    environment: Mapping[str, str],
    log_days: int,
) -> None:
    container = task.add_container(
        "Consumer",
        image=image.image,
        command=["python", "-m", "backup_consumer"],
        environment={"MILLPOND_SPOOL": SPOOL, "MILLPOND_LOG_FORMAT": "json", **environment},
        stop_timeout=cdk.Duration.seconds(120),  # what Fargate allows at most; the consumer needs some ten
        health_check=_health_check(),
        readonly_root_filesystem=True,
        logging=ecs.LogDriver.aws_logs(stream_prefix="backup", log_group=log_group(scope, "Logs", days=log_days)),
    )
    # Fargate gives a bind mount the owner that the image's VOLUME has; hence VOLUME /spool in the Dockerfile.
    container.add_mount_points(ecs.MountPoint(container_path=SPOOL, source_volume="spool", read_only=False))
    nag.accept(task, "AwsSolutions-ECS2", "The variables are addresses and sizes; there is no secret among them.")
    accept_image_pull(task.execution_role)
