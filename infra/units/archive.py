"""The archive's bucket and key, and the few ways in which the parts of Millpond may use them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import nag

EVERYTHING = ""


class Archive(Construct):
    """Where the records are kept.

    Attributes:
        bucket: Versioned, encrypted, without any expiry: only `prune` and redaction remove records.
        key: Encrypts the bucket; S3 asks it once per bucket key, not per object.
        url: `s3://bucket/prefix`, what every part takes as MILLPOND_ARCHIVE.
    """

    def __init__(self, scope: Construct, construct_id: str, *, prefix: str, removal: cdk.RemovalPolicy) -> None:
        super().__init__(scope, construct_id)
        self.prefix = prefix
        self.key = kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(1))],
            removal_policy=removal,
        )
        self.url = f"s3://{self.bucket.bucket_name}/{prefix}"
        self._refuse_blind_overwrites()
        nag.accept(
            self.bucket,
            "AwsSolutions-S1",
            "Reads and writes of objects are recorded by CloudTrail where wanted; an access log here would be a second "
            "bucket of object names that redaction would have to know of.",
        )

    def grant_list(self, role: iam.IRole) -> None:
        """List names and versions below the prefix. Also makes a HEAD of an absent key 404 and not 403: S3 asks for
        s3:ListBucket then, and the request has no prefix, hence IfExists."""
        self._allow(
            role,
            ["s3:ListBucket", "s3:ListBucketVersions"],
            [self.bucket.bucket_arn],
            conditions={"StringLikeIfExists": {"s3:prefix": [self.prefix, f"{self.prefix}/*"]}},
        )

    def grant_read(self, role: iam.IRole, *folders: str) -> None:
        """Read objects and their versions below these folders."""
        self._allow(role, ["s3:GetObject", "s3:GetObjectVersion"], self._objects(role, folders))
        self.key.grant(role, "kms:Decrypt")

    def grant_write(self, role: iam.IRole, *folders: str) -> None:
        """Put objects below these folders. Says nothing of reading or removing."""
        self._allow(role, ["s3:PutObject"], self._objects(role, folders))
        self.key.grant(role, "kms:GenerateDataKey")

    def grant_create(self, role: iam.IRole) -> None:
        """Put the object that makes the prefix an archive; S3 keeps every version of it."""
        self._allow(role, ["s3:PutObject"], [f"{self.bucket.bucket_arn}/{self.prefix}/archive.json"])
        self.key.grant(role, "kms:GenerateDataKey")

    def grant_purge(self, role: iam.IRole, *folders: str) -> None:
        """Remove single versions for good: redaction alone may, nobody may remove a whole key by a delete marker."""
        self._allow(role, ["s3:DeleteObjectVersion"], self._objects(role, folders))

    def _objects(self, role: iam.IRole, folders: tuple[str, ...]) -> list[str]:
        """ARN patterns of everything in the folders. The stack of the role sees the bucket's ARN as an import, which is
        how cdk-nag names the finding; `export_value` gives that form and makes the export that CDK makes anyway."""
        exported = cdk.Stack.of(self).export_value(self.bucket.bucket_arn)
        for folder in folders:
            nag.accept_wildcard(
                role, self._pattern(exported, folder), "The objects of a folder have no names before they are written."
            )
        return [self._pattern(self.bucket.bucket_arn, folder) for folder in folders]

    def _pattern(self, arn: str, folder: str) -> str:
        return "/".join(part for part in (arn, self.prefix, folder, "*") if part)

    def _allow(
        self, role: iam.IRole, actions: list[str], resources: list[str], conditions: dict[str, object] | None = None
    ) -> None:
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=actions, resources=resources, conditions=conditions or {})
        )

    def _refuse_blind_overwrites(self) -> None:
        """Records are written once (If-None-Match) or replaced knowingly (If-Match): S3 itself refuses any other PUT,
        whoever sends it. Parts of multipart uploads carry no such header, hence ObjectCreationOperation (S3 user guide,
        "Enforce conditional writes")."""
        self.bucket.add_to_resource_policy(
            iam.PolicyStatement(
                sid="RefuseBlindOverwrites",
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[self._pattern(self.bucket.bucket_arn, "topics")],
                conditions={
                    "Null": {"s3:if-none-match": "true", "s3:if-match": "true"},
                    "Bool": {"s3:ObjectCreationOperation": "true"},
                },
            )
        )
