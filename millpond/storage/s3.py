"""The archive on S3, or on anything that speaks its protocol. botocore retries what may pass (500, 503, time-outs,
broken connections) and signs each try afresh; what it cannot know, the meaning of conditional puts, is here.
"""

from __future__ import annotations

import io
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from millpond.errors import WrongUsage
from millpond.storage.contract import (
    NO_METADATA,
    AlreadyThere,
    Body,
    Changed,
    NoSuchObject,
    ObjectInfo,
    ObjectVersion,
)
from millpond.storage.keys import checked_etag, checked_key, checked_metadata, checked_span
from millpond.storage.s3_errors import FAILURES, code_of, status_of, translated
from millpond.storage.s3_stream import buffered

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        HeadObjectRequestTypeDef,
        ListObjectsV2RequestPaginateTypeDef,
        ObjectVersionTypeDef,
        PutObjectRequestTypeDef,
    )

CONFLICT_TRIES = 8  # of one conditional put, while others put the same key; S3 asks for it with 409

SETTINGS = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=32,
    tcp_keepalive=True,
)


def s3_client(
    endpoint_url: str | None = None, region: str | None = None, *, settings: Config | None = None
) -> S3Client:
    """A client with Millpond's time-outs and retries. botocore addresses buckets by path at any endpoint that is given,
    also by AWS_ENDPOINT_URL: names like bucket.localhost do not resolve."""
    try:
        session = boto3.session.Session(region_name=region)
        config = SETTINGS.merge(settings) if settings else SETTINGS
        return session.client("s3", endpoint_url=endpoint_url, config=config)
    except FAILURES as error:
        raise translated(error, "set up S3") from error
    except ValueError as error:
        raise WrongUsage("the S3 endpoint is no URL", hint="write http(s)://host:port") from error


class S3Store:
    """One bucket; keys are full keys. Safe for use by many threads at once."""

    def __init__(
        self,
        bucket: str,
        *,
        client: S3Client | None = None,
        endpoint_url: str | None = None,
        region: str | None = None,
        page_size: int = 1000,
    ) -> None:
        self.bucket = bucket
        self._client = client or s3_client(endpoint_url, region)
        self._page_size = page_size
        self._bucket_seen = False
        self._client.meta.events.register(
            "after-call.s3.ListObjectVersions", _keep_document_order, unique_id="millpond-document-order"
        )

    def put_if_absent(self, key: str, body: Body, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        try:
            return self._put(key, body, metadata, {"Bucket": self.bucket, "Key": key, "IfNoneMatch": "*"})
        except FAILURES as error:
            if isinstance(error, ClientError) and status_of(error) == 412:
                raise AlreadyThere(f"cannot put {self._name(key)}: the key is taken") from error
            raise translated(error, f"put {self._name(key)}") from error

    def put_if_match(self, key: str, body: Body, etag: str, metadata: Mapping[str, str] = NO_METADATA) -> ObjectInfo:
        request: PutObjectRequestTypeDef = {"Bucket": self.bucket, "Key": key, "IfMatch": checked_etag(etag)}
        try:
            return self._put(key, body, metadata, request)
        except FAILURES as error:
            raise self._unmatched_or_translated(error, "replace", key) from error

    def open(
        self, key: str, *, version: str = "", etag: str = "", start: int = 0, length: int | None = None
    ) -> BinaryIO:
        first, end = checked_span(start, length)
        request: GetObjectRequestTypeDef = {"Bucket": self.bucket, "Key": key}
        if version:
            request["VersionId"] = version
        if etag:
            request["IfMatch"] = etag
        if first or end is not None:
            # HTTP cannot ask for nothing; one byte still tells whether there is such an object.
            request["Range"] = f"bytes={first}-{'' if end is None else max(end - 1, first)}"
        stream = self._get(request)
        if length == 0:
            stream.close()
            return io.BytesIO()
        return stream

    def head(self, key: str, *, version: str = "") -> ObjectInfo | None:
        request: HeadObjectRequestTypeDef = {"Bucket": self.bucket, "Key": key}
        if version:
            request["VersionId"] = version
        with self._translating("head", key):
            try:
                reply = self._client.head_object(**request)
            except ClientError as error:
                if status_of(error) not in _MISSING:
                    raise
                self._confirm_bucket()
                return None
        return ObjectInfo(
            key=key,
            size_bytes=reply["ContentLength"],
            etag=reply["ETag"],
            version=version or _version(reply.get("VersionId")),
            modified_ms=_ms(reply["LastModified"]),
            metadata={name.lower(): value for name, value in reply.get("Metadata", {}).items()},
        )

    def list(self, prefix: str, *, after: str = "", delimiter: str = "") -> Iterator[ObjectInfo | str]:
        request: ListObjectsV2RequestPaginateTypeDef = {
            "Bucket": self.bucket,
            "Prefix": prefix,
            "PaginationConfig": {"PageSize": self._page_size},
        }
        if after:
            request["StartAfter"] = after
        if delimiter:
            request["Delimiter"] = delimiter
        pages = self._client.get_paginator("list_objects_v2").paginate(**request)
        with self._translating("list", prefix):
            for page in pages:
                # Objects and rolled-up names come apart and must be merged. Whether a name that `after` lies below is
                # listed differs between implementations; the contract says no.
                found: dict[str, ObjectInfo | str] = {x["Prefix"]: x["Prefix"] for x in page.get("CommonPrefixes", ())}
                found |= {x["Key"]: _listed(cast("ObjectVersionTypeDef", x)) for x in page.get("Contents", ())}
                yield from (found[name] for name in sorted(found) if name > after)

    def list_versions(self, prefix: str) -> Iterator[ObjectVersion]:
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self.bucket, Prefix=prefix, PaginationConfig={"PageSize": self._page_size}
        )
        with self._translating("list versions of", prefix):
            for page in pages:
                yield from _versions(cast("Mapping[str, Any]", page))

    def delete_version(self, key: str, version: str) -> None:
        # Without an id, S3 would hide the object behind a delete marker. "null" names the object that was stored while
        # the bucket kept no versions, so this can never hit one that has a name.
        with self._translating("delete", key):
            try:
                self._client.delete_object(Bucket=self.bucket, Key=key, VersionId=version or "null")
            except ClientError as error:
                if status_of(error) != 404:
                    raise
                self._confirm_bucket()

    def _put(self, key: str, body: Body, metadata: Mapping[str, str], request: PutObjectRequestTypeDef) -> ObjectInfo:
        checked_key(key)
        request["Metadata"] = checked_metadata(metadata)
        request["ChecksumAlgorithm"] = "CRC32"
        request["Body"] = body
        reply = self._put_until_no_conflict(request)
        return ObjectInfo(
            key=key,
            size_bytes=_rewind(body),
            etag=reply["ETag"],
            version=_version(reply.get("VersionId")),
            metadata=request["Metadata"],
        )

    def _put_until_no_conflict(self, request: PutObjectRequestTypeDef) -> Mapping[str, Any]:
        """409 says that another put of this key was under way: neither has won yet."""
        for attempt in range(1, CONFLICT_TRIES + 1):
            _rewind(cast("Body", request["Body"]))
            try:
                return cast("Mapping[str, Any]", self._client.put_object(**request))
            except ClientError as error:
                if status_of(error) != 409 or attempt == CONFLICT_TRIES:
                    raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 jitter, no secret
        raise AssertionError("unreachable")

    def _get(self, request: GetObjectRequestTypeDef) -> BinaryIO:
        key = request["Key"]
        try:
            reply = self._client.get_object(**request)
        except FAILURES as error:
            if isinstance(error, ClientError) and status_of(error) == 416:  # from beyond the end: nothing, as in a file
                return io.BytesIO()
            raise self._unmatched_or_translated(error, "open", key) from error
        return buffered(reply["Body"], f"read {self._name(key)}")

    def _unmatched_or_translated(self, error: Exception, what: str, key: str) -> Exception:
        attempt = f"{what} {self._name(key)}"
        if isinstance(error, ClientError) and status_of(error) == 412:
            return Changed(f"cannot {attempt}: its content has changed")
        if isinstance(error, ClientError) and status_of(error) in _MISSING and code_of(error) != "NoSuchBucket":
            return NoSuchObject(f"cannot {attempt}: there is no such object")
        return translated(error, attempt)

    def _confirm_bucket(self) -> None:
        """A reply to HEAD has no body: 'no such key' and 'no such bucket' look alike, so ask once which it was."""
        if self._bucket_seen:
            return
        try:
            self._client.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if status_of(error) != 404:
                raise
            raise WrongUsage(
                f"there is no bucket {self.bucket}", hint="create it, or correct its name in the archive's URL"
            ) from error
        self._bucket_seen = True

    @contextmanager
    def _translating(self, what: str, key: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise translated(error, f"{what} {self._name(key)}") from error

    def _name(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


_MISSING = frozenset({404, 405})  # 405: the version asked for is a delete marker


def _version(version: str | None, *, newest: bool = True) -> str:
    """S3 calls the version of an object "null" where the bucket keeps none, and forgets to say so in some replies. The
    newest object of a key needs no name then; an older one (the bucket began to keep versions later) does."""
    return "" if version is None or (version == "null" and newest) else version


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _rewind(body: Body) -> int:
    """To the start of the content; its length."""
    if isinstance(body, bytes):
        return len(body)
    size = body.seek(0, io.SEEK_END)
    body.seek(0)
    return size


def _listed(entry: Mapping[str, Any], *, version: str = "") -> ObjectInfo:
    return ObjectInfo(
        key=entry["Key"],
        size_bytes=entry.get("Size", 0),
        etag=entry.get("ETag", ""),
        version=version,
        modified_ms=_ms(entry["LastModified"]),
    )


def _keep_document_order(http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
    """botocore parts versions from delete markers. Their times are whole seconds, so only the order in which they came
    tells which of two in the same second is newer."""
    parsed["DocumentOrder"] = re.findall(rb"<(Version|DeleteMarker)[ />]", http_response.content)


def _versions(page: Mapping[str, Any]) -> Iterator[ObjectVersion]:
    kinds = {b"Version": iter(page.get("Versions", ())), b"DeleteMarker": iter(page.get("DeleteMarkers", ()))}
    entries = [(next(kinds[kind]), kind == b"DeleteMarker") for kind in page["DocumentOrder"]]
    entries.sort(key=lambda e: (e[0]["Key"], not e[0]["IsLatest"], -e[0]["LastModified"].timestamp()))
    for entry, marker in entries:
        latest = entry["IsLatest"]
        info = _listed(entry, version=_version(entry["VersionId"], newest=latest))
        yield ObjectVersion(info, latest=latest, marker=marker)
