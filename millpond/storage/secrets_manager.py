"""Secrets by name from AWS Secrets Manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.storage.s3_errors import code_of, status_of, translated

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


def secret_text(name: str, *, what: str, client: SecretsManagerClient | None = None) -> str:
    """The text of a secret, "" where it is binary.

    Args:
        name: Name or ARN.
        what: What it is to the reader of an error ("the erasure secret").
        client: By default one from the surroundings, in the region that an ARN names.

    Raises:
        WrongUsage: It is not there, or may not be read.
        TryAgain: Secrets Manager did not answer.
    """
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 6 else None
    try:
        client = client or boto3.session.Session(region_name=region).client("secretsmanager")
        return client.get_secret_value(SecretId=name).get("SecretString", "")
    except ClientError as error:
        raise _refusal(error, f"{what} {name}") from error
    except BotoCoreError as error:
        raise translated(error, f"read {what} {name}") from error


def _refusal(error: ClientError, what: str) -> MillpondError:
    code = code_of(error)
    message = f"cannot read {what}: {code} (HTTP {status_of(error)})"
    if status_of(error) >= 500 or "Throttl" in code:
        return TryAgain(message)
    return WrongUsage(
        message, hint="check its name and region, and grant secretsmanager:GetSecretValue and its KMS key"
    )
