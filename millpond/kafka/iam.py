"""Tokens that let an AWS role into an MSK cluster (IAM access control)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from aws_msk_iam_sasl_signer.MSKAuthTokenProvider import (  # type: ignore[import-untyped]
    generate_auth_token_from_credentials_provider,
)
from botocore.credentials import CredentialProvider, Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from millpond.errors import TryAgain, WrongUsage

_MSK_HOST = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?(?::\d+)?$")

_CREDENTIALS = "check the AWS credentials: AWS_PROFILE, the other AWS_ variables, or the role of this machine"


def region_of(named: str, brokers: str, environment: Mapping[str, str] = os.environ) -> str:
    """The region of a cluster: as named, as MSK's own host names tell, else that of the surroundings.

    Raises:
        WrongUsage: Nobody tells.
    """
    hosts = [found.group(1) for host in brokers.split(",") if (found := _MSK_HOST.search(host.strip()))]
    inherited = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION", "")
    region = named or (hosts[0] if hosts else inherited)
    if not region:
        raise WrongUsage(f"the brokers {brokers} do not tell their AWS region", hint="say --msk-region, or AWS_REGION")
    return region


class TokenSource:
    """What librdkafka calls for each token, on a thread of its own, well before the last one ends.

    Args:
        region: Of the cluster.
        session: Whose credentials sign; by default those of the surroundings, which renew themselves.
    """

    def __init__(self, region: str, session: Session | None = None) -> None:
        self._region, self._provider = region, _SessionCredentials(session or Session())

    def check(self) -> None:
        """Signs once, because a client that gets no token waits ten seconds and then cannot say why.

        Raises:
            WrongUsage: There are no credentials.
            TryAgain: They could not be fetched now.
        """
        try:
            self("")
        except (BotoCoreError, ClientError) as failure:
            reason = type(failure).__name__  # its text may come from a program of the user
            raise TryAgain(f"cannot sign in to the brokers: {reason}", hint=_CREDENTIALS) from failure

    def __call__(self, _config: str) -> tuple[str, float]:
        """The token and when it ends, in epoch seconds. What is raised here becomes an error of the client."""
        token, ends_ms = generate_auth_token_from_credentials_provider(self._region, self._provider)
        return token, ends_ms / 1000  # the signer counts in milliseconds, confluent-kafka in seconds


class _SessionCredentials(CredentialProvider):
    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session

    def load(self) -> Credentials:
        found = self._session.get_credentials()
        if found is None:
            raise WrongUsage("cannot sign in to the brokers: there are no AWS credentials", hint=_CREDENTIALS)
        now = found.get_frozen_credentials()  # all parts of one renewal
        return Credentials(now.access_key or "", now.secret_key or "", now.token)
