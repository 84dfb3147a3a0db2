"""What is always on: the backup consumer, and the network that everything near Kafka shares."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.config import Deployment
from infra.units.alarms import BackupAlarms
from infra.units.archive import EVERYTHING, Archive
from infra.units.consumer import BackupConsumer
from infra.units.erasure import Erasure
from infra.units.image import ProductImage
from infra.units.kafka_access import grant_backup
from infra.units.network import Network


class BackupStack(cdk.Stack):
    """Attributes:
    network: For jobs and controllers that reach Kafka.
    consumer: Cluster and service.
    alarms: On what the consumer says of itself.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, archive: Archive, erasure: Erasure,
        env: cdk.Environment,
    ) -> None:  # fmt: skip
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{deployment.name}-backup",
            description="Millpond: the consumer that backs up Kafka topics",
            env=env,
        )
        self.network = Network(self, "Network", network=deployment.network)
        self.consumer = BackupConsumer(
            self,
            "Backup",
            image=ProductImage(self, "Image", cpu_architecture=deployment.cpu_architecture),
            network=self.network,
            settings=deployment.backup,
            environment=_environment(deployment, archive, erasure),
            log_days=deployment.log_retention_days,
        )
        self.alarms = BackupAlarms(
            self,
            "Alarms",
            deployment=deployment.name,
            recovery_point_s=deployment.recovery_point_limit_s,
            lag=deployment.alarms.lag,
        )
        grant_backup(self.consumer.role, deployment.kafka)
        archive.grant_list(self.consumer.role)
        archive.grant_read(self.consumer.role, EVERYTHING)
        archive.grant_create(self.consumer.role)
        archive.grant_write(self.consumer.role, "topics")
        if deployment.backup.partition_by:
            erasure.grant_hash(self.consumer.role)
        cdk.CfnOutput(self, "ClusterName", value=self.consumer.cluster.cluster_name)
        cdk.CfnOutput(self, "ServiceName", value=self.consumer.service.service_name)

    @property
    def availability_zones(self) -> list[str]:
        """Asked of CloudFormation when a network is made, never looked up: synth needs no account."""
        return [cdk.Fn.select(number, cdk.Fn.get_azs()) for number in (0, 1)]


def _environment(deployment: Deployment, archive: Archive, erasure: Erasure) -> dict[str, str]:
    backup = deployment.backup
    return {
        "MILLPOND_ARCHIVE": archive.url,
        **deployment.kafka.environment(),
        **backup.environment(),
        **({"MILLPOND_ERASURE_SECRET": erasure.secret.secret_arn} if backup.partition_by else {}),
        "MILLPOND_EMF": deployment.name,
        "MILLPOND_SNAPSHOT_EVERY": "0",  # a function of its own takes them
    }
