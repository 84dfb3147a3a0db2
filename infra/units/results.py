"""Who is told how runs end: one topic, for mail and whatever else subscribes."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct


class RunResults(Construct):
    """A message for each run that is over, done or failed: small JSON without any content of records.

    Attributes:
        topic: To publish to, and to subscribe to. Its key is its own: who may read messages of runs may not read the
            archive.
    """

    def __init__(self, scope: Construct, construct_id: str, *, emails: Sequence[str]) -> None:
        super().__init__(scope, construct_id)
        self._key = kms.Key(self, "Key", enable_key_rotation=True, removal_policy=cdk.RemovalPolicy.DESTROY)
        self.topic = sns.Topic(self, "Topic", master_key=self._key, enforce_ssl=True)
        for email in emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))

    def grant_encrypt(self, role: iam.IGrantable) -> None:
        """What publishing needs of the key. CDK's step for it grants the topic alone."""
        self._key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
