"""What S3 and botocore report, as errors that an operator can act on. Neither credentials nor content get into
messages: S3's own texts name no secrets, and botocore's are used only where they cannot hold any.
"""

from __future__ import annotations

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.storage.contract import StorageError

FAILURES = (BotoCoreError, ClientError, HTTPError, OSError)
"""Everything that a call of an S3 client, or a read from its streams, is known to raise."""

_CREDENTIALS = "check the credentials: AWS_PROFILE, the other AWS_ variables, or the role of this machine"
_REGION = "the bucket is in another region: set --region or AWS_REGION to the bucket's"
_PERMISSION = (
    "grant these credentials s3:GetObject, s3:PutObject and s3:ListBucket on the bucket and its prefix (without "
    "s3:ListBucket, S3 says 'forbidden' of keys that are not there), and the use of its KMS key"
)

_WRONG_USAGE = {
    "NoSuchBucket": "create the bucket, or correct its name in the archive's URL",
    "InvalidBucketName": "correct the bucket's name in the archive's URL",
    "AccessDenied": _PERMISSION,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": f"{_CREDENTIALS}: the secret key does not belong to the access key id",
    "ExpiredToken": "the session has ended: log in again, or use credentials that renew themselves",
    "InvalidToken": _CREDENTIALS,
    "RequestTimeTooSkewed": "this machine's clock is wrong by more than 15 minutes: set it",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "NotImplemented": "this endpoint lacks a call that Millpond needs, such as conditional writes",
    # A reply to HEAD has no body: botocore takes the status for the code.
    "301": _REGION,
    "400": f"S3 does not say why: the session may have ended, or the region be wrong; {_CREDENTIALS}",
    "501": "this endpoint lacks a call that Millpond needs",
}

_TRY_AGAIN = frozenset({"SlowDown", "Throttling", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"})

_SETTINGS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.LoginError,
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.InvalidConfigError,
    boto.NoRegionError,
    boto.InvalidRegionError,
)
_NO_CREDENTIALS_NOW = (boto.CredentialRetrievalError, boto.MetadataRetrievalError, boto.TokenRetrievalError)
_UNREACHABLE = "check the endpoint URL, the network and, for TLS, the certificates that are trusted"


def translated(error: Exception, attempt: str) -> MillpondError:
    """The error to raise in place of `error`, one of `FAILURES`. `attempt`: what was tried on what ("put s3://b/key")."""
    if isinstance(error, ClientError):
        return _refusal(error, attempt)
    kind = type(error).__name__
    if isinstance(error, _SETTINGS):
        return WrongUsage(f"cannot {attempt}: {error}", hint=_CREDENTIALS)
    if isinstance(error, _NO_CREDENTIALS_NOW):
        return TryAgain(f"cannot {attempt}: {kind}", hint=_CREDENTIALS)  # the text may come from a program of the user
    if isinstance(error, boto.ValidationError | boto.ParamValidationError | boto.InvalidS3AddressingStyleError):
        return StorageError(f"cannot {attempt}: {kind}")  # their texts repeat the arguments, the content among them
    if isinstance(error, boto.FlexibleChecksumError):
        return TryAgain(f"cannot {attempt}: what arrived does not match its checksum", hint="it may be the network")
    return TryAgain(f"cannot {attempt}: {kind}: {error}", hint=_UNREACHABLE)


def _refusal(error: ClientError, attempt: str) -> MillpondError:
    code, status = code_of(error), status_of(error)
    message = f"cannot {attempt}: {code}: {error.response.get('Error', {}).get('Message', '')} (HTTP {status})"
    if code == "InvalidObjectState":
        return StorageError(message, hint="the object is in a cold storage class: bring it back with s3 restore-object")
    if hint := _WRONG_USAGE.get(code) or (_PERMISSION if status == 403 else ""):
        return WrongUsage(message, hint=hint)
    if code in _TRY_AGAIN or status >= 500:
        return TryAgain(message, hint="S3 is busy or failing; the same call may succeed later")
    return StorageError(message)


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
