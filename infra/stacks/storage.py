"""What must survive everything else: archive, erasure inbox and secret. Stateful, hence a stack of its own."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from infra.config import Deployment
from infra.units.archive import Archive
from infra.units.erasure import Erasure


class StorageStack(cdk.Stack):
    """Never rename the ids below: CloudFormation would make new, empty resources.

    Attributes:
        archive, erasure: For the other stacks.
    """

    def __init__(self, scope: Construct, construct_id: str, *, deployment: Deployment, env: cdk.Environment) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=f"{deployment.name}-storage",
            description="Millpond: the archive of Kafka topics on S3, and the erasure inbox",
            termination_protection=deployment.retain,
            env=env,
        )
        removal = cdk.RemovalPolicy.RETAIN if deployment.retain else cdk.RemovalPolicy.DESTROY
        self.archive = Archive(self, "Archive", prefix=deployment.prefix, removal=removal)
        self.erasure = Erasure(self, "Erasure", removal=removal)
        cdk.CfnOutput(self, "ArchiveUrl", value=self.archive.url)
        cdk.CfnOutput(self, "ArchiveBucketName", value=self.archive.bucket.bucket_name)
        cdk.CfnOutput(self, "InboxBucketName", value=self.erasure.inbox.bucket_name)
        cdk.CfnOutput(self, "ErasureSecretArn", value=self.erasure.secret.secret_arn)
