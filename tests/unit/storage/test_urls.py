from __future__ import annotations

from pathlib import Path

import pytest

from millpond.errors import WrongUsage
from millpond.storage.folder import FolderStore
from millpond.storage.s3 import S3Store
from millpond.storage.urls import open_store


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://my-bucket", "my-bucket", ""),
        ("s3://my-bucket/", "my-bucket", ""),
        ("s3://my.bucket/a/b", "my.bucket", "a/b"),
        ("s3://my-bucket/a/b//", "my-bucket", "a/b"),
        ("s3://my-bucket/" + "p" * 300, "my-bucket", "p" * 300),
        ("s3://my-bucket/a b?c#d", "my-bucket", "a b?c#d"),
    ],
)
def test_a_bucket_and_a_prefix(url: str, bucket: str, prefix: str) -> None:
    store, found = open_store(url, region="eu-central-1")
    assert isinstance(store, S3Store)
    assert (store.bucket, found) == (bucket, prefix)


@pytest.mark.parametrize(
    ("url", "root"), [("file:///tmp/archive", "/tmp/archive"), ("file:///tmp/my%20archive/", "/tmp/my archive")]
)
def test_a_folder(url: str, root: str) -> None:
    store, prefix = open_store(url)
    assert isinstance(store, FolderStore)
    assert (store.root, prefix) == (Path(root), "")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "archive",
        "/tmp/archive",
        "https://my-bucket.s3.amazonaws.com/a",
        "s3:/my-bucket/a",
        "s3://",
        "s3:///a",
        "s3://My_Bucket/a",
        "s3://b/a",
        "s3://my-bucket/" + "p" * 301,
        "s3://my-bucket/a//b",
        "s3://my-bucket/../b",
        "file://",
        "file:///",
        "file://tmp/archive",
        "file:///tmp/../etc",
        "file:///tmp/a%00b",
        "file:///tmp/a?b",
    ],
)
def test_what_names_no_archive_is_wrong_usage_with_a_hint(url: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        open_store(url)
    assert caught.value.hint


@pytest.mark.parametrize("url", ["s3://KEY:SECRET@bucket/a", "ftp://u:SECRET@host/a", "file://u:SECRET@host/a"])
def test_credentials_in_a_url_are_not_repeated(url: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        open_store(url)
    assert "SECRET" not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="endpoint"):
        open_store("s3://my-bucket/a", endpoint_url="localhost", region="eu-central-1")


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_buckets_are_addressed_by_path_at_an_endpoint(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://storage.example:9000"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    if given == "environment":
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    store, _ = open_store(
        "s3://my-bucket/a", endpoint_url=endpoint if given == "argument" else None, region="eu-central-1"
    )
    assert isinstance(store, S3Store)
    signed = store._client.generate_presigned_url("get_object", Params={"Bucket": "my-bucket", "Key": "k"})
    assert signed.startswith(f"{endpoint}/my-bucket/k?")
