"""What is always on: the backup consumer, and the network that everything near Kafka shares."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.config import Deployment
from infra.units.archive import EVERYTHING, Archive
from infra.units.consumer import BackupConsumer
from infra.units.image import ProductImage
from infra.units.network import Network


class BackupStack(cdk.Stack):
    """Attributes:
    network: For jobs and controllers that reach Kafka.
    consumer: Cluster and service.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, deployment: Deployment, archive: Archive, env: cdk.Environment
    ) -> None:
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
            environment=_environment(deployment, archive),
            log_days=deployment.log_retention_days,
        )
        archive.grant_list(self.consumer.role)
        archive.grant_read(self.consumer.role, EVERYTHING)
        archive.grant_write(self.consumer.role, EVERYTHING)
        cdk.CfnOutput(self, "ClusterName", value=self.consumer.cluster.cluster_name)
        cdk.CfnOutput(self, "ServiceName", value=self.consumer.service.service_name)

    @property
    def availability_zones(self) -> list[str]:
        """Asked of CloudFormation when a network is made, never looked up: synth needs no account."""
        return [cdk.Fn.select(number, cdk.Fn.get_azs()) for number in (0, 1)]


def _environment(deployment: Deployment, archive: Archive) -> dict[str, str]:
    backup = deployment.backup
    return {
        "MILLPOND_ARCHIVE": archive.url,
        "MILLPOND_BROKERS": ",".join(deployment.kafka.brokers),
        "MILLPOND_TOPICS": ",".join(backup.topics),
        "MILLPOND_EXCLUDE_TOPICS": ",".join(backup.exclude_topics),
        "MILLPOND_MAX_AGE": str(backup.max_age_s),
        "MILLPOND_MAX_BYTES": str(backup.max_bytes),
    }
