"""The contract against S3's protocol, and what only buckets have: delete markers, pages, buckets without versions."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.errors import WrongUsage
from millpond.storage.contract import NoSuchObject, ObjectStore, read
from millpond.storage.s3 import SETTINGS, S3Store
from tests.contracts.listing import delimiters, expected, listed, prefixes
from tests.contracts.storage import StorageContract

if TYPE_CHECKING:
    from local.aws import LocalAws

KEYS = ["a-b", "a/b", "a/b-c", "a.b", "a0", "B", "a/c/d", "a/c.d", "ü", "z", "a b/-", "ab/a/b", "ab/a+b", "b"]


@pytest.fixture(scope="module")
def client(aws: LocalAws) -> Any:
    return aws.client("s3", config=SETTINGS)


@pytest.fixture
def store(client: Any, bucket: str) -> ObjectStore:
    return S3Store(bucket, client=client)


class TestS3Store(StorageContract):
    versioned = True


class TestS3StoreInABucketWithoutVersions(StorageContract):
    versioned = False

    @pytest.fixture
    def store(self, client: Any, unique_name: Callable[[str], str]) -> ObjectStore:
        name = unique_name("plain")[:63]
        client.create_bucket(Bucket=name)
        return S3Store(name, client=client)


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
def test_listings_are_those_of_a_sorted_list_on_pages_of_any_size(client: Any, bucket: str, page_size: int) -> None:
    store = S3Store(bucket, client=client, page_size=page_size)
    for key in KEYS:
        store.put_if_absent(key, b"")

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(prefixes | st.sampled_from(KEYS), prefixes | st.sampled_from(KEYS), delimiters)
    def agrees(prefix: str, after: str, delimiter: str) -> None:
        assert listed(store, prefix, after, delimiter) == expected(KEYS, prefix, after, delimiter)

    agrees()


@pytest.mark.parametrize("page_size", [1, 2, 3, 5, 1000])
def test_versions_and_markers_of_one_second_come_newest_first(client: Any, bucket: str, page_size: int) -> None:
    store = S3Store(bucket, client=client, page_size=page_size)
    written: dict[str, list[tuple[str, bool]]] = {}
    for key, _ in itertools.product(("a", "a-b", "a/b"), range(3)):
        put = store.put_if_absent(key, b"x")
        gone = client.delete_object(Bucket=bucket, Key=key)
        written.setdefault(key, []).extend([(put.version, False), (gone["VersionId"], True)])
    found = list(store.list_versions("a"))
    assert [(v.info.key, v.info.version, v.marker) for v in found] == [
        (key, version, marker) for key in sorted(written) for version, marker in reversed(written[key])
    ]
    assert [v.latest for v in found] == [True, False, False, False, False, False] * 3


def test_a_deleted_object_is_hidden_behind_its_marker(client: Any, bucket: str, store: S3Store) -> None:
    first = store.put_if_absent("a", b"first")
    marker = client.delete_object(Bucket=bucket, Key="a")["VersionId"]
    assert store.head("a") is None
    assert store.head("a", version=marker) is None
    assert list(store.list("")) == []
    for version in ("", marker):
        with pytest.raises(NoSuchObject):
            store.open("a", version=version)
    with pytest.raises(NoSuchObject):
        store.put_if_match("a", b"x", first.etag)
    assert read(store, "a", version=first.version) == b"first"
    store.delete_version("a", marker)
    assert read(store, "a") == b"first"


def test_an_object_older_than_versioning_is_named_by_its_version_once_it_is_not_the_newest(
    client: Any, unique_name: Callable[[str], str]
) -> None:
    bucket = unique_name("late")[:63]
    client.create_bucket(Bucket=bucket)
    store = S3Store(bucket, client=client)
    old = store.put_if_absent("a", b"old")
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert [v.info.version for v in store.list_versions("")] == [""]
    new = store.put_if_match("a", b"new", old.etag)
    assert [v.info.version for v in store.list_versions("")] == [new.version, "null"]
    assert read(store, "a", version="null") == b"old"
    store.delete_version("a", "null")
    assert [v.info.version for v in store.list_versions("")] == [new.version]


def test_objects_are_stored_with_a_checksum(client: Any, bucket: str, store: S3Store) -> None:
    store.put_if_absent("a", b"x")
    assert client.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")["ChecksumCRC32"]


def test_a_bucket_that_is_not_there_is_wrong_usage(client: Any) -> None:
    store = S3Store("not-there-at-all", client=client)
    calls: list[Callable[[], object]] = [
        lambda: store.put_if_absent("a", b"x"),
        lambda: store.put_if_match("a", b"x", "etag"),
        lambda: store.open("a"),
        lambda: store.open("a", version="v"),
        lambda: store.head("a"),
        lambda: list(store.list("")),
        lambda: list(store.list_versions("")),
        lambda: store.delete_version("a", ""),
    ]
    for call in calls:
        with pytest.raises(WrongUsage, match="not-there-at-all") as caught:
            call()
        assert "create" in caught.value.hint
