"""What must survive: encrypted, versioned, private, kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from tests.infra.conftest import Assembly
from tests.infra.policies import of_type

STATEFUL = ("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::SecretsManager::Secret")


@pytest.fixture(scope="module")
def template(assembly: Assembly) -> Template:
    return Template.from_json(assembly.storage)


def test_every_bucket_is_encrypted_with_a_key_of_ours_and_asks_it_once_per_bucket_key(assembly: Assembly) -> None:
    for bucket in of_type(assembly.storage, "AWS::S3::Bucket").values():
        rule = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        assert rule["BucketKeyEnabled"] is True
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
        assert "KMSMasterKeyID" in rule["ServerSideEncryptionByDefault"]


def test_every_bucket_is_closed_to_the_public(template: Template) -> None:
    closed = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
    template.all_resources_properties("AWS::S3::Bucket", {"PublicAccessBlockConfiguration": closed})


def test_every_bucket_refuses_requests_without_tls(template: Template) -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    template.resource_count_is("AWS::S3::BucketPolicy", 2)
    template.all_resources_properties(
        "AWS::S3::BucketPolicy",
        {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(deny)])}},
    )


def test_keys_rotate(template: Template) -> None:
    template.resource_count_is("AWS::KMS::Key", 2)
    template.all_resources_properties("AWS::KMS::Key", {"EnableKeyRotation": True})


def test_the_archive_has_versions_and_nothing_in_it_expires(assembly: Assembly) -> None:
    archive = of_type(assembly.storage, "AWS::S3::Bucket")["ArchiveBucket"]
    assert archive["VersioningConfiguration"] == {"Status": "Enabled"}
    rules = archive["LifecycleConfiguration"]["Rules"]
    assert rules == [{"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "Status": "Enabled"}]


def test_a_request_in_the_inbox_is_gone_after_a_day_and_leaves_no_version(assembly: Assembly) -> None:
    inbox = of_type(assembly.storage, "AWS::S3::Bucket")["ErasureInbox"]
    assert "VersioningConfiguration" not in inbox
    assert inbox["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == 1


def test_archive_and_inbox_have_keys_of_their_own(assembly: Assembly) -> None:
    text = {name: json.dumps(bucket) for name, bucket in of_type(assembly.storage, "AWS::S3::Bucket").items()}
    assert "ArchiveKey" in text["ArchiveBucket"] and "ErasureKey" in text["ErasureInbox"]


def test_s3_itself_refuses_a_blind_overwrite_of_records(template: Template) -> None:
    deny = {
        "Effect": "Deny",
        "Action": "s3:PutObject",
        "Principal": {"AWS": "*"},
        "Condition": {
            "Null": {"s3:if-none-match": "true", "s3:if-match": "true"},
            "Bool": {"s3:ObjectCreationOperation": "true"},
        },
    }
    template.has_resource_properties(
        "AWS::S3::BucketPolicy", {"PolicyDocument": {"Statement": Match.array_with([Match.object_like(deny)])}}
    )


def test_the_secret_starts_with_one_key_of_64_characters(template: Template) -> None:
    generate = {
        "SecretStringTemplate": "{}",
        "GenerateStringKey": "k1",
        "PasswordLength": 64,
        "ExcludePunctuation": True,
    }
    template.has_resource_properties("AWS::SecretsManager::Secret", {"GenerateSecretString": generate})


def test_what_holds_data_outlives_its_stack(assembly: Assembly) -> None:
    kept = [resource for resource in assembly.storage["Resources"].values() if resource["Type"] in STATEFUL]
    assert len(kept) == 5
    assert all(resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain" for resource in kept)


def test_only_the_storage_stack_is_protected_from_termination(assembly: Assembly) -> None:
    manifest: dict[str, Any] = json.loads((assembly.folder / "manifest.json").read_text())["artifacts"]
    protected = {name for name, stack in manifest.items() if stack.get("properties", {}).get("terminationProtection")}
    assert protected == {"Storage"}


def test_no_resource_has_a_fixed_name(assembly: Assembly) -> None:
    named = {
        "BucketName",
        "RoleName",
        "FunctionName",
        "StateMachineName",
        "LogGroupName",
        "JobQueueName",
        "ClusterName",
    }
    for template in (assembly.storage, assembly.backup, assembly.operations):
        for resource in template["Resources"].values():
            if resource["Type"] != "AWS::Lambda::EventInvokeConfig":  # names the function that it is about
                assert not named & resource.get("Properties", {}).keys()


def test_outputs_say_where_things_are(assembly: Assembly) -> None:
    assert {"ArchiveUrl", "ArchiveBucketName", "InboxBucketName", "ErasureSecretArn"} <= assembly.storage[
        "Outputs"
    ].keys()
    assert {"ClusterName", "ServiceName"} <= assembly.backup["Outputs"].keys()
    assert {"RestoreMachineArn", "RedactMachineArn", "JobQueueArn"} <= assembly.operations["Outputs"].keys()
