"""The probes of an S3 bucket: what its own settings do to an archive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from millpond.findings import Finding, failed, failed_by, passed, warned
from millpond.storage.s3_errors import FAILURES, code_of, status_of, translated

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_LARGEST_DIFFERENCE_S = 60
_REFUSED_DIFFERENCE_S = 900
_NONE = {"NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration"}
_UNKNOWN = {"NotImplemented", "MethodNotAllowed"}
_COLD = {"GLACIER", "DEEP_ARCHIVE"}


def bucket_findings(client: S3Client, bucket: str, topics: str, now_ms: Callable[[], int]) -> Iterator[Finding]:
    """Args: topics: The prefix of everything that an archive must keep."""
    yield from _asked(
        "versioning", "s3:GetBucketVersioning", lambda: client.get_bucket_versioning(Bucket=bucket), _versioning
    )
    yield from _asked(
        "object lock",
        "s3:GetBucketObjectLockConfiguration",
        lambda: client.get_object_lock_configuration(Bucket=bucket),
        _lock,
    )
    yield from _asked(
        "lifecycle",
        "s3:GetLifecycleConfiguration",
        lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket),
        lambda found: lifecycle(found.get("Rules", ()), topics),
    )
    yield from _asked(
        "clock",
        "s3:ListBucket",
        lambda: client.list_objects_v2(Bucket=bucket, Prefix=topics, MaxKeys=1),
        lambda found: _clock(found, now_ms()),
    )


def _asked(
    probe: str, right: str, ask: Callable[[], Any], judge: Callable[[Mapping[str, Any]], Finding]
) -> Iterator[Finding]:
    try:
        yield judge(ask())
    except FAILURES as error:
        if isinstance(error, ClientError) and code_of(error) in _NONE:
            yield judge({})
        elif isinstance(error, ClientError) and code_of(error) in _UNKNOWN:
            yield warned(probe, "this store does not tell", "look at it with the store's own tools")
        elif isinstance(error, ClientError) and status_of(error) == 403:
            yield warned(probe, "these credentials may not look", f"grant {right} to whoever runs the check")
        else:
            yield failed_by(probe, translated(error, f"look at the {probe} of the bucket"))


def _versioning(found: Mapping[str, Any]) -> Finding:
    if found.get("Status") == "Enabled":
        return passed("versioning", "the bucket keeps versions")
    return warned(
        "versioning",
        "the bucket keeps no versions: what is deleted by mistake cannot be brought back",
        "turn on versioning of the bucket",
    )


def _lock(found: Mapping[str, Any]) -> Finding:
    rule = found.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
    if rule.get("Mode") == "COMPLIANCE":
        term = f"{rule['Days']} days" if "Days" in rule else f"{rule.get('Years')} years"
        return warned(
            "object lock",
            f"compliance mode for {term}: until then nobody can erase a person's records",
            "use governance mode where erasure may be asked for",
        )
    return passed("object lock", f"{rule['Mode'].lower()} mode" if rule else "no default retention")


def lifecycle(rules: Iterable[Mapping[str, Any]], topics: str) -> Finding:
    """Whether a rule removes windows, or moves them where reading takes hours. Removed versions that are not the newest
    are no loss."""
    touching = [rule for rule in rules if rule.get("Status") == "Enabled" and _touches(rule, topics)]
    if ending := [_id(rule) for rule in touching if {"Days", "Date"} & rule.get("Expiration", {}).keys()]:
        return failed(
            "lifecycle",
            f"rules remove objects below {topics}: {', '.join(ending)}",
            "remove these rules, or give them a prefix that holds no archive",
        )
    moved = [
        _id(rule) for rule in touching if _COLD & {move.get("StorageClass") for move in rule.get("Transitions", ())}
    ]
    if moved:
        return warned(
            "lifecycle",
            f"rules move windows to classes that cannot be read at once: {', '.join(moved)}",
            "a restore has to bring such objects back first; GLACIER_IR can be read at once",
        )
    return passed("lifecycle", "no rule removes windows")


def _touches(rule: Mapping[str, Any], topics: str) -> bool:
    """Tags and sizes in a filter are not looked at: they can only make it touch less."""
    filtered = rule.get("Filter", {})
    prefix = rule.get("Prefix") or filtered.get("Prefix") or filtered.get("And", {}).get("Prefix") or ""
    return topics.startswith(prefix) or prefix.startswith(topics)


def _id(rule: Mapping[str, Any]) -> str:
    return str(rule.get("ID") or "a rule without a name")


def _clock(found: Mapping[str, Any], now_ms: int) -> Finding:
    text = found["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        theirs = parsedate_to_datetime(text).timestamp()
    except ValueError:
        return warned("clock", "the store does not say what time it is", "compare the clocks by other means")
    difference = round(now_ms / 1000 - theirs)
    told = f"{abs(difference)} s {'ahead of' if difference > 0 else 'behind'} the store's"
    if abs(difference) >= _REFUSED_DIFFERENCE_S:
        return failed("clock", f"this machine's clock is {told}: S3 refuses its signatures", "set the clock")
    if abs(difference) > _LARGEST_DIFFERENCE_S:
        return warned("clock", f"this machine's clock is {told}", "set the clock")
    return passed("clock", "this machine's clock agrees with the store's")
