"""Redaction on a versioned bucket: conditional puts, version listings and deletes as S3 answers them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.archive.keys import Layout
from millpond.erasure.secret import load_secret
from millpond.errors import WrongUsage
from millpond.storage.s3 import S3Store
from tests.unit.erasure.archive_builder import LAYOUT, SECRET, Pond, partition, request, row

ANNA, BEN, CARL = row(0, b"anna"), row(1, b"ben"), row(2, b"carl")


@pytest.fixture
def pond(s3: Any, bucket: str) -> Pond:
    return Pond(S3Store(bucket, client=s3))


def versions(s3: Any, bucket: str, key: str) -> list[str]:
    found = s3.list_object_versions(Bucket=bucket, Prefix=key)
    return ["version" for _ in found.get("Versions", ())] + ["marker" for _ in found.get("DeleteMarkers", ())]


def test_no_version_of_a_versioned_bucket_holds_the_subject(pond: Pond, s3: Any, bucket: str) -> None:
    hit = pond.write([ANNA, BEN, CARL], block=1)
    pond.write([ANNA, BEN, CARL])
    hidden = pond.write([ANNA, BEN], of=partition(number=1))
    s3.delete_object(Bucket=bucket, Key=hidden)
    clean = pond.write([BEN], of=partition(number=2))
    etag = pond.versions(clean)[0].etag
    receipt = pond.run(request("anna"))
    assert (receipt["status"], receipt["objects"]["dropped"]) == ("COMPLETE", 2)
    assert [versions(s3, bucket, key) for key in (hit, hidden, clean)] == [["version"]] * 3
    assert (pond.rows(hit), pond.rows(hidden), pond.rows(clean)) == ([BEN, CARL], [BEN], [BEN])
    assert pond.versions(clean)[0].etag == etag
    facts, _ = pond.read(hit)
    found = pond.store.head(hit)
    assert found is not None
    assert found.metadata == facts.to_object_metadata()
    assert not any(b"anna" in content for key, content in pond.all_content() if "/topics/" not in key)
    assert pond.run(request("anna")) == receipt


def test_an_overwrite_by_somebody_else_leaves_the_good_copy(pond: Pond, s3: Any, bucket: str) -> None:
    key = pond.write([ANNA, BEN, CARL])
    (good,) = pond.versions(key)
    s3.put_object(Bucket=bucket, Key=key, Body=b"garbage")
    receipt = pond.run(request("anna"))
    assert good.version in {info.version for info in pond.versions(key)}
    assert [exception["kind"] for exception in receipt["exceptions"]] == ["damaged", "unexplained version"]


def test_a_bucket_that_got_versioning_late_is_redacted(s3: Any, unique_name: Any) -> None:
    """The versions from before are called "null"."""
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name)
    pond = Pond(S3Store(name, client=s3))
    key = pond.write([ANNA, BEN])
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    receipt = pond.run(request("anna"))
    assert pond.rows(key) == [BEN]
    assert versions(s3, name, key) == ["version"]
    assert (receipt["status"], receipt["objects"]["versions_purged"]) == ("COMPLETE", 1)


def test_a_bucket_without_versions_is_redacted(s3: Any, unique_name: Any) -> None:
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name)
    pond = Pond(S3Store(name, client=s3), layout=Layout(""))
    key = pond.write([ANNA, BEN])
    assert pond.run(request("anna"))["status"] == "COMPLETE"
    assert pond.rows(key) == [BEN]


def test_a_locked_version_is_an_exception_of_the_receipt(s3: Any, unique_name: Any) -> None:
    name = unique_name("b")[:63]
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    pond = Pond(S3Store(name, client=s3))
    key = pond.write([ANNA, BEN])
    (locked,) = pond.versions(key)
    s3.put_object_legal_hold(Bucket=name, Key=key, VersionId=locked.version, LegalHold={"Status": "ON"})
    receipt = pond.run(request("anna"))
    assert pond.rows(key) == [BEN]
    assert [(exception["kind"], exception["version"]) for exception in receipt["exceptions"]] == [
        ("delete refused", locked.version)
    ]
    assert receipt["status"] == "COMPLETE_WITH_EXCEPTIONS"


def test_a_secret_comes_from_secrets_manager(aws: Any, unique_name: Any) -> None:
    secrets, name = aws.client("secretsmanager"), unique_name("erasure")
    arn = secrets.create_secret(Name=name, SecretString=json.dumps(dict(SECRET.keys)))["ARN"]
    assert load_secret(f"secretsmanager:{name}", client=secrets) == load_secret(arn, client=secrets) == SECRET
    with pytest.raises(WrongUsage, match="ResourceNotFoundException"):
        load_secret("secretsmanager:nothing-here", client=secrets)


def test_the_prefix_of_an_archive_bounds_its_redaction(pond: Pond, s3: Any, bucket: str) -> None:
    neighbour = Pond(S3Store(bucket, client=s3), layout=Layout(LAYOUT.prefix + "-2"))
    mine, theirs = pond.write([ANNA, BEN]), neighbour.write([ANNA, BEN])
    pond.run(request("anna"))
    assert (pond.rows(mine), neighbour.rows(theirs)) == ([BEN], [ANNA, BEN])
