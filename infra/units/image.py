"""The one container image of the backup service and of every Batch job; only the command differs."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra import nag

ROOT = Path(__file__).resolve().parents[2]


class ProductImage(Construct):
    """Built from the Dockerfile of the checkout. Each stack has one of its own, so that it can be deployed alone; the
    tag is the hash of the sources, hence the same image in all.

    Attributes:
        image: For ECS and Batch.
        architecture: What it was built for, as Fargate names it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, cpu_architecture: str) -> None:
        super().__init__(scope, construct_id)
        arm = cpu_architecture == "arm64"
        self.architecture = ecs.CpuArchitecture.ARM64 if arm else ecs.CpuArchitecture.X86_64
        asset = ecr_assets.DockerImageAsset(
            self,
            "Asset",
            directory=str(ROOT),  # .dockerignore leaves only what the image needs
            platform=ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64,
        )
        self.image = ecs.ContainerImage.from_docker_image_asset(asset)


def accept_image_pull(execution_role: iam.IRole | None) -> None:
    """The role with which Fargate fetches the image."""
    if execution_role is not None:
        nag.accept_wildcard(execution_role, "*", "ecr:GetAuthorizationToken knows no resources.")
