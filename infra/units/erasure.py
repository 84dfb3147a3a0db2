"""What erasure alone needs: the inbox for requests that hold identifiers, and the secret behind the keyed hashes."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra import nag


class Erasure(Construct):
    """Inbox and secret.

    Attributes:
        inbox: Requests wait here for the minutes until they are planned. No versions: a removed request is gone.
        key: Encrypts inbox and secret, not the archive: whoever reads records cannot read who asked to be forgotten.
        secret: JSON of key ids and hash keys. Never rotated away while a ledger entry needs a key.
    """

    def __init__(self, scope: Construct, construct_id: str, *, removal: cdk.RemovalPolicy) -> None:
        super().__init__(scope, construct_id)
        self.key = kms.Key(self, "Key", enable_key_rotation=True, removal_policy=removal)
        self.inbox = _inbox(self, self.key, removal)
        self.inbox_url = f"s3://{self.inbox.bucket_name}"
        self.secret = _secret(self, self.key, removal)

    def grant_take_request(self, role: iam.IRole) -> None:
        """Read a request and remove it, also by the version name "null" that objects have in a bucket without versions
        (S3 asks for DeleteObjectVersion then)."""
        exported = cdk.Stack.of(self).export_value(self.inbox.bucket_arn)
        nag.accept_wildcard(role, f"{exported}/*", "A request's name is chosen by whoever files it.")
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
                resources=[f"{self.inbox.bucket_arn}/*"],
            )
        )
        # Without it S3 answers 403 where no request is, which would read as a missing permission.
        role.add_to_principal_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[self.inbox.bucket_arn]))
        self.key.grant(role, "kms:Decrypt")

    def grant_hash(self, role: iam.IRole) -> None:
        """Read the secret."""
        role.add_to_principal_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[self.secret.secret_arn])
        )
        self.key.grant(role, "kms:Decrypt")


def _inbox(scope: Construct, key: kms.IKey, removal: cdk.RemovalPolicy) -> s3.Bucket:
    bucket = s3.Bucket(
        scope,
        "Inbox",
        versioned=False,
        encryption=s3.BucketEncryption.KMS,
        encryption_key=key,
        bucket_key_enabled=True,
        enforce_ssl=True,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        lifecycle_rules=[
            s3.LifecycleRule(
                expiration=cdk.Duration.days(1), abort_incomplete_multipart_upload_after=cdk.Duration.days(1)
            )
        ],
        removal_policy=removal,
    )
    nag.accept(
        bucket, "AwsSolutions-S1", "An access log would keep the names of requests that are to leave no trace here."
    )
    return bucket


def _secret(scope: Construct, key: kms.IKey, removal: cdk.RemovalPolicy) -> secretsmanager.Secret:
    secret = secretsmanager.Secret(
        scope,
        "Secret",
        description="Hash keys of Millpond's erasure ledger. Losing one makes ledger entries unreadable.",
        encryption_key=key,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            secret_string_template="{}",  # noqa: S106 - a template, no secret
            generate_string_key="k1",
            password_length=64,
            exclude_punctuation=True,
        ),
        removal_policy=removal,
    )
    nag.accept(
        secret,
        "AwsSolutions-SMG4",
        "A new key is added under a new id; rotating one away would orphan the ledger entries made with it.",
    )
    return secret
